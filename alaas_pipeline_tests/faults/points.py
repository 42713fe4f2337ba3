"""The points at which a pipeline can be killed, the places at each of them, and which kills make up one run."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

# A request is killed before it leaves; on its way, so that it comes true only after the next process has begun; when the server has done it
# and has not answered; when the answer is in and the ledger knows nothing; and when the ledger knows and the commit log does not.
REQUEST_PLACES = ("unsent", "late", "processed", "uncommitted", "committed")
# A commit is killed before it, between it and its line in the commit log, and after that line.
COMMIT_PLACES = ("before", "made", "logged")

Message = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """A request that changes something, or a commit: the nth of its kind within one era, from 1.

    An era is the making of the pool (0) or a round (from 1).
    """

    era: int
    what: str
    kind: str
    nth: int

    @property
    def places(self) -> tuple[str, ...]:
        return REQUEST_PLACES if self.what == "request" else COMMIT_PLACES


@dataclass(frozen=True)
class Case:
    """Kill at this point, in this place."""

    point: Point
    place: str

    def __str__(self) -> str:
        point = self.point
        return f"round {point.era}: {point.what} {point.kind} #{point.nth}, {self.place}"


# Kills of one run, in their order: each round is killed once at most, and has landed before the next one is killed.
Chain = tuple[Case, ...]


class Counting:
    """Numbers points as a pipeline tells of them."""

    def __init__(self) -> None:
        self.era = 0
        self._seen: Counter[tuple[str, str]] = Counter()
        # Several requests may be under way at once: which one it is about tells its number in the process.
        self._under_way: dict[int, Point] = {}

    def turn(self, era: int) -> None:
        """A turn of the loop begins in this era."""
        if era != self.era:
            self.era = era
            self._seen.clear()

    def point(self, message: Message) -> Point:
        """The point that a message is about."""
        here, number = (message["say"], message["kind"]), message.get("n")
        if message["place"] not in ("unsent", "before") and number is not None:
            return self._under_way[number]
        if message["place"] in ("unsent", "before"):
            self._seen[here] += 1
        point = Point(self.era, *here, self._seen[here])
        if number is not None:
            self._under_way[number] = point
        return point


def cases_of(points: Iterable[Point]) -> list[Case]:
    """Every point in every place."""
    return [Case(point, place) for point in points for place in point.places]


def counted(points: Iterable[Point]) -> dict[str, int]:
    """How many points there are: of each kind of request, and of commits."""
    return dict(sorted(Counter(point.kind if point.what == "request" else "commit" for point in points).items()))


def chains(cases: Iterable[Case]) -> list[Chain]:
    """Put all cases into as few chains as can be, turned so that one does not kill every round at the same point."""
    eras: dict[int, list[Case]] = defaultdict(list)
    for case in cases:
        eras[case.point.era].append(case)
    turned = []
    for era, found in sorted(eras.items()):
        start = era * len(found) // len(eras)
        turned.append(found[start:] + found[:start])
    return [tuple(case for case in row if case) for row in zip_longest(*turned)]
