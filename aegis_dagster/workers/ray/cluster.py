"""The connection of this process to a Ray cluster, and what the cluster has."""

import asyncio
import ipaddress
import logging
import socket
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from aegis_dagster.domain.visible import visible
from aegis_dagster.environment import prepare_for_ray, ray_address
from aegis_dagster.errors import AegisError, ConfigurationError, ServiceError

_ANSWER_SECONDS = 10.0  # for the head to answer a question
_TOKEN = (
    "start its nodes with RAY_AUTH_MODE=token and one token, and set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or "
    "RAY_AUTH_TOKEN_PATH, here"
)

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")
_lock = threading.Lock()
_ours: list[str] = []  # the address that this process has connected to


@dataclass(frozen=True, slots=True)
class Share:
    """What a seat takes of its node."""

    cpus: float
    gpus: float
    memory_mb: int

    def __str__(self) -> str:
        gpus = f", {self.gpus:g} GPU" if self.gpus else ""
        return f"{self.cpus:g} CPU{gpus} and {self.memory_mb:,} MB of memory"


@dataclass(frozen=True, slots=True)
class Node:
    """A node that is alive, with all that it offers, whoever uses it now."""

    id: str
    address: str
    cpus: float
    gpus: float
    memory_mb: int

    def holds(self, share: Share) -> bool:
        """Whether a seat would fit on it while it is empty."""
        return self.cpus >= share.cpus and self.gpus >= share.gpus and self.memory_mb >= share.memory_mb

    def __str__(self) -> str:
        return f"{self.address} with {Share(self.cpus, self.gpus, self.memory_mb)}"


def connect(address: str) -> None:
    """Connect this process; nothing happens where it is connected, or is itself a process of Ray.

    Raises ConfigurationError: Ray is not installed, another version, no token; ServiceError: nobody answers.
    """
    with _lock:
        prepare_for_ray()
        ray = _ray()
        if ray.is_initialized():
            return
        _let_its_loggers_speak_through_us()
        wanted = ray_address() if address == "auto" and ray_address() else address
        if wanted != "auto":
            _require_host_and_port(wanted, "RAY_ADDRESS" if address == "auto" else "workers.address")
            _require_token(wanted)
            _require_answer(wanted)
        try:
            ray.init(address=wanted, log_to_driver=False, configure_logging=False)
        except AegisError:
            raise
        except Exception as error:
            raise _refused(wanted, error) from error
        _ours.append(wanted)
        _let_its_loggers_speak_through_us()  # it has taken ours away
        _let_its_nodes_speak_through_us()
        try:
            _require_token(ray.get_runtime_context().gcs_address)
        except AegisError:
            ray.shutdown()
            _ours.clear()
            raise


def disconnect() -> None:
    """End the connection that `connect` has made; the actors of this process end with it."""
    with _lock:
        if _ours:
            _ours.clear()
            ending = threading.Thread(target=_ray().shutdown, daemon=True)  # a head that is gone keeps it for seconds
            ending.start()
            ending.join(_ANSWER_SECONDS)


async def nodes() -> list[Node]:
    """The nodes that are alive. Raises ServiceError where the head does not answer."""
    try:
        return await asyncio.wait_for(asked(_nodes), _ANSWER_SECONDS)
    except Exception as error:
        raise lost() from error


