"""How long selection takes and how much memory: a million images, the next round, peers on the same vectors, and growth.

    .venv/bin/python benchmarks/select_speed.py [--quick] [--repeats 1] [--out benchmarks/results]

Vectors are a seeded mixture of 300 clusters of uneven size, each about 12 dimensions wide, of unit length in half precision. Everybody gets
the same files and two cores, is a process of its own, and takes turns with the others. Times are those of the call, vectors mapped
or loaded before and libraries imported (ours imports within, and that counts); memory is the peak of the process, vectors included.
Shown are the least of the repeats. Peers are installed into environments of their own as in `benchmarks/label_efficiency`.

- `first`: what is kept of the pool is made and written. `next`: it is read; the picks of the first round count as selected.
- MaxHerding of scikit-activeml holds the matrix of all pairs: pools grow until it passes 16 GiB or its time.
- lightly-mundig as diversity alone, and with typicality of 20 neighbours.
"""

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from label_efficiency.peers import install

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "alaas-benchmarks"
LIMIT_S, LIMIT_BYTES = 240.0, 16 << 30
CLUSTERS, WIDE, CHUNK = 300, 12, 50_000


def make_pool(path: Path, count: int, dim: int) -> Path:
    """Any beginning of a file is what a shorter file of the same width holds."""
    drawn = np.random.default_rng(dim)
    share = 1 / np.arange(1, CLUSTERS + 1) ** 0.8
    groups = drawn.normal(size=(20, dim))[drawn.integers(0, 20, CLUSTERS)]
    centres = (groups + drawn.normal(size=(CLUSTERS, dim)) + 2 * drawn.normal(size=dim)) / np.sqrt(dim)
    bases = drawn.normal(size=(CLUSTERS, WIDE, dim)) * 0.9 ** np.arange(WIDE)[:, None] / np.sqrt(dim)
    bases *= drawn.uniform(0.2, 0.5, CLUSTERS)[:, None, None]
    out = np.lib.format.open_memmap(path, "w+", np.float16, (count, dim))
    for number, start in enumerate(range(0, count, CHUNK)):
        here = np.random.default_rng([dim, number])
        label = here.choice(CLUSTERS, CHUNK, p=share / share.sum())
        inner = here.normal(size=(CHUNK, WIDE))
        rows = 0.1 / np.sqrt(dim) * here.standard_normal((CHUNK, dim), np.float32)
        for cluster in range(CLUSTERS):
            members = np.flatnonzero(label == cluster)
            rows[members] += (centres[cluster] + inner[members] @ bases[cluster]).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        out[start : start + CHUNK] = rows[: count - start]
    return path


def answer(asked: dict[str, Any]) -> None:
    """One selection of ours, in a process of its own."""
    from alaas_pipeline.engine.select import select

    vectors = np.load(asked["vectors"], mmap_mode="r")[: asked["count"]]
    ids = [str(row) for row in range(len(vectors))]
    keep = Path(asked["keep"]) if asked["keep"] else None
    begun, worked = time.perf_counter(), time.process_time()
    found = select(ids, vectors, asked["k"], selected=[str(row) for row in asked["selected"]], keep=keep)
    told = {"wall_s": time.perf_counter() - begun, "cpu_s": time.process_time() - worked}
    # Not of `getrusage`, which begins at what the process that started this one held.
    told["peak_gib"] = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 2**20
    print(json.dumps(told | {"picks": [int(pick.id) for pick in found.representatives]}))


def environment() -> dict[str, str]:
    return os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "2")


