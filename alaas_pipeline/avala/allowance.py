"""How many calls Avala allows within a minute and a second, and when the next one fits; no files, no clock."""

import math

from pydantic import BaseModel, FiniteFloat, PositiveInt

DOCUMENTED_PER_MINUTE = 100
HIGHEST_LIMIT = 10**9
LONGEST_HOLD_S = 86_400.0
BATCH_S = 0.25

_MINUTE_S, _SECOND_S = 60.0, 1.0
# Each window is kept in so many steps, so that the state stays small however high the limit is.
_STEPS = 100
# Callers queue behind a hold, each a little later.
_LONGEST_QUEUE_S = 3_600.0


class State(BaseModel):
    """What the processes of a key know together. Times are Unix seconds; of each step the last moment is kept."""

    written: FiniteFloat
    limit: PositiveInt = DOCUMENTED_PER_MINUTE
    held_until: FiniteFloat = 0.0
    minute: list[tuple[FiniteFloat, PositiveInt]] = []
    second: list[tuple[FiniteFloat, PositiveInt]] = []

    @property
    def per_second(self) -> int:
        """Calls within one second that we allow ourselves: a tenth of the minute's limit."""
        return max(1, self.limit // 10)

    @property
    def batch(self) -> int:
        """How many permits are reserved at a time: more than one only from 20,000 calls a minute on."""
        return max(1, self.per_second // 1_000)

    @property
    def batch_s(self) -> float:
        """How long, in seconds, the permits of one reservation may be used."""
        return BATCH_S if self.batch > 1 else 0.0

    def to_clock(self, now: float) -> bool:
        """Move all times along with a clock that was set back, so that nobody waits longer than was meant.

        Returns:
            Whether they were moved, and are to be kept so.

        Raises:
            ValueError: times that nobody can have written.
        """
        times = [self.held_until, *(at for at, _ in self.minute), *(at for at, _ in self.second)]
        if max(times) > self.written + LONGEST_HOLD_S + _LONGEST_QUEUE_S:
            raise ValueError("a time far ahead")
        back = self.written - now
        if back > 0:
            self.written = now
            self.held_until -= back
            self.minute = [(at - back, count) for at, count in self.minute]
            self.second = [(at - back, count) for at, count in self.second]
        return back > 0

    def next_free(self, now: float, count: int) -> float:
        """When so many calls fit; never before a moment that is reserved already, so that all are served in turn."""
        last = self.second[-1][0] - self.batch_s if self.second else -math.inf
        minute = _free(self.minute, max(1, self.limit * 8 // 10) - count, _MINUTE_S)
        return max(now, self.held_until, last, minute, _free(self.second, self.per_second - count, _SECOND_S))

    def take(self, now: float, at: float, count: int) -> None:
        """Reserve so many calls, all of which will have been made at ``at``, and forget what is over."""
        self.minute = _with(self.minute, now, at, count, _MINUTE_S)
        self.second = _with(self.second, now, at, count, _SECOND_S)


def _free(steps: list[tuple[float, int]], most_before: int, length_s: float) -> float:
    """When at most so many calls lie within a window."""
    for at, count in reversed(steps):
        most_before -= count
        if most_before < 0:
            return at + length_s
    return -math.inf


def _with(
    steps: list[tuple[float, int]], now: float, at: float, count: int, length_s: float
) -> list[tuple[float, int]]:
    """Add calls, to the last step if it is the same one."""
    kept = [step for step in steps if step[0] > now - length_s]
    grain = length_s / _STEPS
    if kept and kept[-1][0] // grain == at // grain:
        count += kept.pop()[1]
    return [*kept, (at, count)]