async def asked(question: Callable[[], Answer]) -> Answer:
    """What a call of Ray gives. Without its head some never return: that keeps a thread, and neither us nor our end."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Answer] = loop.create_future()

    def ask() -> None:
        try:
            found = question()
        except Exception as error:
            _tell(loop, answer.set_exception, error)
        else:
            _tell(loop, answer.set_result, found)

    threading.Thread(target=ask, daemon=True).start()
    return await answer


def _tell(loop: asyncio.AbstractEventLoop, tell: Callable[[Any], None], what: Any) -> None:
    with suppress(RuntimeError, asyncio.InvalidStateError):  # nobody waits any more
        loop.call_soon_threadsafe(lambda: _unless_done(tell, what))


def _unless_done(tell: Callable[[Any], None], what: Any) -> None:
    with suppress(asyncio.InvalidStateError):
        tell(what)


def _nodes() -> list[Node]:
    return [_node(each) for each in _ray().nodes() if each["Alive"]]


def _node(found: Mapping[str, Any]) -> Node:
    has = found["Resources"]
    memory_mb = int(has.get("memory", 0)) // (1024 * 1024)
    return Node(found["NodeID"], found["NodeManagerAddress"], has.get("CPU", 0.0), has.get("GPU", 0.0), memory_mb)


def there_is(found: Sequence[Node]) -> str:
    """The nodes in words."""
    shown = "; ".join(str(node) for node in found[:5])
    return (shown + (f"; and {len(found) - 5} more" if len(found) > 5 else "")) or "no node"


def lost() -> ServiceError:
    """The error for a cluster whose head is gone."""
    return ServiceError(
        "The head of the Ray cluster does not answer.",
        remedy="look at it with `ray status`, start it again, or set workers.engine to local; no document is blamed, "
        "and the next run goes on.",
    )


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ConfigurationError(
            "workers.engine is ray, but Ray is not installed.",
            remedy="pip install 'aegis_dagster[ray]', or set workers.engine to local.",
        ) from error
    return ray


def _require_token(address: str) -> None:
    """Whoever reaches a cluster without tokens runs code on it."""
    host = address.rpartition("://")[2].rpartition(":")[0].strip("[]")
    if not _is_loopback(host) and not has_token():
        raise ConfigurationError(
            f"The Ray cluster {address} is not on loopback, and token authentication is off: whoever reaches it would "
            "run programs on its nodes.",
            remedy=f"{_TOKEN}.",
        )


def has_token() -> bool:
    """Whether this process shows a token to the cluster, which then asks everybody for it."""
    from ray._private.authentication.authentication_utils import is_token_auth_enabled

    return bool(is_token_auth_enabled())


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _require_host_and_port(address: str, where: str) -> None:
    """Ray knows other forms, of which none is a machine of the cluster. where: the address was found."""
    host, _, port = address.rpartition(":")
    if not host or "/" in address or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigurationError(
            f"{where} is {visible(address)!r}, which is no HOST:PORT.",
            remedy="write it as HOST:PORT of the cluster's head, e.g. 10.0.0.1:6379, or as `auto`.",
        )


def _require_answer(address: str) -> None:
    """Ray itself waits for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        raise ServiceError(
            f"Nobody answers at the Ray cluster {address}: {error.strerror or error}.",
            remedy="start it (`ray start --head`), or correct workers.address.",
        ) from error


def _refused(address: str, error: Exception) -> AegisError:
    said = visible(" ".join(str(error).split())[:500])
    if "AuthenticationError" in "".join(traceback.format_exception(error)):
        return ConfigurationError(
            f"The Ray cluster {address} asks for another token than this process has.", remedy=f"{_TOKEN}."
        )
    if "ersion mismatch" in said:
        return ConfigurationError(
            f"The Ray cluster has other versions than this process: {said}",
            remedy="install the versions of constraints.txt on every machine.",
        )
    return ServiceError(
        f"The Ray cluster {address} cannot be joined: {said}",
        remedy="start Ray on this machine (`ray start --address=HOST:PORT`; with --num-cpus=0 it gets no work), or "
        "correct workers.address.",
    )


def _let_its_loggers_speak_through_us() -> None:
    """What Ray says goes to our log, not to the terminal of people."""
    for name in ("ray", "ray._private"):
        logging.getLogger(name).handlers[:] = [_OurLog()]
        logging.getLogger(name).propagate = False


def _let_its_nodes_speak_through_us() -> None:
    """The same for what it says of nodes and dead workers, which it prints."""
    from ray._private import worker

    def log(data: Mapping[str, Any], ignore_prefix: bool) -> None:
        for line in data["lines"]:
            _log(str(line))

    worker.print_to_stdstream = log


class _OurLog(logging.Handler):
    """Takes what Ray's own logger says."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log it."""
        _log(record.getMessage())


def _log(line: str) -> None:
    logger.info("Ray: %s", visible(" ".join(line.split())))
