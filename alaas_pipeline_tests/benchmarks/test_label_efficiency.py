"""The pure parts of the comparison with peers: splits, scores, pairing, tables. The peers themselves are not installed here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.label_efficiency import data, methods, page, run, scores, tables
from benchmarks.label_efficiency.data import LabelledSet, Part
from benchmarks.label_efficiency.methods import Method, Pool
from benchmarks.label_efficiency.peers import PeerFailed
from benchmarks.label_efficiency.scores import Scorer


def blobs(count: int, seed: int) -> Part:
    """Three classes that stand apart, on the unit circle's neighbourhood in eight dimensions."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return Part(
        data.unit(np.eye(8)[labels] + 0.05 * draw.standard_normal((count, 8))), np.array(["a", "b", "c"])[labels]
    )


SET = LabelledSet("blobs", blobs(100, 0), blobs(30, 1))


@pytest.fixture(autouse=True)
def small_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BUDGETS", (4, 8, 16))


def first_rows(pool: Pool, k: int, selected: list[int], seed: int) -> tuple[list[int], float]:
    return [row for row in range(len(pool.vectors)) if row not in selected][:k], 0.5


def failing(pool: Pool, k: int, selected: list[int], seed: int) -> tuple[list[int], float]:
    if selected or k > 8:
        raise PeerFailed("too many")
    return first_rows(pool, k, selected, seed)


def all_cells(tmp_path: Path, *compared: Method, splits: int = 2) -> list[dict[str, Any]]:
    return [cell for split in range(splits) for part in run.cells(SET, split, compared, tmp_path) for cell in part]


def test_splits_are_paired_and_differ() -> None:
    first, again, second = run.subsample(1000, 0), run.subsample(1000, 0), run.subsample(1000, 1)
    assert first.tolist() == again.tolist()
    assert len(set(first.tolist())) == 600
    assert first.tolist() != sorted(first.tolist())
    assert set(first.tolist()) != set(second.tolist())


def test_the_test_part_takes_the_same_share_of_each_class() -> None:
    whole = Part(np.eye(90, dtype=np.float32), np.array(["a"] * 60 + ["b"] * 30))
    made = data.parts("x", whole, 0.3)
    assert {label: int((made.test.labels == label).sum()) for label in "ab"} == {"a": 18, "b": 9}
    assert not np.any(made.train.vectors @ made.test.vectors.T)


def test_a_long_tail_falls_by_its_factor() -> None:
    sizes = data.long_tail(10, 900, 50)
    assert (sizes[0], sizes[-1]) == (900, 18)
    assert sizes == sorted(sizes, reverse=True)


def test_the_probe_is_at_the_minimum() -> None:
    draw = np.random.default_rng(3)
    points = np.hstack([draw.standard_normal((40, 5)), np.ones((40, 1))])
    own = draw.integers(0, 3, 40)
    weights = scores.minimise(points, own, 3, 10.0)

    def loss(at: np.ndarray) -> float:
        logits = points @ at
        return float(
            (np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(40), own]).sum() + np.square(at[:-1]).sum() / 20
        )

    least = loss(weights)
    for _ in range(50):
        assert loss(weights + 0.01 * draw.standard_normal(weights.shape)) > least


def test_the_probe_by_dot_products_is_the_probe_on_vectors() -> None:
    draw = np.random.default_rng(4)
    known, tested, labels = draw.standard_normal((30, 6)), draw.standard_normal((50, 6)), draw.integers(2, 5, 30)
    told = scores.logistic(known @ known.T, labels, tested @ known.T)
    weights = scores.minimise(np.hstack([known, np.ones((30, 1))]), labels - 2, 3, scores.PENALTY)
    assert told.tolist() == ((tested @ weights[:-1] + weights[-1]).argmax(axis=1) + 2).tolist()


def test_a_single_class_is_all_the_probe_can_say() -> None:
    assert scores.logistic(np.eye(2), np.array([4, 4]), np.zeros((3, 2))).tolist() == [4, 4, 4]


def test_scores_of_picks_that_can_be_seen_through() -> None:
    pool = np.array([[1, 0], [0.96, 0.28], [0, 1], [-1, 0]], np.float32)
    test = np.array([[0.995, 0.0999], [0.99, 0.14], [0.1, 0.995], [-1, 0]], np.float32)
    scorer = Scorer(pool, np.array([0, 0, 1, 2]), test, np.array([0, 0, 1, 2]))
    two = scorer([2, 0])
    assert two["nn"] == 0.75
    assert two["nn_macro"] == pytest.approx(2 / 3)
    assert two["classes"] == pytest.approx(2 / 3)
    assert two["radius"] == pytest.approx(2**0.5)
    assert scorer([0, 2]) == two
    every = scorer([0, 1, 2, 3])
    assert (every["nn"], every["coverage"], every["radius"]) == (1, pytest.approx(1), pytest.approx(0, abs=1e-3))
    assert every["coverage"] > two["coverage"]


def test_ours_learns_more_than_random_picks_where_classes_stand_apart(tmp_path: Path) -> None:
    # The first four picks of random draws miss a class at times; ours never do.
    drawn = Method("random", methods.drawn, listed=True, seeds=10)
    made = all_cells(tmp_path, Method("ours", methods.ours, peer=False), drawn)
    ours, random = (tables.only(made, method=name, budget=4) for name in ("ours", "random"))
    assert all(cell["classes"] == 1 for cell in ours)
    assert tables.mean(ours, "coverage").mean > tables.mean(random, "coverage").mean  # type: ignore[union-attr]


