"""The learning curve: what the labels have brought so far, beside what a random draw would have brought."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import expm1, fsum, lgamma
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICKED_COLOUR = "#1f6feb"
RANDOM_COLOUR = "#6e7781"


@dataclass(frozen=True)
class CurvePoint:
    """The state of a pool once a round has landed.

    Attributes:
        round: number of the round, from 1.
        labelled: images labelled so far, all rounds together.
        classes: different classes found so far, or None where labels carry no class.
        random_classes: classes that a random draw of as many images would be expected to find, or None where
            the truth about the pool is not known.
    """

    round: int
    labelled: int
    classes: int | None = None
    random_classes: float | None = None


def expected_classes_found(class_counts: Mapping[str, int], draws: int) -> float:
    """Return how many classes a random draw without replacement is expected to hold.

    A class of n among N images is missed with the probability C(N - n, draws) / C(N, draws) (hypergeometric
    distribution), and the expectation is the sum of the complements. Computed in logarithms: no simulation.

    Args:
        class_counts: images per class in the whole pool.
        draws: images drawn.

    Raises:
        ValueError: a count is negative, or `draws` is negative or more than there are images.
    """
    if min(class_counts.values(), default=0) < 0:
        raise ValueError("a class count is negative")
    total = sum(class_counts.values())
    if not 0 <= draws <= total:
        raise ValueError(f"{draws} images cannot be drawn from {total}")
    return fsum(_chance_found(total, count, draws) for count in class_counts.values())


def learning_curve_png(points: Sequence[CurvePoint]) -> bytes:
    """Draw the curve over the rounds.

    Classes found where every point knows them, with the random expectation where that is known; else images
    labelled. With no points, the picture says so.

    Returns:
        A PNG of 1,280 by 640 pixels, the same bytes for the same points.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    _draw(axes, sorted(points, key=lambda point: point.round))
    FigureCanvasAgg(figure)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _chance_found(total: int, count: int, draws: int) -> float:
    if draws > total - count:
        return float(count > 0)
    others = total - count
    missed = lgamma(others + 1) - lgamma(others - draws + 1) - lgamma(total + 1) + lgamma(total - draws + 1)
    return max(0.0, -expm1(missed))


def _draw(axes: "Axes", points: Sequence[CurvePoint]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.spines[["top", "right"]].set_visible(False)
    if not points:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "No round has landed yet.", ha="center", va="center", fontsize=13)
        return
    rounds = [point.round for point in points]
    classes = [point.classes for point in points if point.classes is not None]
    if len(classes) == len(points):
        axes.set_ylabel("classes found so far")
        _line(axes, rounds, classes, "picked by the pool", PICKED_COLOUR, "o-")
        known = [(p.round, p.random_classes) for p in points if p.random_classes is not None]
        if known:
            _line(
                axes,
                [r for r, _ in known],
                [c for _, c in known],
                "random draw, expected",
                RANDOM_COLOUR,
                "s--",
            )
            axes.legend(frameon=False, loc="lower right")
    else:
        axes.set_ylabel("images labelled so far")
        _line(axes, rounds, [point.labelled for point in points], "labelled", PICKED_COLOUR, "o-")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.08)
    axes.grid(axis="y", color="#d0d7de", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    shown = points[:: len(points) // 12 + 1]
    axes.set_xticks([p.round for p in shown], [f"round {p.round}\n{p.labelled:,} labelled" for p in shown])


def _line(axes: "Axes", x: Sequence[int], y: Sequence[float], label: str, colour: str, style: str) -> None:
    axes.plot(x, y, style, label=label, color=colour, linewidth=2, markersize=6, clip_on=False)
