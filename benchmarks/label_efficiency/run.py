"""The cells: every method on every split, at once and in rounds."""

import logging
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.label_efficiency import data, methods, peers
from benchmarks.label_efficiency.data import LabelledSet
from benchmarks.label_efficiency.methods import Method, Pool
from benchmarks.label_efficiency.peers import PeerFailed
from benchmarks.label_efficiency.scores import Scorer

log = logging.getLogger(__name__)

BUDGETS = (10, 20, 50, 100, 200)
SHARE = 0.6
MODES = ("at once", "in rounds")
Cell = dict[str, Any]

_cache: Path
_peers: peers.Peers


def subsample(images: int, split: int) -> NDArray[np.intp]:
    """Draws the rows of a split, in random order: the same for every method, and others for every split."""
    return np.random.default_rng([images, split]).permutation(images)[: round(SHARE * images)]


def start(cache: Path, broken: dict[str, str]) -> None:
    """Prepares a process for splits: its peers stay up from one to the next, for some take long to start."""
    global _cache, _peers
    _cache, _peers = cache, peers.Peers(cache, broken)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for chatty in ("alaas_pipeline", "faiss"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def one_split(name: str, split: int, wanted: list[str], extra: list[str]) -> list[Cell]:
    """Runs a split: the methods `wanted`, or all, and `extra` ones given as "module:function"."""
    compared = [one for one in methods.everything(_peers) if not wanted or one.name in wanted]
    compared[1:1] = [methods.named(place) for place in extra]
    with tempfile.TemporaryDirectory() as scratch:
        return [cell for part in cells(data.load(name, _cache), split, compared, Path(scratch)) for cell in part]


def cells(one: LabelledSet, split: int, compared: Iterable[Method], scratch: Path) -> Iterator[list[Cell]]:
    """Runs all methods on a split; gives the cells of one method at a time.

    A cell is one set, split, mode, method and budget, with scores (see `Scorer`) and `seconds` (of one selection of so many at once, or
    of the round that reached so many), or with an `error`.
    """
    classes, numbers = np.unique(np.concatenate([one.train.labels, one.test.labels]), return_inverse=True)
    train, truth = numbers[: len(one.train.labels)], numbers[len(one.train.labels) :]
    rows = subsample(len(train), split)
    vectors = np.ascontiguousarray(one.train.vectors[rows])
    file = scratch / "pool.npy"
    np.save(file, vectors)
    pool = Pool(vectors, file, train[rows], len(classes))
    scorer = Scorer(vectors, train[rows], one.test.vectors, truth)
    for method in compared:
        begun = time.perf_counter()
        made = [
            {"set": one.name, "split": split, "mode": mode, "method": method.name, "budget": budget, **told}
            for mode, budget, told in _answers(method, pool, scorer, split)
        ]
        log.info("%s, split %d: %s in %.1f s.", one.name, split, method.name, time.perf_counter() - begun)
        yield made


def _answers(method: Method, pool: Pool, scorer: Scorer, split: int) -> list[tuple[str, int, dict[str, Any]]]:
    runs = [_run(method, pool, scorer, method.seeds * split + seed) for seed in range(method.seeds)]
    merged = []
    for same in zip(*runs, strict=True):
        mode, budget, _ = same[0]
        told = [one for _, _, one in same]
        bad = next((one for one in told if "error" in one), None)
        merged.append((mode, budget, bad or {name: float(np.mean([one[name] for one in told])) for name in told[0]}))
    return merged


def _run(method: Method, pool: Pool, scorer: Scorer, seed: int) -> list[tuple[str, int, dict[str, Any]]]:
    out = []
    if method.listed:
        picks, told = _pick(method, pool, BUDGETS[-1], [], seed)
        out = [
            (MODES[0], budget, told if "error" in told else {**told, **scorer(picks[:budget])}) for budget in BUDGETS
        ]
    for budget in () if method.listed or method.labelled else BUDGETS:
        picks, told = _pick(method, pool, budget, [], seed)
        out.append((MODES[0], budget, told if "error" in told else {**told, **scorer(picks)}))
    before: list[int] = []
    told = {}
    for budget in BUDGETS:
        # A round that failed leaves nothing to go on from.
        if "error" not in told:
            picks, told = _pick(method, pool, budget - len(before), before, seed)
            before = before + picks
        out.append((MODES[1], budget, told if "error" in told else {**told, **scorer(before)}))
    return out


def _pick(method: Method, pool: Pool, k: int, before: list[int], seed: int) -> tuple[list[int], dict[str, Any]]:
    try:
        picks, seconds = method.pick(pool, k, before, seed)
    except (PeerFailed, ValueError, MemoryError) as error:
        log.info("%s failed at %d picks after %d: %s", method.name, k, len(before), error)
        return [], {"error": f"{k} picks after {len(before)}: {error or type(error).__name__}"}
    return picks, {"seconds": seconds}