def ours(vectors: Path, count: int, k: int, keep: Path | None = None, selected: list[int] | None = None) -> dict:
    asked = {"vectors": str(vectors), "count": count, "k": k, "keep": str(keep or ""), "selected": selected or []}
    command = [sys.executable, __file__, "--answer"]
    done = subprocess.run(
        command, input=json.dumps(asked), env=environment(), check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def peer(name: str, vectors: Path, count: int, k: int, scratch: Path, **question: Any) -> dict:
    """One selection of a peer: its figures, or why there are none."""
    single = scratch / f"single-{count}.npy"
    if not single.exists():
        np.save(single, np.load(vectors, mmap_mode="r")[:count].astype(np.float32))
    asked = {"vectors": str(single), "k": k, "selected": [], "labels": None, "settings": {}} | question
    python = CACHE / "peers" / name / "bin" / "python"
    worker = Path(__file__).parent / "label_efficiency" / "worker.py"
    limits = lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))  # noqa: E731
    with subprocess.Popen(
        [str(python), str(worker)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=environment(), preexec_fn=limits,
    ) as process:  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            told = json.loads(process.communicate(json.dumps(asked) + "\n", timeout=LIMIT_S)[0] or "{}")
        except subprocess.TimeoutExpired:
            process.kill()
            told = {"error": f"more than {LIMIT_S:.0f} s"}
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if "seconds" not in told:
        return {"failed": told.get("error", "died").splitlines()[0][:80]}
    # The processor time holds the imports too.
    return {"wall_s": told["seconds"], "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def least(tries: list[dict]) -> dict:
    found = [one for one in tries if "wall_s" in one]
    return min(found, key=lambda one: one["wall_s"]) if found else tries[-1]


class Page:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.rows: list[dict[str, Any]] = []

    def part(self, title: str) -> None:
        head = ["", f"## {title}", "", "| what | images | dim | picks | seconds | CPU s | peak GiB | times ours |"]
        self.say(*head, "|---|--:|--:|--:|--:|--:|--:|--:|")

    def row(self, what: str, count: int, dim: int, k: int, told: dict, ours_s: float | None = None) -> None:
        figures = {name: told[name] for name in ("wall_s", "cpu_s", "peak_gib", "failed") if name in told}
        self.rows.append({"what": what, "images": count, "dim": dim, "picks": k} | figures)
        took = [f"{told[name]:.1f}" if name in told else "" for name in ("wall_s", "cpu_s", "peak_gib")]
        times = f"{told['wall_s'] / ours_s:.1f}" if ours_s and "wall_s" in told else ""
        if "failed" in told:
            took[0] = told["failed"]
        self.say(f"| {what} | {count:,} | {dim} | {k:,} | {' | '.join(took)} | {times} |")

    def say(self, *lines: str) -> None:
        self.lines += lines
        print("\n".join(lines), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="Small pools: whether it runs at all.")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.answer:
        answer(json.load(sys.stdin))
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    broken = install(CACHE)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    shrink = 20 if chosen.quick else 1
    big, middle = 1_000_000 // shrink, 50_000 // (5 if chosen.quick else 1)
    k, page = 1_000 // (5 if chosen.quick else 1), Page()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        pool = make_pool(scratch / "512.npy", big, 512)
        page.say("# Selection: seconds and memory")
        page.part("A large pool, and its next round")
        first, later = [], []
        for number in range(chosen.repeats):
            keep = scratch / f"keep-{number}"
            first.append(ours(pool, big, k, keep))
            later.append(ours(pool, big, k, keep, first[-1]["picks"]))
        page.row("ours, first", big, 512, k, least(first), least(first)["wall_s"])
        page.row("ours, next", big, 512, k, least(later), least(first)["wall_s"])

        page.part("Against lightly-mundig")
        tries: dict[str, list[dict]] = {"ours": [], "diversity": [], "diversity + typicality(20)": []}
        for _ in range(chosen.repeats):
            tries["ours"].append(ours(pool, middle, k))
            for what, settings in (("diversity", {}), ("diversity + typicality(20)", {"typicality": 20})):
                tries[what].append(
                    {"failed": broken["mundig"]} if "mundig" in broken
                    else peer("mundig", pool, middle, k, scratch, method="lightly", settings=settings)
                )  # fmt: skip
        for what, told in tries.items():
            page.row(what, middle, 512, k, least(told), least(tries["ours"])["wall_s"])

        page.part("Against MaxHerding of scikit-activeml, up to where it ends")
        for count in (2_500, 5_000, 10_000, 20_000, 30_000, 40_000)[: 1 if chosen.quick else None]:
            one = ours(pool, count, 100)
            other = (
                {"failed": broken["activeml"]} if "activeml" in broken
                else peer("activeml", pool, count, 100, scratch, method="maxherding")
            )  # fmt: skip
            page.row("ours", count, 512, 100, one, one["wall_s"])
            page.row("MaxHerding", count, 512, 100, other, one["wall_s"])
            if "failed" in other:
                break

        page.part("Growth with images")
        base = None
        for count in (big // 8, big // 4, big // 2, big):
            told = ours(pool, count, 200)
            base = base or told["wall_s"]
            page.row("ours, times the first line", count, 512, 200, told, base)
        page.part("Growth with dimensions")
        base = None
        for dim in (128, 256, 512, 1024):
            told = ours(make_pool(scratch / f"{dim}.npy", big // 4, dim), big // 4, 200)
            base = base or told["wall_s"]
            page.row("ours, times the first line", big // 4, dim, 200, told, base)
        page.part("Growth with picks")
        base = None
        for wanted in (125, 250, 500, 1_000, 2_000):
            told = ours(pool, big // 4, wanted)
            base = base or told["wall_s"]
            page.row("ours, times the first line", big // 4, 512, wanted, told, base)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "select_speed.md").write_text("\n".join(page.lines) + "\n")
    (chosen.out / "select_speed.json").write_text(json.dumps(page.rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
