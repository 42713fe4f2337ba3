"""What is kept of a pool, and how a large one is answered."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alaas_pipeline.engine import coverage, geometry, large, structure
from alaas_pipeline.engine.structure import Structure
from alaas_pipeline_tests.engine.contract import choose, every_strategy, everything
from alaas_pipeline_tests.engine.pools import long_tailed, names, noise

COUNT = 900
IDS = names(COUNT)
VECTORS = long_tailed(2, COUNT)[0]

LARGE = """
import numpy as np, sys
import alaas_pipeline.engine.select
from alaas_pipeline_tests.engine.contract import choose, everything
from alaas_pipeline_tests.engine.pools import long_tailed, names
module = sys.modules["alaas_pipeline.engine.select"]
module._EXACT, module._TARGETS = 200, 300
print(everything(choose("explore", names(900), long_tailed(2, 900)[0], 60, names(900)[:30])))
"""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of hundreds counts as a large one."""
    module = sys.modules["alaas_pipeline.engine.select"]
    for name, value in (("_EXACT", 200), ("_TARGETS", 300)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(structure, "_FITTED", 500)


@every_strategy
@pytest.mark.usefixtures("small")
def test_a_kept_structure_picks_what_a_new_one_picks(strategy: str, tmp_path: Path) -> None:
    keep, seen = tmp_path / "folder" / "pool.npz", list[str]()
    order = np.random.default_rng(0).permutation(COUNT)
    for number in range(3):
        expected = choose(strategy, IDS, VECTORS, 40, seen)
        rows = order if number % 2 else np.arange(COUNT)
        assert choose(strategy, [IDS[row] for row in rows], VECTORS[rows], 40, seen, keep=keep) == expected
        seen += everything(expected)
    assert os.listdir(keep.parent) == ["pool.npz"]
    # Another past than the one that was kept.
    assert choose(strategy, IDS, VECTORS, 40, seen[-5:], keep=keep) == choose(strategy, IDS, VECTORS, 40, seen[-5:])


@pytest.mark.usefixtures("small")
def test_a_stale_structure_is_noticed(tmp_path: Path) -> None:
    keep = tmp_path / "pool.npz"
    choose("coverage", IDS, VECTORS, 20, keep=keep)
    other = noise(COUNT, VECTORS.shape[1])
    swapped = VECTORS[::-1]
    for vectors in (other, swapped, VECTORS.astype(np.float64), VECTORS[:, :20]):
        assert choose("coverage", IDS, vectors, 20, keep=keep) == choose("coverage", IDS, vectors, 20)
    keep.write_bytes(keep.read_bytes()[:1000])
    assert choose("coverage", IDS, VECTORS, 20, keep=keep) == choose("coverage", IDS, VECTORS, 20)
    assert Structure.load(keep) is not None
    assert Structure.load(tmp_path / "none") is None


def test_picks_stand_where_nothing_can_be_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")
    keep = tmp_path / "file" / "pool.npz"
    assert choose("coverage", IDS, VECTORS, 20, keep=keep) == choose("coverage", IDS, VECTORS, 20)
    assert f"What is known of the pool cannot be kept in {keep}" in caplog.text


def test_a_change_of_one_image_is_noticed_and_the_others_are_used_again() -> None:
    kept = Structure.of(IDS, VECTORS)
    changed = VECTORS.copy()
    changed[7] = -changed[7]
    now = Structure.of(IDS[10:] + IDS[:10] + ["more"], np.vstack([changed[10:], changed[:10], VECTORS[:1]]), kept)
    assert now.axes is kept.axes
    assert np.array_equal(np.flatnonzero((now.space.codes[:COUNT] != kept.space.codes).any(axis=1)), [7])
    assert np.array_equal(now.space.codes[COUNT], kept.space.codes[0])
    assert now.made == {}
    assert Structure.of(IDS, VECTORS, kept).space is kept.space


def test_axes_are_fitted_anew_when_a_quarter_was_added_or_a_fifth_is_gone() -> None:
    for first, then, again in ((700, 870, False), (700, 900, True), (900, 740, False), (900, 700, True)):
        kept = Structure.of(IDS[:first], VECTORS[:first])
        now = Structure.of(IDS[:then], VECTORS[:then], kept)
        assert (now.axes is not kept.axes) == again
        if again:
            fresh = Structure.of(IDS[:then], VECTORS[:then])
            assert np.array_equal(now.space.codes, fresh.space.codes)


def test_a_large_pool_is_answered_the_same_by_any_number_of_threads() -> None:
    told = []
    for threads in ("1", "3"):
        env = {
            **os.environ,
            "PYTHONPATH": ":".join(sys.path),
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
        }
        told.append(subprocess.run([sys.executable, "-c", LARGE], env=env, check=True, capture_output=True).stdout)
    assert told[0] == told[1] != b""


@pytest.mark.usefixtures("small")
def test_settling_covers_more_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    space = geometry.fit(VECTORS, np.arange(COUNT))
    everyone = np.arange(COUNT)
    kernel = coverage.Kernel.of(space, coverage.squared_width(space, everyone, 30))

    def reached() -> float:
        rows = np.array([int(name[-5:]) for name in everything(choose("coverage", IDS, VECTORS, 30))])
        return float(kernel.covered(space, everyone, rows).mean())

    settled = reached()
    monkeypatch.setattr(large, "settled", lambda space, kernel, around, free, reach, chosen: chosen)
    assert settled > reached()


def test_copies_and_smallest_distances_against_plain_ones() -> None:
    vectors = np.vstack([VECTORS[:500], VECTORS[100:110], VECTORS[:1]])
    space = geometry.fit(vectors, np.arange(len(vectors)))
    rows = np.arange(len(vectors))
    squared = space.squared(rows, rows)
    assert np.array_equal(space.same(), (squared == 0).argmax(axis=1))
    for others in (rows, np.tile(rows, 5)):
        expected = np.sort(space.squared(rows, others), axis=1)
        for count in (1, 21, len(rows)):
            assert np.array_equal(space.smallest(rows, others, count), expected[:, :count])
