"""What a selection hands back, in words that people can read."""

from dataclasses import dataclass, field
from typing import Final

from alaas_pipeline.errors import UserError

STRATEGIES: Final = ("coverage", "explore", "adaptive")


class PoolExhausted(UserError):
    """Nothing is left to pick: every image was selected before or is excluded."""


@dataclass(frozen=True)
class Pick:
    """One image chosen for labelling.

    Attributes:
        id: The image's id.
        kind: "representative", "outlier", or "must" for an image that was asked for by name.
        gain: For a representative, the share (0 to 1) of the weighted coverage that it adds to all picks
            before it; for an outlier, how many robust standard deviations its distance lies above the median.
        covers: Images, neither selected nor excluded from the count, whose nearest pick it is once the
            round's list is complete; the pick itself is not counted.
        nearest: Id of the nearest pick before it, earlier rounds included; None when there is none.
        distance: Distance to that pick, 0 for the same, about 1.4 for unrelated images; None when there is none.
        reason: One plain sentence.
    """

    id: str
    kind: str
    gain: float
    covers: int
    nearest: str | None
    distance: float | None
    reason: str


@dataclass(frozen=True)
class Selection:
    """The answer to one request.

    Attributes:
        representatives: In the order of picking; any beginning of the list is a good shorter list.
        outliers: Edge cases, strongest first; empty but for "explore".
        metrics: Figures without labels. `coverage_before`, `coverage_after` and `coverage_random` are mean
            similarities (0 to 1) of the pool to its nearest pick, at a width that depends on the pool alone
            and so compares across rounds; random is the mean over draws of the same size from the same
            images. `radius_p95` and `radius_max` are distances from the pool to the nearest pick. `spacing`
            is the mean distance of a representative to the nearest pick before it. `pool`, `candidates`,
            `picked` and `remaining` count images.
    """

    representatives: list[Pick]
    outliers: list[Pick]
    metrics: dict[str, float] = field(default_factory=dict)


def representative(
    id: str,
    gain: float,
    covers: int,
    nearest: str | None,
    distance: float | None,
    *,
    must: bool = False,
    looks: str = "",
) -> Pick:
    """Makes a representative with its reason; `must` if it was asked for by name; `looks`: what labels say of it."""
    what = f"Newly represents {_images(covers)}" if covers else "Represents only itself"
    where = "no earlier pick" if distance is None else f"nearest earlier pick is {distance:.2f} away"
    where += f"; {looks}" if looks else ""
    if must:
        return Pick(id, "must", gain, covers, nearest, distance, f"It was asked for. {what}; {where}.")
    return Pick(id, "representative", gain, covers, nearest, distance, f"{what}; {where}.")


def outlier(
    id: str,
    score: float,
    covers: int,
    nearest: str | None,
    distance: float | None,
    *,
    radius: float,
    usual: float,
) -> Pick:
    """Makes an outlier with its reason; `radius` and `usual` are its own and the pool's median neighbour distance."""
    reason = f"Unlike the rest: its nearest images reach {radius:.2f} away, where {usual:.2f} is usual"
    if distance is not None:
        reason += f"; nearest earlier pick is {distance:.2f} away"
    return Pick(id, "outlier", score, covers, nearest, distance, reason + ".")


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"
