"""What the strategies promise beside the contract."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

import alaas_pipeline.engine.select
from alaas_pipeline.engine import select as select_from_package
from alaas_pipeline.engine.select import select
from alaas_pipeline_tests.engine.contract import every_strategy, everything
from alaas_pipeline_tests.engine.pools import long_tailed, names, nearest_neighbour_score, noise, unit


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="use one of coverage, explore"):
        select(names(3), noise(3), 1, strategy="best")
    with pytest.raises(ValueError, match="outliers cannot be -1"):
        select(names(3), noise(3), 1, strategy="explore", max_outliers=-1)


@every_strategy
def test_the_account_adds_up(strategy: str) -> None:
    ids, (vectors, _) = names(300), long_tailed(6, 300)
    selection = select(ids, vectors, 20, strategy=strategy, selected=ids[:1])
    picks = selection.representatives
    assert all(pick.kind == "representative" for pick in picks)
    assert all(earlier.gain >= later.gain for earlier, later in pairwise(picks))
    assert 0 < sum(pick.gain for pick in picks) < 1
    assert 0 < sum(pick.covers for pick in picks) <= 300 - 21
    known = {ids[0]}
    for pick in picks:
        assert pick.nearest in known
        assert pick.distance is not None
        assert 0 < pick.distance <= 2
        assert f"{pick.distance:.2f} away" in pick.reason
        known.add(pick.id)
    figures = selection.metrics
    assert 0 < figures["coverage_before"] < figures["coverage_random"] < figures["coverage_after"] < 1
    assert 0 < figures["radius_p95"] <= figures["radius_max"] <= 2
    assert figures["picked"] == len(everything(selection))
    assert figures["remaining"] == 299 - figures["picked"]
    first = select(ids, vectors, 1, strategy=strategy).representatives[0]
    assert first.reason == "Newly represents 299 images; no earlier pick."


def test_coverage_beats_random_on_a_long_tail() -> None:
    wins, ours, others = 0, [], []
    for seed in range(5):
        vectors, labels = long_tailed(seed)
        ids = names(len(vectors))
        picked = [int(pick.id[-5:]) for pick in select(ids, vectors, 40).representatives]
        ours.append(nearest_neighbour_score(vectors, labels, np.array(picked)))
        rng = np.random.default_rng(seed)
        draws = [nearest_neighbour_score(vectors, labels, rng.choice(len(ids), 40, False)) for _ in range(10)]
        others.append(float(np.mean(draws)))
        wins += ours[-1] > others[-1]
    assert wins == 5
    assert np.mean(ours) > np.mean(others) + 0.10


def test_rounds_reach_nearly_what_one_shot_reaches() -> None:
    vectors, _ = long_tailed(8)
    ids = names(len(vectors))
    whole = select(ids, vectors, 40).metrics["coverage_after"]
    seen: list[str] = []
    reached = 0.0
    for _ in range(4):
        last = select(ids, vectors, 10, selected=seen)
        seen += everything(last)
        reached = last.metrics["coverage_after"]
    assert reached > 0.97 * whole


def test_explore_is_coverage_and_distinct_outliers() -> None:
    ids, (vectors, _) = names(600), long_tailed(9, 600)
    plain, explored = select(ids, vectors, 25), select(ids, vectors, 25, strategy="explore")
    assert explored.representatives == plain.representatives
    assert plain.outliers == []
    assert len(explored.outliers) <= 5
    assert not {pick.id for pick in explored.outliers} & {pick.id for pick in plain.representatives}
    assert select(ids, vectors, 25, strategy="explore", max_outliers=0).outliers == []


@pytest.mark.parametrize("seed", range(3))
def test_explore_finds_planted_oddities_and_a_burst_only_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(6, 32))
    vectors = centre[rng.integers(0, 6, 600)] + 0.3 * rng.normal(size=(600, 32)) + 3
    planted = list(range(0, 100, 10))
    vectors[planted] = 3 + 2 * rng.normal(size=(10, 32))
    burst = list(range(101, 115))
    vectors[burst] = 3 + 2 * rng.normal(size=(1, 32)) + 0.02 * rng.normal(size=(14, 32))
    selection = select(names(600), unit(vectors), 6, strategy="explore", max_outliers=30)
    covered = {int(name[-5:]) for name in everything(selection)}
    odd = [int(pick.id[-5:]) for pick in selection.outliers]
    assert len(covered & set(planted)) >= 8
    assert len(covered & set(burst)) == 1
    assert len(set(odd) - set(planted) - set(burst)) <= len(odd) / 3
    assert selection.outliers[0].gain > 3
    assert selection.outliers[0].reason.startswith("Unlike the rest: its nearest images reach")


def test_the_module_answers_to_its_own_name() -> None:
    assert select_from_package is alaas_pipeline.engine.select
    expected = select(names(20), noise(20), 3)
    assert select_from_package(names(20), noise(20), 3) == expected
    code = (
        "import sys, alaas_pipeline.engine as engine\n"
        "assert not {'faiss', 'torch', 'polars', 'numpy'} & set(sys.modules)\n"
        "from alaas_pipeline.engine import select, Pick, near_duplicates, PoolExhausted\n"
        "assert callable(select) and not {'faiss', 'torch', 'polars'} & set(sys.modules)\n"
    )
    env = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