def test_rounds_build_on_the_picks_before(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def noting(pool: Pool, k: int, selected: list[int], seed: int) -> tuple[list[int], float]:
        asked.append((k, len(selected)))
        return first_rows(pool, k, selected, seed)

    made = all_cells(tmp_path, Method("x", noting), splits=1)
    assert asked == [(4, 0), (8, 0), (16, 0), (4, 0), (4, 4), (8, 8)]
    at_once, in_rounds = ([{**cell, "mode": ""} for cell in tables.only(made, mode=mode)] for mode in run.MODES)
    assert at_once == in_rounds


def test_a_method_with_labels_starts_cold_and_is_compared_in_rounds_only(tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    def noting(name: str) -> Any:
        def pick(pool: Pool, k: int, selected: list[int], seed: int) -> tuple[list[int], float]:
            asked.append((name, len(selected)))
            return first_rows(pool, k, selected, seed)

        return pick

    made = all_cells(tmp_path, methods.after(8, noting("cold"), Method("then", noting("then")), "both"), splits=1)
    assert asked == [("cold", 0), ("cold", 4), ("then", 8)]
    assert tables.names(made, "mode") == ["in rounds"]


def test_a_failure_is_named_and_counts_nowhere(tmp_path: Path) -> None:
    made = all_cells(
        tmp_path,
        Method("bad", failing),
        Method("ours", methods.ours, peer=False),
        Method("random", first_rows, peer=False),
    )
    bad = tables.only(made, method="bad")
    assert ["error" in cell for cell in tables.only(bad, mode="at once", split=0)] == [False, False, True]
    assert ["error" in cell for cell in tables.only(bad, mode="in rounds", split=0)] == [False, True, True]
    assert tables.mean(bad, "nn") is None
    assert tables.paired(made, "ours", "bad", "nn") is None
    assert tables.best(made, ["bad"], "nn") is None
    text = page.page(made, ["bad"], {"lost": "no network"}, "A trial.")
    assert "**bad failed**: blobs: 16 picks after 0: too many; blobs: 4 picks after 4" in text
    assert "**lost is missing**: no network" in text
    assert "| bad | failed / failed |" in text


def test_picks_that_repeat_are_refused() -> None:
    method = methods.of_function("echo", lambda ids, vectors, k, selected: [ids[0]] * k)
    pool = Pool(np.eye(4, dtype=np.float32), Path("unused"), np.zeros(4, np.intp), 1)
    with pytest.raises(ValueError, match="echo gave 2 picks"):
        method.pick(pool, 2, [], 0)


CELLS = [
    {"set": one, "split": split, "mode": "at once", "method": method, "budget": budget, "nn": value}
    for one, split, method, values in [
        ("a", 0, "ours", (0.6, 0.8)), ("a", 1, "ours", (0.7, 0.9)), ("b", 0, "ours", (0.2, 0.4)), ("b", 1, "ours", (0.2, 0.4)),
        ("a", 0, "peer", (0.6, 0.7)), ("a", 1, "peer", (0.5, 0.9)), ("b", 0, "peer", (0.3, 0.4)), ("b", 1, "peer", (0.1, 0.4)),
    ]
    for budget, value in zip((10, 20), values, strict=True)
]  # fmt: skip


def test_means_are_over_budgets_then_splits_then_sets() -> None:
    ours = tables.only(CELLS, method="ours")
    one = tables.mean(tables.only(ours, set="a"), "nn")
    assert one is not None
    assert (one.mean, one.error) == (pytest.approx(0.75), pytest.approx(0.05))
    both = tables.mean(ours, "nn")
    assert both is not None
    assert (both.mean, both.error) == (pytest.approx(0.525), pytest.approx(0.025))
    assert both.text() == "52.5 ± 2.5"


def test_a_single_split_has_no_standard_error() -> None:
    one = tables.mean(tables.only(CELLS, method="ours", split=0), "nn")
    assert one is not None
    assert one.text() == "50.0"


def test_pairs_are_cells_of_the_same_split_and_budget() -> None:
    pair = tables.paired(CELLS, "ours", "peer", "nn")
    assert pair is not None
    assert pair.difference.mean == pytest.approx(0.0375)
    # Two splits of set a gain 0.05 and 0.1, of set b -0.05 and 0.05: standard errors 0.025 and 0.05 of independent sets.
    assert pair.difference.error == pytest.approx((0.025**2 + 0.05**2) ** 0.5 / 2)
    assert (pair.wins, pair.cells) == (5.0, 8)
    assert pair.text() == "+3.8 ± 2.8 (5 of 8)"
    assert tables.best(CELLS, ["ours", "peer"], "nn") == "ours"


def test_labels_to_reach_a_goal() -> None:
    points = {10: 0.5, 20: 0.6, 50: 0.9}
    assert tables.labels_to_reach(points, 0.75) == pytest.approx(35)
    assert tables.labels_to_reach(points, 0.4) == 10
    assert tables.labels_to_reach(points, 0.95) is None


def test_page_and_picture(tmp_path: Path) -> None:
    drawn = Method("random", methods.drawn, listed=True, seeds=2, peer=False)
    compared = [Method("ours", methods.ours, peer=False), drawn, Method("head", first_rows)]
    made = all_cells(tmp_path, *compared)
    text = page.page(made, ["head"], {}, "A trial.")
    assert "failed" not in text
    assert text.count("Paired difference to the best peer on the mean, head") == 4
    page.plot(made, ["head"], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
