"""The contract that every strategy keeps, and what each one promises beside."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

import alaas_pipeline.engine.select
from alaas_pipeline.engine import select as select_from_package
from alaas_pipeline.engine.select import STRATEGIES, PoolExhausted, Selection, select
from alaas_pipeline.errors import UserError
from alaas_pipeline_tests.engine.pools import long_tailed, names, nearest_neighbour_score, unit

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def everything(selection: Selection) -> list[str]:
    return [pick.id for pick in [*selection.representatives, *selection.outliers]]


def noise(count: int, dim: int = 12, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, dim)))


@every_strategy
def test_rounds_never_repeat_and_exhaust_the_pool(strategy: str) -> None:
    ids, vectors = names(150), noise(150)
    excluded = set(ids[::10])
    seen: set[str] = set()
    rounds = 0
    while len(seen) < 135:
        got = everything(select(ids, vectors, 20, strategy=strategy, selected=seen, excluded=excluded))
        assert len(got) == len(set(got)) > 0
        assert not set(got) & (seen | excluded)
        seen |= set(got)
        rounds += 1
    assert seen == set(ids) - excluded
    assert 5 <= rounds <= 7
    with pytest.raises(PoolExhausted, match="150 images"):
        select(ids, vectors, 20, strategy=strategy, selected=seen, excluded=excluded)


@every_strategy
def test_the_order_of_rows_does_not_matter(strategy: str) -> None:
    ids, (vectors, _) = names(400), long_tailed(1, 400)
    expected = select(ids, vectors, 30, strategy=strategy, selected=ids[:5])
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(400)
        again = select([ids[i] for i in order], vectors[order], 30, strategy=strategy, selected=ids[4::-1])
        assert again == expected


@every_strategy
def test_large_pools_are_sampled_the_same_way_in_any_order(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["alaas_pipeline.engine.select"]
    for name, value in (("_EXACT", 200), ("_TARGETS", 300), ("_STRETCH", 40)):
        monkeypatch.setattr(module, name, value)
    ids, (vectors, _) = names(900), long_tailed(2, 900)
    expected = select(ids, vectors, 100, strategy=strategy, selected=ids[:30])
    assert len(expected.representatives) == 100
    assert not set(everything(expected)) & set(ids[:30])
    order = np.random.default_rng(0).permutation(900)
    assert select([ids[i] for i in order], vectors[order], 100, strategy=strategy, selected=ids[:30]) == expected
    assert len(select(ids, vectors, 2000, strategy=strategy).representatives) == 900


@every_strategy
def test_other_processes_and_thread_counts_pick_the_same(strategy: str) -> None:
    ids, (vectors, _) = names(300), long_tailed(3, 300)
    code = (
        "from alaas_pipeline.engine.select import select\n"
        "from alaas_pipeline_tests.engine.pools import long_tailed, names\n"
        f"s = select(names(300), long_tailed(3, 300)[0], 25, strategy={strategy!r})\n"
        "print(*[p.id for p in [*s.representatives, *s.outliers]])\n"
    )
    env = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "5"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert run.stdout.split() == everything(select(ids, vectors, 25, strategy=strategy))


@every_strategy
def test_the_count_asked_for(strategy: str) -> None:
    ids, vectors = names(60), noise(60)
    for k in (1, 7, 60):
        assert len(select(ids, vectors, k, strategy=strategy).representatives) == k
    few = select(ids, vectors, 50, strategy=strategy, selected=ids[:40])
    assert sorted(pick.id for pick in few.representatives) == ids[40:]
    assert few.outliers == []


@every_strategy
def test_a_pool_of_one(strategy: str) -> None:
    selection = select(["only"], noise(1), 5, strategy=strategy)
    (pick,) = selection.representatives
    assert (pick.id, pick.covers, pick.nearest, pick.distance) == ("only", 0, None, None)
    assert pick.reason == "Represents only itself; no earlier pick."
    with pytest.raises(PoolExhausted):
        select(["only"], noise(1), 1, strategy=strategy, selected=["only"])
    with pytest.raises(PoolExhausted):
        select(["only"], noise(1), 1, strategy=strategy, excluded=["only"])


@every_strategy
@pytest.mark.parametrize("value", [np.full((40, 8), 0.35), np.zeros((40, 8)), np.eye(1, 8).repeat(40, 0)])
def test_identical_vectors_fall_to_the_lowest_ids(strategy: str, value: np.ndarray) -> None:
    ids = names(40)
    first = select(ids, value, 3, strategy=strategy)
    assert everything(first) == ids[:3]
    assert everything(select(ids[::-1], value, 3, strategy=strategy, selected=ids[:3])) == ids[3:6]


@every_strategy
def test_dimensions_without_variance_change_nothing(strategy: str) -> None:
    ids, vectors = names(80), noise(80)
    widened = np.hstack([vectors, np.zeros((80, 5), np.float32)])
    assert everything(select(ids, widened, 10, strategy=strategy)) == everything(
        select(ids, vectors, 10, strategy=strategy)
    )


@every_strategy
def test_half_precision_and_scale_do_not_matter_much(strategy: str) -> None:
    ids, (vectors, _) = names(300), long_tailed(4, 300)
    half = select(ids, vectors.astype(np.float16), 20, strategy=strategy)
    full = select(ids, vectors * 3, 20, strategy=strategy)
    assert len(set(everything(half)) & set(everything(full))) >= 18


@every_strategy
def test_ten_thousand_duplicates_get_one_pick(strategy: str) -> None:
    few = noise(12, 32, seed=5)
    vectors = np.vstack([few[:1].repeat(10_000, 0), few[1:]])
    ids = names(len(vectors))
    got = everything(select(ids, vectors, 12, strategy=strategy))
    assert sum(int(name[-5:]) < 10_000 for name in got) == 1


@every_strategy
def test_earlier_picks_push_new_ones_elsewhere(strategy: str) -> None:
    rng = np.random.default_rng(0)
    blobs = rng.normal(size=(4, 16)).repeat(50, axis=0)
    vectors, ids = unit(blobs + 0.05 * rng.normal(size=blobs.shape)), names(200)
    first = select(ids, vectors, 2, strategy=strategy, max_outliers=0)
    second = select(ids, vectors, 2, strategy=strategy, selected=everything(first), max_outliers=0)
    assert {int(name[-5:]) // 50 for name in everything(first) + everything(second)} == {0, 1, 2, 3}


@every_strategy
def test_bad_vectors_are_refused_by_name(strategy: str) -> None:
    vectors = noise(30)
    vectors[4, 2], vectors[17, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match="image-00004, image-00017"):
        select(names(30), vectors, 3, strategy=strategy)


@every_strategy
def test_impossible_requests_are_refused(strategy: str) -> None:
    ids, vectors = names(10), noise(10)
    for k in (0, -1):
        with pytest.raises(ValueError, match="At least one"):
            select(ids, vectors, k, strategy=strategy)
    with pytest.raises(ValueError, match="come twice: image-00000"):
        select([*ids[:9], ids[0]], vectors, 2, strategy=strategy)
    with pytest.raises(ValueError, match="no vector: gone"):
        select(ids, vectors, 2, strategy=strategy, selected=["gone", ids[1]])
    with pytest.raises(ValueError, match="9 ids do not fit"):
        select(ids[:9], vectors, 2, strategy=strategy)
    with pytest.raises(ValueError, match="floats"):
        select(ids, np.ones((10, 3), int), 2, strategy=strategy)
    with pytest.raises(PoolExhausted, match="pool is empty"):
        select([], np.empty((0, 4)), 2, strategy=strategy)
    assert len(select(ids, vectors, 2, strategy=strategy, excluded=["unknown"]).representatives) == 2
    assert issubclass(PoolExhausted, UserError)


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
