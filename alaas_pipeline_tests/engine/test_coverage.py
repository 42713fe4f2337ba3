"""The optimiser against plain versions of itself."""

import numpy as np
import pytest

from alaas_pipeline.engine import coverage, geometry
from alaas_pipeline_tests.engine.pools import long_tailed


def problem(seed: int, count: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    similarity = rng.integers(0, coverage.FULL, (count, count)).astype(np.int16)
    np.fill_diagonal(similarity, coverage.FULL)
    return similarity, rng.integers(1, 900, count).astype(float), rng.integers(0, 20_000, count).astype(np.int16)


def value(similarity: np.ndarray, weights: np.ndarray, covered: np.ndarray, rows: list[int]) -> float:
    return float(np.maximum(similarity[rows].max(axis=0), covered) @ weights)


def plain_greedy(similarity: np.ndarray, weights: np.ndarray, covered: np.ndarray, count: int) -> list[int]:
    rows: list[int] = []
    for _ in range(count):
        gains = [-1.0 if r in rows else value(similarity, weights, covered, [*rows, r]) for r in range(len(similarity))]
        rows.append(int(np.argmax(gains)))
    return rows


@pytest.mark.parametrize("seed", range(4))
def test_lazy_greedy_is_greedy_and_swaps_only_help(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    similarity, weights, covered = problem(seed)
    plain = plain_greedy(similarity, weights, covered, 8)
    polished = coverage.pick(similarity, weights, covered, 8)
    before, after = (value(similarity, weights, covered, rows) for rows in (plain, [row for row, _ in polished]))
    assert after >= before
    gained = sum(gain for _, gain in polished) * coverage.FULL * weights.sum()
    assert gained == pytest.approx(after - float(covered @ weights))
    monkeypatch.setattr(coverage, "_SWAP_LIMIT", 0)
    assert [row for row, _ in coverage.pick(similarity, weights, covered, 8)] == plain


def test_no_single_exchange_is_left_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "_SWAP_PASSES", 50)
    improved = 0
    for seed in range(6):
        similarity, weights, covered = problem(seed, 60)
        rows = [row for row, _ in coverage.pick(similarity, weights, covered, 5)]
        best = value(similarity, weights, covered, rows)
        improved += best > value(similarity, weights, covered, plain_greedy(similarity, weights, covered, 5))
        for place in range(5):
            for row in set(range(60)) - set(rows):
                changed = [*rows[:place], row, *rows[place + 1 :]]
                assert value(similarity, weights, covered, changed) <= best
    assert improved >= 1


def test_distances_and_kernel_are_whole_numbers_in_any_block() -> None:
    vectors, _ = long_tailed(0, 200)
    space = geometry.fit(vectors, np.arange(200))
    rows = np.arange(200)
    squared = space.squared(rows, rows)
    exact = ((space.codes[:, None].astype(int) - space.codes[None].astype(int)) ** 2).sum(axis=2)
    assert np.array_equal(squared, exact)
    position, nearest = space.nearest(rows, rows[50:90])
    assert np.array_equal(nearest, squared[:, 50:90].min(axis=1))
    assert np.array_equal(position, squared[:, 50:90].argmin(axis=1))
    kernel = coverage.Kernel.of(space, coverage.squared_width(space, rows, 20))
    table = kernel.matrix(space, rows, rows)
    assert (table.diagonal() == coverage.FULL).all()
    assert np.array_equal(table, table.T)
    assert (kernel.covered(space, rows, rows[:0]) == 0).all()


def test_width_narrows_with_the_budget_and_weights_favour_thin_places() -> None:
    vectors, labels = long_tailed(0)
    space = geometry.fit(vectors, np.arange(len(vectors)))
    rows = np.arange(len(vectors))
    widths = [coverage.squared_width(space, rows, picks) for picks in (1, 10, 100, 1000, 10**6)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 2 * widths[3] > 0
    weights = coverage.target_weights(space, rows)
    assert weights[labels > 15].mean() > 1.1 * weights[labels == 0].mean()
    assert np.array_equal(weights, np.rint(weights))
