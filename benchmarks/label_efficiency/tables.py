"""What the cells say: means, paired differences, labels saved. Nothing here knows where cells come from."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Cell = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A mean, with its standard error where there are two splits or more."""

    mean: float
    error: float | None = None

    def text(self, times: float = 100, digits: int = 1, sign: bool = False) -> str:
        shown = f"{times * self.mean:{'+' if sign else ''}.{digits}f}"
        return shown if self.error is None else f"{shown} ± {times * self.error:.{digits}f}"


@dataclass(frozen=True)
class Paired:
    """How much better one method was than another in the same cells: split by split and budget by budget."""

    difference: Figure
    wins: float
    cells: int

    def text(self) -> str:
        return f"{self.difference.text(sign=True)} ({self.wins:g} of {self.cells})"


def only(cells: Iterable[Cell], **wanted: Any) -> list[Cell]:
    """Returns the cells whose entries are as wanted."""
    return [cell for cell in cells if all(cell[name] == value for name, value in wanted.items())]


def names(cells: Iterable[Cell], column: str) -> list[Any]:
    """Returns what stands in a column, each once, in the order of first appearance."""
    return list(dict.fromkeys(cell[column] for cell in cells))


def whole(cells: list[Cell]) -> bool:
    return bool(cells) and not any("error" in cell for cell in cells)


def over_splits(values: dict[int, list[float]]) -> Figure:
    """Averages each split's values (its budgets), then the splits, which are what the standard error is over."""
    means = [float(np.mean(one)) for one in values.values()]
    error = float(np.std(means, ddof=1) / np.sqrt(len(means))) if len(means) > 1 else None
    return Figure(float(np.mean(means)), error)


def over_sets(figures: list[Figure]) -> Figure:
    """Averages sets, each with the same weight; their splits are independent."""
    errors = [figure.error for figure in figures]
    known = [error for error in errors if error is not None]
    error = float(np.sqrt(np.square(known).sum()) / len(figures)) if len(known) == len(figures) else None
    return Figure(float(np.mean([figure.mean for figure in figures])), error)


def mean(cells: list[Cell], score: str) -> Figure | None:
    """Averages a score over splits and budgets, then over sets; None when a cell failed or there is none."""
    if not whole(cells):
        return None
    figures = []
    for one in names(cells, "set"):
        values: dict[int, list[float]] = defaultdict(list)
        for cell in only(cells, set=one):
            values[cell["split"]].append(cell[score])
        figures.append(over_splits(values))
    return over_sets(figures)


def paired(cells: list[Cell], method: str, other: str, score: str) -> Paired | None:
    """Compares two methods in the same cells; None when one of them failed in any. A tie counts as half a win."""
    left, right = only(cells, method=method), only(cells, method=other)
    if not whole(left) or not whole(right):
        return None
    key = ("set", "split", "budget")
    beside = {tuple(cell[name] for name in key): cell[score] for cell in right}
    gaps = [{**cell, "gap": cell[score] - beside[tuple(cell[name] for name in key)]} for cell in left]
    wins = sum(1.0 if cell["gap"] > 0 else 0.5 if cell["gap"] == 0 else 0.0 for cell in gaps)
    difference = mean(gaps, "gap")
    assert difference is not None
    return Paired(difference, wins, len(gaps))


def best(cells: list[Cell], methods: list[str], score: str) -> str | None:
    """Returns the method with the highest mean, chosen with hindsight; None when all of them failed somewhere."""
    means = {method: mean(only(cells, method=method), score) for method in methods}
    told = {method: figure.mean for method, figure in means.items() if figure is not None}
    return max(told, key=lambda method: told[method]) if told else None


def curve(cells: list[Cell], score: str) -> dict[int, float]:
    """Returns the mean over splits at each budget."""
    return {
        budget: float(np.mean([cell[score] for cell in only(cells, budget=budget)]))
        for budget in sorted(names(cells, "budget"))
    }


def labels_to_reach(points: dict[int, float], goal: float) -> float | None:
    """Finds where a curve first reaches a goal, straight lines between its budgets; None when it does not.

    A curve that starts above the goal gives its first budget: it may need fewer.
    """
    budgets = sorted(points)
    if points[budgets[0]] >= goal:
        return float(budgets[0])
    for low, high in pairwise(budgets):
        if points[low] < goal <= points[high]:
            return low + (high - low) * (goal - points[low]) / (points[high] - points[low])
    return None


def errors(cells: Iterable[Cell]) -> dict[str, list[str]]:
    """Returns each method's failures: set, split and text, one for each text and set."""
    found: dict[str, dict[tuple[str, str], None]] = defaultdict(dict)
    for cell in cells:
        if "error" in cell:
            found[cell["method"]][cell["set"], cell["error"]] = None
    return {method: [f"{one}: {text}" for one, text in told] for method, told in found.items()}
