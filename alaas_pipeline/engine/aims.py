"""Aims that a team adds to a selection: images that it must hold, caps, and a least distance between picks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from alaas_pipeline.engine.geometry import Geometry, blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK = 65_536


@dataclass(frozen=True)
class Cap:
    """At most so many picks of each value.

    Attributes:
        values: Id -> value, such as the camera or the patient; ids that are missing are not capped.
        most: The most picks of one value in a request, at least 1.
        ever: Count picks of earlier requests too.
    """

    values: Mapping[str, str]
    most: int
    ever: bool = False


@dataclass(frozen=True)
class Aims:
    """What a selection has to keep to beside its strategy.

    Attributes:
        must: Ids to pick before all others, in this order; those that were selected before are passed over. They count
            against the request and against the caps, and no cap keeps them out.
        caps: All of them hold.
        min_distance: No pick is nearer than this to another one or to one selected before, in the distance that picks
            tell (0 the same, about 1.4 unrelated). What is left may then be fewer than was asked for.
    """

    must: Sequence[str] = ()
    caps: Sequence[Cap] = ()
    min_distance: float = 0.0

    def __post_init__(self) -> None:
        """Refuses what cannot be meant."""
        if any(cap.most < 1 for cap in self.caps):
            raise ValueError("A cap must leave room for at least one pick of each value.")
        if not 0 <= self.min_distance <= 2:
            raise ValueError(f"The least distance must lie between 0 and 2, not at {self.min_distance}.")


@dataclass
class _Counted:
    """A cap at work: the value of each row as a number (-1 for none), and how many picks each value has room for."""

    value: "NDArray[np.intp]"
    room: "NDArray[np.intp]"


@dataclass
class Room:
    """Which images may still be picked while picks are made.

    Args:
        space: The pool's geometry.
        names: Ids in the geometry's order.
        earlier: Rows selected before.
        aims: What to keep to.
    """

    space: Geometry
    names: Sequence[str]
    earlier: "NDArray[np.intp]"
    aims: Aims
    _open: "NDArray[np.bool_]" = field(init=False)
    _caps: list[_Counted] = field(init=False)

    def __post_init__(self) -> None:
        """Counts what earlier picks take."""
        self._open = np.ones(len(self.names), bool)
        self._caps = [self._counted(cap) for cap in self.aims.caps]
        reach = self._reach
        if reach and len(self.earlier):
            for part in blocks(len(self.names), _BLOCK):
                rows = np.arange(part.start, part.stop)
                self._open[part] &= self.space.nearest(rows, self.earlier)[1] >= reach

    @property
    def limited(self) -> bool:
        """Whether one pick can close the way for another."""
        return bool(self._caps) or self._reach > 0

    def open(self, rows: "NDArray[np.intp]") -> "NDArray[np.bool_]":
        """Says of each row whether it may be picked."""
        return self._open[rows]

    def take(self, row: int) -> None:
        """Notes a pick, and closes what it leaves no room for."""
        self._open[row] = False
        for cap in self._caps:
            value = cap.value[row]
            if value >= 0:
                cap.room[value] -= 1
                if cap.room[value] <= 0:
                    self._open[cap.value == value] = False
        if reach := self._reach:
            one = np.array([row], np.intp)
            for part in blocks(len(self.names), _BLOCK):
                rows = np.arange(part.start, part.stop)
                self._open[part] &= self.space.squared(rows, one)[:, 0] >= reach

    @property
    def _reach(self) -> float:
        """The least distance as squared code steps."""
        return (self.aims.min_distance * self.space.unit) ** 2

    def _counted(self, cap: Cap) -> _Counted:
        numbers: dict[str, int] = {}
        value = np.array(
            [numbers.setdefault(cap.values[name], len(numbers)) if name in cap.values else -1 for name in self.names],
            np.intp,
        )
        room = np.full(len(numbers), cap.most, np.intp)
        if cap.ever:
            taken = value[self.earlier]
            room -= np.bincount(taken[taken >= 0], minlength=len(numbers))
            self._open &= (value < 0) | (room[value] > 0 if len(numbers) else True)
        return _Counted(value, room)
