"""The exporter: it reads each source separately, and reports for each whether it answered.

A source that cannot be read has no metrics and is down; its metrics are never 0. Fast sources are read for each scrape.
Sources that grow with the documents are read in the background, and a scrape shows their last reading. Each source has
a thread of its own: one that hangs is down after its deadline, delays no other, and is not read again before it ends.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event, Lock, Thread

from prometheus_client import Metric as Family
from prometheus_client.registry import Collector

from aegis_dagster.monitoring.metrics.definitions import Source, metrics_of
from aegis_dagster.monitoring.metrics.samples import Samples
from aegis_dagster.ports import Clock

logger = logging.getLogger(__name__)

# Prometheus waits 10 s for a scrape, which waits for these two at most:
FIRST_READING_SECONDS = 6.0  # since the start, for a source that was never read
SCRAPE_SECONDS = 2.0  # for a source that is read at each scrape
RESTS_PER_READING = 9  # after a second of reading a thread rests nine, so that it reads a tenth of the time
MOST_REST_SECONDS = 300.0  # but figures must not become too old


@dataclass(frozen=True, slots=True)
class Reader:
    """One source, and how it is read. Any error from `read` means that the source cannot be read."""

    source: Source
    read: Callable[[], Samples]
    at_each_scrape: bool = False
    deadline_seconds: float = 60.0  # a source whose reading takes longer counts as down meanwhile


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a source returned, or why it failed."""

    families: list[Family] | None  # None: it could not be read
    at: datetime  # when reading began: later changes may be missing
    seconds: float
    error: object = None


class _Watched:
    """A source, its last reading, and the one thread at a time that reads it."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self.reader = reader
        self.was_read = Event()
        self._clock = clock
        self._last: _Reading | None = None
        self._reads = Lock()  # held while it is read, by a scrape or in the background; released by the reader
        self._began: float | None = None  # of time.monotonic, while it is read
        self._lock = Lock()  # guards the log; held briefly
        self._up = True

    def take(self) -> _Reading:
        """Read the source now, after a reading that is under way. Never raises, but may never return."""
        self._reads.acquire()
        return self._take()

    def take_within(self, seconds: float) -> _Reading:
        """A reading that begins now, or a failure if it does not end in time; the reading then goes on."""
        end = time.monotonic() + seconds
        if self._overran(seconds) or not self._reads.acquire(timeout=seconds):
            return self._silent(seconds)
        found: list[_Reading] = []
        reading = Thread(target=lambda: found.append(self._take()), name=self._name, daemon=True)
        reading.start()
        reading.join(max(0.0, end - time.monotonic()))
        return found[0] if found else self._silent(seconds)

    def shown(self) -> _Reading | None:
        """The last reading, or a failure if the one under way is beyond its deadline; None: there is none yet."""
        seconds = self.reader.deadline_seconds
        return self._silent(seconds) if self._overran(seconds) else self._last

    def start(self, target: Callable[["_Watched"], object]) -> None:
        """Start a thread for the source. It ends with the process, whatever it waits for."""
        Thread(target=target, args=(self,), name=self._name, daemon=True).start()

    def tell(self, error: object) -> None:
        """Log when a source goes down or comes back (error is None), not at every reading."""
        with self._lock:
            changed, self._up = self._up != (error is None), error is None
        if changed and error is None:
            logger.warning("%s can be asked again.", self.reader.source)
        elif changed:
            logger.warning("%s cannot be asked; its metrics are missing. %s", self.reader.source, error)

    @property
    def _name(self) -> str:
        return f"metrics-{self.reader.source}"

    def _overran(self, seconds: float) -> bool:
        began = self._began
        return began is not None and time.monotonic() - began > seconds

    def _silent(self, seconds: float) -> _Reading:
        said = f"It has not answered for {seconds:.0f} s. Remedy: see why; it is asked again when that reading ends."
        return _Reading(None, self._clock.now(), seconds, said)

    def _take(self) -> _Reading:
        at, began = self._clock.now(), time.monotonic()
        self._began = began
        families: list[Family] | None = None
        error: Exception | None = None
        try:
            families = self.reader.read().families()
        except Exception as raised:  # a failing source must not affect the others, whatever its error
            error = raised
        reading = _Reading(families, at, time.monotonic() - began, error)
        self._last, self._began = reading, None
        self.was_read.set()
        self._reads.release()
        return reading


class Exporter(Collector):
    """Collects every source's metrics. One object serves any number of scrapes at once."""

    def __init__(self, readers: Sequence[Reader], clock: Clock, *, refresh_seconds: float, version: str) -> None:
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._version = version
        self._watched = [_Watched(reader, clock) for reader in readers]
        self._first_until: float | None = None  # of time.monotonic, once it was started
        self._stop = Event()

    def start(self) -> None:
        """Begin to read in the background."""
        self._first_until = time.monotonic() + FIRST_READING_SECONDS
        for watched in self._watched:
            # Read once also those that scrapes read: the first reading also opens and imports.
            watched.start(_Watched.take if watched.reader.at_each_scrape else self._go_on)

    def stop(self) -> None:
        """End the background threads, each after its current reading."""
        self._stop.set()

    def refresh(self) -> None:
        """Read every source once, each in its thread; returns when each has answered or passed its deadline."""
        for watched in self._watched:
            watched.was_read.clear()
            watched.start(_Watched.take)
        began = time.monotonic()
        for watched in self._watched:
            watched.was_read.wait(max(0.0, began + watched.reader.deadline_seconds - time.monotonic()))

    def collect(self) -> Iterator[Family]:
        """All families of one scrape."""
        if self._first_until is not None:
            for watched in self._watched:
                watched.was_read.wait(max(0.0, self._first_until - time.monotonic()))
        about = Samples()
        about.add("aegis_build_info", self._version, value=1)
        for watched in self._watched:
            source = watched.reader.source
            reading = watched.take_within(SCRAPE_SECONDS) if watched.reader.at_each_scrape else watched.shown()
            answered = reading is not None and reading.families is not None
            about.add("aegis_source_up", source, value=int(answered))
            if reading is not None:
                watched.tell(reading.error)
            if reading is None or reading.families is None:
                continue
            age = (self._clock.now() - reading.at).total_seconds()
            about.add("aegis_source_age_seconds", source, value=max(0.0, age))
            about.add("aegis_source_read_seconds", source, value=reading.seconds)
            yield from reading.families
        yield from about.families()

    def describe(self) -> list[Family]:
        """All possible families, without samples: prometheus_client needs their names."""
        sources = [Source.EXPORTER, *(watched.reader.source for watched in self._watched)]
        return [
            Family(metric.family, metric.help, str(metric.kind)) for source in sources for metric in metrics_of(source)
        ]

    def _go_on(self, watched: _Watched) -> None:
        watched.take()
        rest = self._refresh_seconds  # the first reading also opens and imports
        while not self._stop.wait(rest):
            reading = watched.take()
            # Waiting for a source that is down is no load.
            seconds = reading.seconds if reading.families is not None else 0.0
            rest = max(self._refresh_seconds, min(RESTS_PER_READING * seconds, MOST_REST_SECONDS))
