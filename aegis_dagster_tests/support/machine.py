"""How fast this machine is now, against the one that the limits in the tests were measured on.

The same virtual machine runs at its usual speed at one hour and at half of it at another (2.3 times slower was seen,
for whole CI runs). A limit in seconds would then fail for the neighbours' work and say nothing about ours. On a machine
of the usual speed or a faster one, every limit is exactly what the test says.
"""

import statistics
import time

_LOOPS, _USUAL_SECONDS = 2_000_000, 0.12  # CPU, Python 3.11 on the 2-core machines of CI; measured when idle
_MOST = 4.0  # what is slower still fails: nothing can be said there


def slowness() -> float:
    """1.0 at the usual speed, 2.0 where the same takes twice as long; never below 1.0."""
    return min(_MOST, max(1.0, statistics.median(_loop() for _ in range(5)) / _USUAL_SECONDS))


def _loop() -> float:
    began = time.process_time()
    for _ in range(_LOOPS):
        pass
    return time.process_time() - began


def allowed(limit: float) -> float:
    """A longest time of the usual machine, for this one as it is now. Call it next to what is measured."""
    return limit * slowness()


def required(rate: float) -> float:
    """A lowest rate of the usual machine, for this one as it is now."""
    return rate / slowness()
