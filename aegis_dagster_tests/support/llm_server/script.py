"""The server's script and records: which rule applies to a request, and its outcome."""

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from aegis_dagster_tests.support.llm_server.behaviours import RAN, Behaviour, Kind, Rule
from aegis_dagster_tests.support.llm_server.counting import Asked, Tokens

EVERYTHING = (Rule(),)


@dataclass(slots=True)
class Record:
    """One request and its outcome."""

    number: int  # from 1, in the order of arrival
    path: str
    model: str
    headers: dict[str, str]
    body: dict[str, Any]
    kind: str = ""  # behaviour; "unscripted": no rule was left
    answered: bool = False  # an answer of a model was sent to its last byte
    status: int = 0  # 0: none was sent
    reported: Tokens | None = None  # usage as the answer tells it; None: not told, not in full, or untrue
    billed: Tokens | None = None  # usage that the provider would put on the bill

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Record":
        """What `dataclasses.asdict` gave."""
        tokens = {name: Tokens(**value[name]) if value[name] else None for name in ("reported", "billed")}
        return Record(**{**value, **tokens})


@dataclass(slots=True)
class _Live:
    """A rule with what is left of it."""

    rule: Rule
    left: int | None
    drawing: random.Random

    def takes(self, asked: Asked) -> bool:
        rule = self.rule
        return (
            self.left != 0
            and (rule.path is None or asked.path.endswith(rule.path))
            and (rule.model is None or asked.model == rule.model)
            and (rule.contains is None or rule.contains in asked.prompt)
            and (rule.matches is None or re.search(rule.matches, asked.prompt) is not None)
        )

    def use(self) -> Behaviour:
        if self.left is not None:
            self.left -= 1
        if not self.rule.mixture:
            return self.rule.behaviour
        behaviours, weights = zip(*self.rule.mixture, strict=True)
        drawn: Behaviour = self.drawing.choices(behaviours, weights)[0]
        return drawn


@dataclass(slots=True)
class Script:
    """Rules in order, and the records."""

    rules: list[_Live] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)  # over which requests came
    at_work: set[object] = field(default_factory=set)  # a mark for each request
    most_at_once: int = 0

    def replace(self, rules: Sequence[Rule]) -> None:
        """Follow these rules from now on; the records stay."""
        self.rules = [_Live(rule, rule.times, random.Random(rule.seed)) for rule in rules]

    def reset(self) -> None:
        """Forget the records and answer everything."""
        self.records.clear()
        self.connections.clear()
        self.at_work = set()  # what still hangs from before does not count
        self.most_at_once = 0
        self.replace(EVERYTHING)

    def resets_unread(self, path: str) -> bool:
        """Whether the next rule resets the connection whatever the body says. Uses the rule."""
        for live in self.rules:
            rule = live.rule
            if live.left == 0 or (rule.path is not None and not path.endswith(rule.path)):
                continue
            if rule.mixture or rule.behaviour.kind is not Kind.RESET_BEFORE or rule.model or rule.contains:
                return False
            if rule.matches:
                return False
            live.use()
            return True
        return False

    def choose(self, asked: Asked) -> Behaviour | None:
        """What to do; None: the script has nothing for this request."""
        return next((live.use() for live in self.rules if live.takes(asked)), None)

    def record(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Record:
        """Note a request as it arrives."""
        record = Record(len(self.records) + 1, path, str(body.get("model", "")), headers, body)
        self.records.append(record)
        return record

    @contextmanager
    def working(self, connection: object) -> Iterator[None]:
        """A request that came over this connection is worked on inside the block."""
        self.connections.add(connection)
        at_work, mark = self.at_work, object()
        at_work.add(mark)
        self.most_at_once = max(self.most_at_once, len(at_work))
        try:
            yield
        finally:
            at_work.discard(mark)

    def counts(self) -> dict[str, Any]:
        """Sums over the records: in all, by kind, by model."""
        return {
            **_sums(self.records),
            "connections": len(self.connections),
            "most_at_once": self.most_at_once,
            "kinds": {kind: _sums(of) for kind, of in _grouped(self.records, "kind").items()},
            "models": {model: _sums(of) for model, of in _grouped(self.records, "model").items()},
        }


def bills(behaviour: Behaviour) -> bool:
    """Whether a provider would bill the call."""
    return behaviour.kind in RAN if behaviour.bills is None else behaviour.bills


def _grouped(records: list[Record], name: str) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(getattr(record, name), []).append(record)
    return groups


def _sums(records: list[Record]) -> dict[str, Any]:
    """`answered_tokens`: of answers that were sent in full, whether or not their usage was told."""
    answered = [record for record in records if record.answered]
    return {
        "calls": len(records),
        "answered": len(answered),
        "answered_tokens": asdict(sum((r.billed for r in answered if r.billed), Tokens())),
        "reported": asdict(sum((r.reported for r in answered if r.reported), Tokens())),
        "billed": asdict(sum((r.billed for r in records if r.billed), Tokens())),
    }
