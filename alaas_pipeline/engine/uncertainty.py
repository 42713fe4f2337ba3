"""What labels say about the images that have none, and where the next labels matter most.

Labels spread over the graph of nearest neighbours (label propagation: Zhu, Ghahramani and Lafferty, "Semi-Supervised
Learning Using Gaussian Fields and Harmonic Functions", ICML 2003; Zhou et al., "Learning with Local and Global
Consistency", NIPS 2003). What arrives at an image is its posterior over the classes seen so far.

An image's weight in coverage is then multiplied by two factors, each a square root so that neither rules alone:

- uncertainty, one minus the gap between its two likeliest classes, as in UHerding (Bae et al., "Uncertainty Herding:
  One Active Learning Method for All Label Budgets", ICLR 2025);
- rarity, the expected inverse share of its class in the pool, so that a class with few images gets more labels than
  its share and is not left at one or two.

Neither was tuned on the sets of the benchmark; other exponents from 0.5 to 1 do as well within its noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alaas_pipeline.engine.geometry import Geometry, blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

# With fewer labels, or one class, what spreads says little.
ENOUGH = 10
NEIGHBOURS = 10
_LOCAL = 7
_SPREAD = 0.9
_STEPS = 30
_POWER = 0.5
_FLOOR = 0.05
_RATIO = 16.0
_MOST_LABELLED = 16_384
_BLOCK = 256
_CLASSES_AT_ONCE = 16
_THIN = 1e-12
_FINE = 2.0**20


@dataclass(frozen=True)
class Posterior:
    """Odds of the classes seen so far, of some images.

    Attributes:
        classes: In alphabetical order.
        rows: The images as rows of the geometry, ascending.
        odds: Shape (rows, classes), each row sums to 1; a labelled image has its class for certain.
    """

    classes: list[str]
    rows: "NDArray[np.intp]"
    odds: "NDArray[np.float64]"

    def weights(self, targets: "NDArray[np.intp]") -> "NDArray[np.float64]":
        """Returns uncertainty times rarity of targets that are all among `rows`, 1 for the median, from 1/16 to 16."""
        odds = self.odds[np.searchsorted(self.rows, targets)]
        top = np.partition(odds, -2, axis=1)[:, -2:]
        uncertain = np.maximum(1 - (top[:, 1] - top[:, 0]), _FLOOR)
        share = (self.odds.sum(axis=0) + 1) / len(self.rows)
        weight = uncertain**_POWER * (odds @ share**-_POWER)
        return (weight / np.median(weight)).clip(1 / _RATIO, _RATIO)

    def said_of(self, space: Geometry, rows: "NDArray[np.intp]") -> list[str]:
        """Says what each row looks like so far, by the nearest image with a posterior."""
        place = space.nearest(rows, self.rows)[0]
        return [self._said(odds) for odds in self.odds[place]]

    def _said(self, odds: "NDArray[np.float64]") -> str:
        first, second = np.argsort(-odds, kind="stable")[:2].tolist()
        name, other = self.classes[first], self.classes[second]
        if odds[first] < 2 * odds[second]:
            return f"so far it may be '{name}' or '{other}'"
        return f"so far it looks like '{name}'"


def posterior(space: Geometry, targets: "NDArray[np.intp]", labels: Mapping[int, str]) -> Posterior | None:
    """Spreads labels over the neighbours of the images that stand for the pool.

    Args:
        space: The pool's geometry.
        targets: The images that stand for the pool, ascending.
        labels: Row -> class. Of more than 16,384, those of the lowest rows count.

    Returns:
        The posterior of the targets and the labelled images, or None where the labels are too few to say anything.
    """
    classes = sorted(set(labels.values()))
    if len(labels) < ENOUGH or len(classes) < 2:
        return None
    known = np.array(sorted(labels)[:_MOST_LABELLED], np.intp)
    rows = np.union1d(targets, known)
    place = np.searchsorted(rows, known)
    number = {name: column for column, name in enumerate(classes)}
    sources = np.zeros((len(rows), len(classes)))
    sources[place, [number[labels[row]] for row in known.tolist()]] = 1
    odds = _spread(_graph(space, rows), sources)
    whole = odds.sum(axis=1, keepdims=True)
    # Where no label arrives, the shares of the labels are all there is to say.
    odds = np.where(whole > 0, odds / np.where(whole > 0, whole, 1), sources.sum(axis=0) / len(known))
    odds[place] = sources[place]
    # Sums of floats may differ in their last figures elsewhere; what follows from them must not.
    return Posterior(classes, rows, np.rint(odds * _FINE) / _FINE)


def _spread(edges: "_Edges", sources: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """What arrives at each image when labels spread, a share of nine tenths at each step, and stay at their source."""
    out = np.empty_like(sources)
    for part in blocks(sources.shape[1], _CLASSES_AT_ONCE):
        held = source = sources[:, part]
        for _ in range(_STEPS):
            held = _SPREAD * np.add.reduceat(edges.weight[:, None] * held[edges.other], edges.start) + source
        out[:, part] = held
    return out


@dataclass(frozen=True)
class _Edges:
    """A symmetric graph: the edges of place 0, then of place 1, and so on; every place has at least one.

    Attributes:
        start: Where each place's edges begin.
        other: The place at the other end of each.
        weight: Of each, over the root of both ends' sums of weights.
    """

    start: "NDArray[np.intp]"
    other: "NDArray[np.intp]"
    weight: "NDArray[np.float64]"


def _graph(space: Geometry, rows: "NDArray[np.intp]") -> _Edges:
    """Joins each row to its nearest neighbours, equal distances falling to the lower row.

    Weights fall with the distance on the scale of both ends (Zelnik-Manor and Perona, "Self-Tuning Spectral
    Clustering", NIPS 2004).
    """
    count = min(NEIGHBOURS, len(rows) - 1)
    near = np.empty((len(rows), count), np.intp)
    squared = np.empty((len(rows), count))
    step = 2.0 ** -len(rows).bit_length()
    for part in blocks(len(rows), _BLOCK):
        # Integers plus a fraction for the place: all different, so no sort has a choice.
        keys = space.squared(rows[part], rows).astype(np.float64)
        keys += step * np.arange(len(rows))
        keys[np.arange(len(keys)), np.arange(part.start, part.stop)] = np.inf
        best = np.sort(np.partition(keys, count - 1, axis=1)[:, :count], axis=1)
        squared[part] = np.floor(best)
        near[part] = np.rint((best - np.floor(best)) / step)
    scale = np.sqrt(np.maximum(squared[:, min(_LOCAL, count) - 1], 1))
    weight = np.maximum(np.exp(-squared / (scale[:, None] * scale[near])), _THIN).ravel()
    one, other = np.repeat(np.arange(len(rows)), count), near.ravel()
    pair, place = np.unique(np.concatenate([one * len(rows) + other, other * len(rows) + one]), return_index=True)
    one, other, weight = pair // len(rows), pair % len(rows), np.tile(weight, 2)[place]
    start = np.searchsorted(one, np.arange(len(rows)))
    root = np.sqrt(np.add.reduceat(weight, start))
    return _Edges(start, other, weight / (root[one] * root[other]))
