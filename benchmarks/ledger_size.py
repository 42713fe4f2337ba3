"""How the ledger's work grows with the size of a pool.

    .venv/bin/python benchmarks/ledger_size.py [--sizes 10000,100000,1000000]

For each size a process of its own fills one pool through the ledger's functions, then measures, in milliseconds (the median of a few):

- `open`: an empty transaction: lock, attach, detach.
- `counts`: the figures that progress is shown by.
- `round`: what a round of 1,000 picks asks of the ledger: images without a vector, those that may not be picked, those that are picked
  already, details of the picks, then writing picks and file names, and noting the uploads.
- `write`: a transaction that changes one row.
- `rescan`: what a scan that finds nothing new reads and writes; `1% new`: one that finds one image in a hundred new, and as many gone.
- `near`: writing anew which images are nearly the same (one in ten).
- `fill`: seconds that it took to write files, images and vectors.

The last lines say by how much each grew from one size to the next.
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from alaas_pipeline.config import PoolSettings
from alaas_pipeline.ledger import Ledger, credits, images, pools, pushes, rounds, selections
from alaas_pipeline.ledger.selections import PickedImage

POOL, ENCODER, PICKS, PART = "big", "tiny-1", 1000, 512
SETTINGS = PoolSettings.model_validate(
    {
        "name": "Big", "source": "/photos", "images_per_round": PICKS, "platform": "sandbox", "price_per_image": "0.05",
        "avala": {"owner": "team", "template": "00000000-0000-4000-8000-000000000001"},
    }
)  # fmt: skip
COLUMNS = ["open", "write", "counts", "round", "rescan", "1% new", "near", "file MB", "fill s"]


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def file_row(number: int) -> dict:
    path = f"folder {number % 100}/photo-{number}.jpg"
    return {"path": path, "digest": digest(number), "bytes": 250_000, "version": str(number), "reason": None}


def image_row(number: int) -> dict:
    return {
        "digest": digest(number), "image_id": file_row(number)["path"], "bytes": 250_000, "state": "accepted", "reason": None,
        "unfit_reason": "gif" if number % 500 == 1 else None, "format": "jpeg", "mode": "RGB", "width": 640, "height": 480,
        "shown_width": 640, "shown_height": 480, "frames": 1,
    }  # fmt: skip


def fill(ledger: Ledger, size: int) -> None:
    """One file in a hundred repeats the bytes of another; four rounds of picks are made."""
    numbers = range(size)
    files = [file_row(number) for number in numbers]
    files += [{**file_row(number), "path": f"copies/{number}.jpg"} for number in range(0, size, 100)]
    with ledger.transaction() as tx:
        pools.ensure(tx, POOL, "Big")
        pools.use_encoder(tx, POOL, "efficientnet-lite0", ENCODER)
        credits.grant_up_to(tx, POOL, 10 * size)
        images.record_scan(tx, POOL, files, [image_row(number) for number in numbers], [])
    digests = [digest(number) for number in numbers]
    for block in range(0, size, 100 * PART):  # a few parts at a time: what a part takes is measured as `write`
        with ledger.transaction() as tx:
            for start in range(block, min(size, block + 100 * PART), PART):
                some = digests[start : start + PART]
                images.record_embedded(tx, POOL, ENCODER, f"{start}.parquet", some, {}, f"embed:{start}")
    for number in range(4):
        next_round(ledger, [digest(one) for one in range(number, size, size // PICKS)][:PICKS])


def next_round(ledger: Ledger, picked: list[str]) -> None:
    with ledger.transaction() as tx:
        key = rounds.open_next(tx, SETTINGS).key
        images.to_embed(tx, POOL, ENCODER)
        images.embedded(tx, POOL, ENCODER)
        barred = set(images.not_pickable(tx, POOL)) | set(images.selected(tx, POOL))
        images.ids(tx, POOL)
    picks = [PickedImage(one, "representative", 0.1, 5, None, None, "x") for one in picked if one not in barred]
    with ledger.transaction() as tx:
        selections.record(tx, POOL, key, picks, "coverage", ENCODER, {"pool": 1.0})
        rounds.advance(tx, key, "selected")
    with ledger.transaction() as tx:
        details = images.details(tx, POOL, [pick.digest for pick in picks])
        pushes.plan(tx, key, {one: f"{one[:12]}.jpg" for one in details})
    with ledger.transaction() as tx:
        pushes.uploaded(tx, key, [pick.digest for pick in picks])
        rounds.advance(tx, key, "refused")


def milliseconds(times: int, work: Callable[[], object]) -> float:
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        took.append(time.perf_counter() - begun)
    return 1000 * statistics.median(took)


def measure(size: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.duckdb")
        begun = time.perf_counter()
        fill(ledger, size)
        filled = time.perf_counter() - begun
        names = iter(range(1_000_000))

        def empty() -> None:
            with ledger.transaction():
                pass

        def write() -> None:
            with ledger.transaction() as tx:
                credits.reserve(tx, POOL, f"x:{next(names)}", 1, "x")

        def counts() -> None:
            with ledger.transaction() as tx:
                images.counts(tx, POOL)

        def one_round() -> None:
            start = 4 + next(names) % 4
            next_round(ledger, [digest(one) for one in range(start, size, size // PICKS)][:PICKS])

        def rescan(new: int) -> None:
            with ledger.transaction() as tx:
                known = images.known_files(tx, POOL)
            first = size + next(names) * size
            numbers = range(first, first + new)
            gone = [f"copies/{number}.jpg" for number in range(0, size, 100)][:new]
            with ledger.transaction() as tx:
                assert len(known) > size
                images.record_scan(
                    tx, POOL, [file_row(one) for one in numbers], [image_row(one) for one in numbers], gone
                )

        def near() -> None:
            with ledger.transaction() as tx:
                images.set_near_duplicates(tx, POOL, {digest(n): digest(n - n % 10) for n in range(0, size, 5)})

        return {
            "open": milliseconds(9, empty), "write": milliseconds(9, write), "counts": milliseconds(3, counts),
            "round": milliseconds(3, one_round), "rescan": milliseconds(3, lambda: rescan(0)),
            "1% new": milliseconds(1, lambda: rescan(size // 100)), "near": milliseconds(1, near),
            "file MB": ledger.path.stat().st_size / 1e6, "fill s": filled,
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default="10000,100000,1000000", help="images in the pool, with commas between")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.measure)))
        return
    print("".join(f"{name:>11}" for name in ["images", *COLUMNS]), flush=True)
    before: dict[str, float] = {}
    growth = []
    for size in map(int, chosen.sizes.split(",")):
        answer = subprocess.run([sys.executable, __file__, "--measure", str(size)], check=True, stdout=subprocess.PIPE)
        took = json.loads(answer.stdout)
        print(f"{size:>11,}" + "".join(f"{took[name]:>11,.1f}" for name in COLUMNS), flush=True)
        if before:
            growth.append(f"{'times':>11}" + "".join(f"{took[name] / before[name]:>11,.1f}" for name in COLUMNS))
        before = took
    print("\n".join(growth))


if __name__ == "__main__":
    main()
