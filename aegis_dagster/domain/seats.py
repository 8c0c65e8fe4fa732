"""What a run says about its seats: places in a cluster of machines at which one worker works at a time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Lost(StrEnum):
    """What was lost with a worker."""

    WORKER = "worker"  # its process alone: it crashed under its task
    SEAT = "seat"  # the seat too, with its node or by itself; no document is to blame


@dataclass(frozen=True, slots=True)
class SeatFigures:
    """One moment of one run."""

    nodes: int = 0  # that answer
    lost_nodes: int = 0  # that have answered since the run began, and do not any more
    ready: int = 0  # seats with a worker
    waiting: int = 0  # seats that were asked for, and for which the cluster has no room
    queue: int = 0  # tasks without a seat
    lost: Mapping[Lost, int] = field(default_factory=dict)  # workers since the run began


@dataclass(slots=True)
class SeatPeaks:
    """The most of each that a run has had so far."""

    nodes: int = 0
    lost_nodes: int = 0
    ready: int = 0
    queue: int = 0
    lost: int = 0  # workers

    def see(self, figures: SeatFigures) -> None:
        """Take a moment into account."""
        self.nodes = max(self.nodes, figures.nodes)
        self.lost_nodes = max(self.lost_nodes, figures.lost_nodes)
        self.ready = max(self.ready, figures.ready)
        self.queue = max(self.queue, figures.queue)
        self.lost = max(self.lost, sum(figures.lost.values()))
