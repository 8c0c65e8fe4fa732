"""The exporter: asks each source by itself, and says of each whether it answered.

Belongs here: when sources are read, what a broken one means, the metrics about the exporter itself.
Does not belong here: what a source says (one file a source), HTTP (`server.py`).

A source that cannot be asked has no metrics and is down; it is never 0. What is fast is read for each scrape, what
grows with the documents by one thread in the background, and a scrape shows what that found the last time.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event, Lock, Thread

from prometheus_client import Metric as Family
from prometheus_client.registry import Collector

from aegis_dagster.monitoring.catalogue import Source, metrics_of
from aegis_dagster.monitoring.families import Samples
from aegis_dagster.ports import Clock

logger = logging.getLogger(__name__)

FIRST_ROUND_SECONDS = 8.0  # a scrape waits so long for what was never read; Prometheus waits 10
RESTS_PER_READING = 9  # after a second of reading the thread rests nine, so that it reads a tenth of the time


@dataclass(frozen=True, slots=True)
class Reader:
    """One source, and how it is read. Whatever `read` raises means that the source cannot be asked."""

    source: Source
    read: Callable[[], Samples]
    at_each_scrape: bool = False


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a source said, or that it did not."""

    families: list[Family] | None  # None: it could not be asked
    at: datetime  # when reading began: what happened since may be missing
    seconds: float


class _Watched:
    """A source and its last reading."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self.reader = reader
        self.last: _Reading | None = None
        self._clock = clock
        self._lock = Lock()
        self._up = True

    def take(self) -> _Reading:
        """Read the source now. Never raises."""
        at, began = self._clock.now(), time.monotonic()
        families: list[Family] | None = None
        error: Exception | None = None
        try:
            families = self.reader.read().families()
        except Exception as raised:  # a source must not take the others with it, whatever is wrong with it
            error = raised
        reading = _Reading(families, at, time.monotonic() - began)
        with self._lock:
            self.last = reading
            self._tell(error)
        return reading

    def _tell(self, error: Exception | None) -> None:
        """Log when a source goes down or comes back, not each time it is asked."""
        if error is None and not self._up:
            logger.warning("%s can be asked again.", self.reader.source)
        elif error is not None and self._up:
            logger.warning("%s cannot be asked; its metrics are missing. %s", self.reader.source, error)
        self._up = error is None


class Exporter(Collector):
    """Collects every source's metrics. One object serves any number of scrapes at once."""

    def __init__(self, readers: Sequence[Reader], clock: Clock, *, refresh_seconds: float, version: str) -> None:
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._version = version
        self._watched = [_Watched(reader, clock) for reader in readers]
        self._first_round = Event()
        self._stop = Event()
        self._thread = Thread(target=self._go_on, name="metrics", daemon=True)

    def start(self) -> None:
        """Begin to read in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End the background thread after what it reads now."""
        self._stop.set()

    def refresh(self) -> float:
        """Read every source of the background once. Returns the seconds of those that answered."""
        seconds = 0.0
        for watched in self._watched:
            if not watched.reader.at_each_scrape and not self._stop.is_set():
                reading = watched.take()
                # To wait for one that is down is no load.
                seconds += reading.seconds if reading.families is not None else 0.0
        self._first_round.set()
        return seconds

    def collect(self) -> Iterator[Family]:
        """All families of one scrape."""
        if self._thread.is_alive():
            self._first_round.wait(FIRST_ROUND_SECONDS)
        about = Samples()
        about.add("aegis_build_info", self._version, value=1)
        for watched in self._watched:
            source = watched.reader.source
            reading = watched.take() if watched.reader.at_each_scrape else watched.last
            answered = reading is not None and reading.families is not None
            about.add("aegis_source_up", source, value=int(answered))
            if reading is None or reading.families is None:
                continue
            age = (self._clock.now() - reading.at).total_seconds()
            about.add("aegis_source_age_seconds", source, value=max(0.0, age))
            about.add("aegis_source_read_seconds", source, value=reading.seconds)
            yield from reading.families
        yield from about.families()

    def describe(self) -> list[Family]:
        """The families there can be, without samples: prometheus_client asks for their names."""
        sources = [Source.EXPORTER, *(watched.reader.source for watched in self._watched)]
        return [
            Family(metric.family, metric.help, str(metric.kind)) for source in sources for metric in metrics_of(source)
        ]

    def _go_on(self) -> None:
        self.refresh()
        seconds = 0.0  # the first round also opens and imports, which it does once
        while not self._stop.wait(max(self._refresh_seconds, RESTS_PER_READING * seconds)):
            seconds = self.refresh()
