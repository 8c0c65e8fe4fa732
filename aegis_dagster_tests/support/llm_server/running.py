"""Starting the scripted server in its own process, and talking to it from tests of any process."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aegis_dagster_tests.support.llm_server.behaviours import Behaviour, Rule
from aegis_dagster_tests.support.llm_server.script import Record


class LLMServer:
    """A running scripted server. Any process may make one from the URL."""

    def __init__(self, url: str) -> None:
        self.url = url  # without /v1

    @property
    def v1(self) -> str:
        """Base URL of the OpenAI-compatible API."""
        return f"{self.url}/v1"

    def script(self, rules: Sequence[Rule | Behaviour]) -> None:
        """Follow these rules from now on. A behaviour alone is a rule that is used once."""
        full = [Rule(each, times=1) if isinstance(each, Behaviour) else each for each in rules]
        self._control("script", json.dumps([rule.as_json() for rule in full]).encode())

    def records(self) -> list[Record]:
        """What was asked since the last reset, in the order of arrival."""
        return [Record.from_json(each) for each in self._control("records")]

    def counts(self) -> dict[str, Any]:
        """{"calls", "answered", "answered_tokens", "reported", "billed", "connections", "most_at_once", ...}.

        "kinds" and "models" hold the first five by kind and by model.

        Tokens are {"input", "cached", "output", "reasoning", "written"}: `answered_tokens` of answers sent in full,
        `reported` of those among them that told their usage in full, `billed` what the provider would bill.
        """
        found: dict[str, Any] = self._control("counts")
        return found

    def reset(self) -> None:
        """Forget all records and answer everything from now on."""
        self._control("reset", b"{}")

    def unscripted(self) -> list[Record]:
        """Requests that found no rule."""
        return [record for record in self.records() if record.kind == "unscripted"]

    def _control(self, name: str, data: bytes | None = None) -> Any:
        request = urllib.request.Request(f"{self.url}/_control/{name}", data=data)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)


class Unscripted(AssertionError):
    """The server was asked something that its script does not foresee."""


@contextmanager
def scripted_server(
    rules: Sequence[Rule | Behaviour] | None = None, *, models: Sequence[str] = ("scripted",)
) -> Iterator[LLMServer]:
    """A server in its own process on a free port. Without rules it answers everything.

    Raises Unscripted at the end when a request found no rule; not when the body already raised.
    """
    command = [sys.executable, "-m", "aegis_dagster_tests.support.llm_server", "--until-stdin-closes"]
    process = subprocess.Popen(
        [*command, "--models", ",".join(models)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError("The scripted server did not start; its error is printed above.")
        server = LLMServer(url)
        if rules is not None:
            server.script(rules)
        yield server
        missing = server.unscripted()
        if missing:
            first = missing[0]
            raise Unscripted(f"{len(missing)} calls found no rule, the first: {first.path}, model {first.model}")
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
