"""The contract that every strategy keeps."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alaas_pipeline.engine.select import STRATEGIES, PoolExhausted
from alaas_pipeline.errors import UserError
from alaas_pipeline_tests.engine.contract import PREFIX, choose, every_strategy, everything, keep
from alaas_pipeline_tests.engine.pools import long_tailed, names, noise, unit

ODD_IDS = [
    "", " ", "0", "00", "a\nb", "a\tb", "a\0b", "e\u0301", "\u00e9", "\u202egnp.tac", "\ufeffbom", "\U0001f408", "犬/猫.png",
    "x" * 4000, "'; drop table--", "../up", "NaN", "None", "\uffff", "\U0010ffff",
]  # fmt: skip

# Prints what each strategy picks of one pool.
ELSEWHERE = """
import json
from alaas_pipeline.engine.select import STRATEGIES
from alaas_pipeline_tests.engine.contract import choose, everything
from alaas_pipeline_tests.engine.pools import long_tailed, names
ids, vectors = names(300), long_tailed(3, 300)[0]
print(json.dumps({name: everything(choose(name, ids, vectors, 25, ids[:3])) for name in STRATEGIES}))
"""


@pytest.mark.parametrize(
    "broken", ["one too few", "one twice", "one picked before", "one excluded", "a gain that is no number"]
)
def test_an_answer_that_breaks_the_contract_is_noticed(broken: str) -> None:
    ids, vectors = names(30), noise(30)
    sound = choose("coverage", ids, vectors, 5)
    keep(sound, ids, 5, set(), set())
    first, *rest = sound.representatives
    picks = {
        "one too few": rest,
        "one twice": [first, first, *rest[1:]],
        "a gain that is no number": [replace(first, gain=np.nan), *rest],
    }
    selected = {first.id} if broken == "one picked before" else set()
    excluded = {first.id} if broken == "one excluded" else set()
    with pytest.raises(AssertionError):
        keep(replace(sound, representatives=picks.get(broken, [first, *rest])), ids, 5, selected, excluded)


@every_strategy
def test_rounds_never_repeat_and_exhaust_the_pool(strategy: str) -> None:
    ids, vectors = names(150), noise(150)
    excluded = set(ids[::10])
    seen: set[str] = set()
    rounds = 0
    while len(seen) < 135:
        seen |= set(everything(choose(strategy, ids, vectors, 20, seen, excluded)))
        rounds += 1
    assert seen == set(ids) - excluded
    assert 5 <= rounds <= 7
    with pytest.raises(PoolExhausted, match="150 images"):
        choose(strategy, ids, vectors, 20, seen, excluded)


@every_strategy
def test_two_halves_of_a_request_never_repeat(strategy: str) -> None:
    ids, (vectors, _) = names(120), long_tailed(5, 120)
    first = choose(strategy, ids, vectors, 15)
    second = choose(strategy, ids, vectors, 15, everything(first))
    assert not set(everything(first)) & set(everything(second))


@every_strategy
@pytest.mark.parametrize("k", [1, 7, 60, 61, 10_000])
def test_the_count_asked_for(strategy: str, k: int) -> None:
    ids, vectors = names(60), noise(60)
    selection = choose(strategy, ids, vectors, k)
    assert len(selection.representatives) == min(k, 60)
    if k >= 60:
        assert sorted(everything(selection)) == ids
        assert selection.metrics["remaining"] == 0


@every_strategy
def test_a_pool_that_is_short_gives_all_it_has(strategy: str) -> None:
    ids, vectors = names(60), noise(60)
    few = choose(strategy, ids, vectors, 50, ids[:30], ids[25:40])
    assert sorted(pick.id for pick in few.representatives) == ids[40:]
    assert few.outliers == []


@every_strategy
def test_a_pool_of_one(strategy: str) -> None:
    (pick,) = choose(strategy, ["only"], noise(1), 5).representatives
    assert (pick.id, pick.covers, pick.nearest, pick.distance) == ("only", 0, None, None)
    assert pick.reason == "Represents only itself; no earlier pick."
    with pytest.raises(PoolExhausted):
        choose(strategy, ["only"], noise(1), 1, ["only"])
    with pytest.raises(PoolExhausted):
        choose(strategy, ["only"], noise(1), 1, excluded=["only"])


@every_strategy
@pytest.mark.parametrize("value", [np.full((40, 8), 0.35), np.zeros((40, 8)), np.eye(1, 8).repeat(40, 0)])
def test_identical_vectors_fall_to_the_lowest_ids(strategy: str, value: np.ndarray) -> None:
    ids = names(40)
    assert everything(choose(strategy, ids, value, 3)) == ids[:3]
    assert everything(choose(strategy, ids[::-1], value, 3, ids[:3])) == ids[3:6]
    assert sorted(everything(choose(strategy, ids, value, 40))) == ids


@every_strategy
def test_dimensions_without_variance_change_nothing(strategy: str) -> None:
    ids, vectors = names(80), noise(80)
    widened = np.hstack([vectors, np.zeros((80, 5), np.float32)])
    assert everything(choose(strategy, ids, widened, 10)) == everything(choose(strategy, ids, vectors, 10))
    line = np.linspace(1, 2, 80)[:, None] * np.array([1.0, 0.0, 0.0]) + np.array([0.0, 1.0, 0.0])
    choose(strategy, ids, line, 10)


@every_strategy
def test_half_precision_and_scale_do_not_matter_much(strategy: str) -> None:
    ids, (vectors, _) = names(300), long_tailed(4, 300)
    half = choose(strategy, ids, vectors.astype(np.float16), 20)
    full = choose(strategy, ids, vectors.astype(np.float64) * 3, 20)
    assert len(set(everything(half)) & set(everything(full))) >= 12
    assert half.metrics["coverage_after"] == pytest.approx(full.metrics["coverage_after"], rel=0.01)


@every_strategy
def test_ten_thousand_duplicates_get_one_pick(strategy: str) -> None:
    few = noise(12, 32, seed=5)
    vectors = np.vstack([few[:1].repeat(10_000, 0), few[1:]])
    ids = names(len(vectors))
    got = everything(choose(strategy, ids, vectors, 12))
    assert sum(int(name[-5:]) < 10_000 for name in got) == 1


@every_strategy
def test_a_pool_that_holds_everything_twice_gives_the_same_picks(strategy: str) -> None:
    ids, (vectors, _) = names(200), long_tailed(7, 200)
    once = choose(strategy, ids, vectors, 20)
    twice = choose(strategy, [*ids, *(f"{name} again" for name in ids)], np.vstack([vectors, vectors]), 20)
    assert everything(twice) == everything(once)


@every_strategy
def test_earlier_picks_push_new_ones_elsewhere(strategy: str) -> None:
    rng = np.random.default_rng(0)
    blobs = rng.normal(size=(4, 16)).repeat(50, axis=0)
    vectors, ids = unit(blobs + 0.05 * rng.normal(size=blobs.shape)), names(200)
    first = choose(strategy, ids, vectors, 2, max_outliers=0)
    second = choose(strategy, ids, vectors, 2, everything(first), max_outliers=0)
    assert {int(name[-5:]) // 50 for name in everything(first) + everything(second)} == {0, 1, 2, 3}


@pytest.mark.parametrize("strategy", PREFIX)
def test_any_beginning_of_the_list_is_a_good_shorter_list(strategy: str) -> None:
    ids, (vectors, _) = names(300), long_tailed(10, 300)
    whole = [pick.id for pick in choose(strategy, ids, vectors, 40).representatives]
    for k in (5, 20):
        reached = choose(strategy, ids, vectors, 1, whole[:k]).metrics["coverage_before"]
        asked = choose(strategy, ids, vectors, k).metrics["coverage_after"]
        assert reached >= PREFIX[strategy] * asked


@every_strategy
def test_ids_may_be_any_text(strategy: str) -> None:
    vectors = noise(len(ODD_IDS), 6)
    selection = choose(strategy, ODD_IDS, vectors, 8, ["", "a\0b"], ["\U0001f408"])
    order = np.random.default_rng(1).permutation(len(ODD_IDS))
    again = choose(strategy, [ODD_IDS[i] for i in order], vectors[order], 8, ["a\0b", ""], ["\U0001f408"])
    assert again == selection


@every_strategy
def test_the_order_of_rows_does_not_matter(strategy: str) -> None:
    ids, (vectors, _) = names(400), long_tailed(1, 400)
    expected = choose(strategy, ids, vectors, 30, ids[:5])
    order = np.random.default_rng(2).permutation(400)
    assert choose(strategy, [ids[i] for i in order], vectors[order], 30, ids[4::-1]) == expected


@st.composite
def requests(draw: st.DrawFn) -> tuple[np.ndarray, int, list[str], list[str], list[int]]:
    """Small pools of small whole numbers: full of ties, copies, zeros and dimensions that say nothing."""
    count, dim = draw(st.integers(1, 24)), draw(st.integers(1, 5))
    rows = draw(st.lists(st.lists(st.integers(-2, 2), min_size=dim, max_size=dim), min_size=count, max_size=count))
    some = st.lists(st.sampled_from(names(count)), max_size=count, unique=True)
    order = draw(st.permutations(range(count)))
    return np.array(rows, np.float32), draw(st.integers(1, count + 2)), draw(some), draw(some), list(order)


@every_strategy
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(request=requests())
def test_no_order_of_rows_matters(strategy: str, request: tuple) -> None:
    vectors, k, selected, excluded, order = request
    ids = names(len(vectors))
    shuffled = [ids[row] for row in order], vectors[order], k, selected[::-1], excluded[::-1]
    if set(selected) | set(excluded) == set(ids):
        with pytest.raises(PoolExhausted):
            choose(strategy, *shuffled)
        return
    assert choose(strategy, *shuffled) == choose(strategy, ids, vectors, k, selected, excluded)


@every_strategy
def test_large_pools_are_sampled_the_same_way_in_any_order(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["alaas_pipeline.engine.select"]
    for name, value in (("_EXACT", 200), ("_TARGETS", 300), ("_STRETCH", 40)):
        monkeypatch.setattr(module, name, value)
    ids, (vectors, _) = names(900), long_tailed(2, 900)
    expected = choose(strategy, ids, vectors, 100, ids[:30])
    order = np.random.default_rng(0).permutation(900)
    assert choose(strategy, [ids[i] for i in order], vectors[order], 100, ids[:30]) == expected
    assert len(choose(strategy, ids, vectors, 2000).representatives) == 900


@pytest.mark.parametrize("threads", ["1", "2"])
def test_other_processes_and_thread_counts_pick_the_same(threads: str) -> None:
    ids, (vectors, _) = names(300), long_tailed(3, 300)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": f"5{threads}"}
    env |= {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    run = subprocess.run([sys.executable, "-c", ELSEWHERE], env=env, capture_output=True, text=True, check=True)
    here = {name: everything(choose(name, ids, vectors, 25, ids[:3])) for name in STRATEGIES}
    assert json.loads(run.stdout) == here


@every_strategy
def test_bad_vectors_are_refused_by_name(strategy: str) -> None:
    vectors = noise(30)
    vectors[4, 2], vectors[17, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match="image-00004, image-00017"):
        choose(strategy, names(30), vectors, 3)


@every_strategy
def test_only_directions_matter_and_what_float32_cannot_hold_is_refused(strategy: str) -> None:
    ids, vectors = names(40), noise(40).astype(np.float64)
    expected = everything(choose(strategy, ids, vectors, 6))
    for scale in (1e-12, 1e12):
        assert everything(choose(strategy, ids, vectors * scale, 6)) == expected
    for scale in (1e-25, 1e25, 1e300):
        odd = vectors.copy()
        odd[[3, 20]] *= scale
        with pytest.raises(ValueError, match="too short to be compared: image-00003, image-00020"):
            choose(strategy, ids, odd, 6)
    vectors[5] = 0
    choose(strategy, ids, vectors, 6)


@every_strategy
def test_impossible_requests_are_refused(strategy: str) -> None:
    ids, vectors = names(10), noise(10)
    for k in (0, -1):
        with pytest.raises(ValueError, match="At least one"):
            choose(strategy, ids, vectors, k)
    with pytest.raises(ValueError, match="come twice: image-00000"):
        choose(strategy, [*ids[:9], ids[0]], vectors, 2)
    with pytest.raises(ValueError, match="no vector: gone"):
        choose(strategy, ids, vectors, 2, ["gone", ids[1]])
    with pytest.raises(ValueError, match="9 ids do not fit"):
        choose(strategy, ids[:9], vectors, 2)
    with pytest.raises(ValueError, match="floats"):
        choose(strategy, ids, np.ones((10, 3), int), 2)
    with pytest.raises(PoolExhausted, match="pool is empty"):
        choose(strategy, [], np.empty((0, 4)), 2)
    assert len(choose(strategy, ids, vectors, 2, excluded=["unknown"]).representatives) == 2
    assert issubclass(PoolExhausted, UserError)


@every_strategy
def test_ids_that_are_no_text_are_ids_all_the_same(strategy: str) -> None:
    ids = ["a\udcff", *names(19)]
    assert set(ids) == set(everything(choose(strategy, ids, noise(20), 20)))
