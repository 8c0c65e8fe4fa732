"""What errors of the Docker engine and its client mean: messages as engines 20.10 to 28 and docker-py 7 write them."""

import json

import pytest
import requests
from docker.errors import APIError, DockerException, ImageNotFound
from requests.exceptions import ReadTimeout

from aegis_dagster.defs.containers.engine import meaning, open_engine
from aegis_dagster.errors import ConfigurationError, ServiceError

FETCHING = "Error while fetching server API version: ('Connection aborted.', {})"
RUNC = "failed to create shim task: OCI runtime create failed: runc create failed: {}"


def refused(status: int, message: str, kind: type[APIError] = APIError) -> APIError:
    """The error that docker-py makes of an answer."""
    response = requests.Response()
    response.status_code, response._content = status, json.dumps({"message": message}).encode()
    return kind(f"{status} Error for http+docker://localhost/v1.41/containers/x/start", response, message)


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (
            DockerException(FETCHING.format("PermissionError(13, 'Permission denied')")),
            ConfigurationError,
            "group `docker`",
        ),
        (
            DockerException(FETCHING.format("FileNotFoundError(2, 'No such file')")),
            ServiceError,
            "systemctl start docker",
        ),
        (DockerException(FETCHING.format("ConnectionRefusedError(111, '')")), ServiceError, "cannot be reached"),
        (
            requests.ConnectionError("('Connection aborted.', RemoteDisconnected(''))"),
            ServiceError,
            "cannot be reached",
        ),
        (ReadTimeout("UnixHTTPConnectionPool(host='localhost'): Read timed out."), ServiceError, "does not answer"),
        (refused(500, "write /var/lib/docker/tmp/x: no space left on device"), ServiceError, "docker system prune"),
        (
            refused(500, 'could not select device driver "nvidia" with capabilities: [[gpu]]'),
            ConfigurationError,
            "nvidia-container-toolkit",
        ),
        (
            refused(
                500, RUNC.format("nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1")
            ),
            ConfigurationError,
            "`nvidia-smi` must list the card",
        ),
        (
            refused(500, RUNC.format("nvidia-container-cli: device error: 7: unknown device: unknown")),
            ConfigurationError,
            "containers.gpus",
        ),
        (
            refused(500, "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=0"),
            ConfigurationError,
            "GPU",
        ),
        (refused(404, "network nowhere not found"), ConfigurationError, "docker network create"),
        (
            refused(400, 'invalid mount config for type "bind": bind source path does not exist: /x'),
            ConfigurationError,
            "make it on the engine's machine",
        ),
        (refused(404, "No such image: big:1", ImageNotFound), ConfigurationError, "big:1 is not on the Docker engine"),
        (
            refused(500, 'Get "https://registry.example/v2/": x509: unknown authority'),
            ConfigurationError,
            "cannot be pulled",
        ),
        (
            refused(400, RUNC.format('exec: "dagster": executable file not found in $PATH: unknown')),
            ConfigurationError,
            "big:1 has no program `dagster`",
        ),
        (refused(400, "Minimum memory limit allowed is 6MB"), ConfigurationError, "correct `containers`"),
        (refused(503, "something is broken"), ServiceError, "journalctl -u docker"),
    ],
)
def test_each_error_has_a_remedy_of_its_own(error: Exception, kind: type[Exception], told: str) -> None:
    meant = meaning(error, "big:1")
    assert type(meant) is kind and told in str(meant)


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:9"])
def test_an_engine_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(ServiceError, match=f"{host} cannot be reached"):
        open_engine()
