"""How fast images become vectors: by this project, by a plain open_clip loop, by the embedding paths of other tools.

    .venv/bin/python benchmarks/embed_speed.py [--quick] [--repeats 3] [--out table.md]

All ways use the same weights and the same files: the solar cells of ELPV (PNG, 300 x 300) and JPEGs of 12 megapixels made from the photographs
of `mvtb-data` with the default encoder, as a folder that open_clip loads; and the cells with ViT-B-32 and ViT-B-16, where the model takes nine
tenths of the time and nearly all of it (their weights are random, which changes no time). They take turns, each time in a process of its own. The
clock runs from the first file's reading to the last vector; imports, loading and eight images to warm up come before. CPU seconds are those of the
process and its children: on a machine that does other work too they say more than the clock.

- `model`: our encoder alone, on pictures that were decoded and prepared before the clock starts, with as many threads as it has lanes.
- `ours`: `alaas_pipeline.engine.embed`, to parts of float16.
- `plain`: open_clip's model and transform as they are made, PIL, a DataLoader with a worker for each processor, batches of 32.
- `fiftyone`: `compute_embeddings` of a dataset of FiftyOne, with its open_clip model, the same workers and batches.
- `lightly`: lightly-studio's batched embedding of image files, as its own example calls it with a custom model.

How near ours comes to the model alone is measured once more, with both in one process and by turns every few seconds, since a shared machine is
a third faster in one minute than in the next.

Memory is the most that the process held, beside what it held before the clock, at N images and at 4 N.
"""

import argparse
import io
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path.home() / ".cache" / "alaas-benchmarks"
PEERS = {
    # Its database wants OpenSSL 1.1, which newer systems lack: the last of these brings it along.
    "fiftyone": ["fiftyone==1.22.1", "open_clip_torch==3.3.0", "torch==2.15.0", "psycopg2-binary==2.9.6"],
    "lightly-studio": ["lightly-studio==1.2.0", "open_clip_torch==3.3.0", "torch==2.15.0"],
}
BATCH, WARM, LIMIT_S, PAIRS = 32, 8, 300, 10


@cache
def loaded(model: str) -> Any:
    from alaas_pipeline.engine.encoder import load_encoder

    return load_encoder(f"local-dir:{model}", cache=CACHE)


def ours(files: list[Path], model: str) -> Callable[[list[Path]], int]:
    from alaas_pipeline.engine.embed import embed

    encoder = loaded(model)

    def run(chosen: list[Path]) -> int:
        return sum(
            len(part.digests) for part in embed([(str(f), f.read_bytes) for f in chosen], encoder, total=len(chosen))
        )

    return run


def model_alone(files: list[Path], model: str) -> Callable[[list[Path]], int]:
    from concurrent.futures import ThreadPoolExecutor

    from alaas_pipeline.engine.images import upright

    encoder = loaded(model)
    ready = {}
    for file in files:
        with upright(file.read_bytes(), draft_side=encoder.draft_side, grey=encoder.takes_grey) as image:
            ready[file] = encoder.prepare(image)

    def run(chosen: list[Path]) -> int:
        size = encoder.batch_size
        batches = [[ready[file] for file in chosen[start : start + size]] for start in range(0, len(chosen), size)]
        with ThreadPoolExecutor(encoder.lanes) as pool:
            return sum(len(vectors) for vectors in pool.map(encoder.encode_prepared, batches))

    return run


def plain(files: list[Path], model: str) -> Callable[[list[Path]], int]:
    from alaas_pipeline.engine.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    import open_clip
    import torch
    from PIL import Image

    made, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{model}")
    made.eval()

    class Files(torch.utils.data.Dataset):
        def __init__(self, chosen: list[Path]) -> None:
            self.chosen = chosen

        def __len__(self) -> int:
            return len(self.chosen)

        def __getitem__(self, row: int) -> Any:
            return preprocess(Image.open(self.chosen[row]).convert("RGB"))

    def run(chosen: list[Path]) -> int:
        loader = torch.utils.data.DataLoader(Files(chosen), BATCH, num_workers=processors())
        with torch.inference_mode():
            return sum(len(made.encode_image(batch, normalize=True).numpy()) for batch in loader)

    return run


def fiftyone(files: list[Path], model: str) -> Callable[[list[Path]], int]:
    import fiftyone as fo
    from fiftyone.utils.open_clip import TorchOpenClipModel, TorchOpenClipModelConfig

    class Embedding(TorchOpenClipModel):
        def _load_model(self, config: Any) -> Any:
            import open_clip

            self._model, self._clip_preprocess = open_clip.create_model_from_pretrained(f"local-dir:{model}")
            return self._model.eval()

        def _get_text_features(self) -> Any:
            raise AssertionError

        def _embed(self, images: Any) -> Any:
            import torch

            batch = images if isinstance(images, torch.Tensor) else torch.stack(list(images))
            with torch.no_grad():
                return self._model.encode_image(batch, normalize=True).numpy()

        @property
        def has_embeddings(self) -> bool:
            return True

        def embed_all(self, args: Any) -> Any:
            return self._embed(args)

    zoo = Embedding(TorchOpenClipModelConfig({"output_processor_cls": "fiftyone.utils.torch.ClassifierOutputProcessor", "classes": ["a"], "text_prompt": "a photo of a", "raw_inputs": False}))  # fmt: skip

    def run(chosen: list[Path]) -> int:
        dataset = fo.Dataset.from_images([str(file) for file in chosen], progress=False)
        vectors = dataset.compute_embeddings(zoo, batch_size=BATCH, num_workers=processors(), progress=False)
        dataset.delete()
        return len(vectors)

    return run


def lightly(files: list[Path], model: str) -> Callable[[list[Path]], int]:
    import open_clip
    import torch
    from lightly_studio.embed import image_embedding

    made, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{model}")
    made.eval()

    def encode(batch: Any) -> Any:
        with torch.no_grad():
            return made.encode_image(batch, normalize=True).numpy()

    dim = json.loads((Path(model) / "open_clip_config.json").read_text())["model_cfg"]["embed_dim"]
    context = image_embedding.EmbeddingContext(
        dim,
        BATCH,
        torch.device("cpu"),
        preprocess,
        encode,
    )

    def run(chosen: list[Path]) -> int:
        names = [str(file) for file in chosen]
        return len(image_embedding.embed_image_files_batched(names, context, show_progress=False).kept_indices)

    return run


WAYS = {"model": model_alone, "ours": ours, "plain": plain, "fiftyone": fiftyone, "lightly": lightly}
HOMES = {"fiftyone": "fiftyone", "lightly": "lightly-studio"}


def processors() -> int:
    return len(os.sched_getaffinity(0))


def cpu_seconds() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def held() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def work(way: str, folder: Path, count: int, model: str) -> None:
    """One way, in a process of its own; says on the last line what it took."""
    files = sorted(folder.iterdir())[:count]
    run = WAYS[way](files, model)
    run(files[:WARM])
    before, most, done = held(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun, used = time.perf_counter(), cpu_seconds()
    made = run(files)
    took, used = time.perf_counter() - begun, cpu_seconds() - used
    done.set()
    watcher.join()
    assert made == len(files), f"{made} vectors of {len(files)} files"
    print(json.dumps({"images": made, "seconds": took, "cpu": used, "mb": max(0, most[0] - before) / 1e6}))


def share(folder: Path, count: int, model: str) -> None:
    """Both in one process, by turns; says on the last line the share of the model's rate in each pair, in order."""
    files = sorted(folder.iterdir())[:count]
    runs = [way(files, model) for way in (model_alone, ours)]
    shares = []
    for _ in range(1 + PAIRS):
        took = []
        for run in runs:
            begun = time.perf_counter()
            assert run(files) == count
            took.append(time.perf_counter() - begun)
        shares.append(took[0] / took[1])
    print(json.dumps({"shares": sorted(shares[1:])}))


def photographs(count: int) -> Path:
    """JPEGs of 4000 x 3000, each enlarged from another part of a photograph."""
    from PIL import Image

    from benchmarks.label_efficiency.fetch import wheel

    folder = CACHE / "embed-speed" / "12mp"
    folder.mkdir(parents=True, exist_ok=True)
    with wheel(CACHE, "mvtb-data", "1.6.1") as package:
        names = sorted(name for name in package.namelist() if "/campus/" in name and name.endswith((".png", ".jpg")))
        for number in range(count):
            target = folder / f"{number:05}.jpg"
            if target.exists():
                continue
            image = Image.open(io.BytesIO(package.read(names[number % len(names)]))).convert("RGB")
            off = 4 * (number // len(names))
            image = image.crop((off, off, image.width, image.height)).resize((4000, 3000), Image.Resampling.BICUBIC)
            image.save(target.with_suffix(".part"), "JPEG", quality=90)
            target.with_suffix(".part").rename(target)
    return folder


def cells() -> Path:
    from benchmarks.label_efficiency.fetch import elpv

    folder = CACHE / "embed-speed" / "elpv"
    if not folder.exists():
        folder.mkdir(parents=True)
        for number, (data, _) in enumerate(elpv(CACHE)):
            (folder / f"{number:05}.png").write_bytes(data)
    return folder


def old_openssl(home: Path) -> Path:
    """A folder where OpenSSL 1.1 of the wheel goes by the names that programs look for."""
    folder = home / "openssl-1.1"
    folder.mkdir(exist_ok=True)
    for library in home.glob("lib/python3*/site-packages/psycopg2_binary.libs/lib*.so.1.1"):
        name = folder / f"{library.name.partition('-')[0]}.so.1.1"
        if not name.is_symlink():
            name.symlink_to(library)
    return folder


def transformer(name: str) -> Path:
    """A model of open_clip with random weights, as a folder that it loads."""
    folder = CACHE / "embed-speed" / name.lower()
    if not (folder / "open_clip_config.json").exists():
        import open_clip
        import torch

        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        torch.save(open_clip.create_model(name).state_dict(), folder / "open_clip_pytorch_model.bin")
        config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {"interpolation": "bicubic"}}
        (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def measure(way: str, folder: Path, count: int, model: str) -> dict[str, Any]:
    home = HOMES.get(way)
    python = str(CACHE / "peers" / home / "bin" / "python") if home else sys.executable
    command = [python, __file__, "--work", way, str(folder), str(count), model]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "FIFTYONE_DO_NOT_TRACK": "1"}
    if way == "fiftyone":
        environment["LD_LIBRARY_PATH"] = str(old_openssl(CACHE / "peers" / "fiftyone"))
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        said = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        raise RuntimeError(f"no answer within {LIMIT_S} s: {said[-1] if said else ''}") from None
    lines = (done.stdout if not done.returncode else done.stderr).strip().splitlines()
    if done.returncode:
        raise RuntimeError(lines[-1] if lines else f"ended with {done.returncode}")
    return json.loads(lines[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few images, one turn")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        way, folder, count, model = chosen.work
        if way == "share":
            share(Path(folder), int(count), model)
        else:
            work(way, Path(folder), int(count), model)
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.path.insert(0, str(ROOT))
    from alaas_pipeline.engine.offline_encoder import lite0_folder
    from alaas_pipeline.engine.torchvision_shim import ensure_torchvision
    from benchmarks.label_efficiency import peers

    ensure_torchvision()
    peers.PACKAGES = PEERS
    broken = {way: why for way, home in HOMES.items() if (why := peers.install(CACHE).get(home))}
    small = str(lite0_folder(CACHE / "encoder"))
    # What, its files, how many of them and how many in a quick run, and the model.
    cases = (
        ("ELPV", cells(), 256, 96, small),
        ("ELPV, ViT-B-32", cells(), 256, 96, str(transformer("ViT-B-32"))),
        ("ELPV, ViT-B-16", cells(), 64, 32, str(transformer("ViT-B-16"))),
        ("12 MP", photographs(96), 96, 32, small),
    )
    lines = [
        "# Embedding: images a second and memory",
        "",
        "| images | way | images/s | times plain | images per CPU s | times plain | MB |",
        "|" + " --- |" * 7,
    ]
    shares = []
    for name, folder, many, few, model in cases:
        count = few if chosen.quick else many
        told: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for turn in range(1 if chosen.quick else chosen.repeats):
            for way in WAYS:
                if way in broken:
                    continue
                try:
                    told[way].append(measure(way, folder, count, model))
                    print(f"{name}, turn {turn + 1}, {way}: {told[way][-1]}", flush=True)
                except RuntimeError as error:
                    broken[way] = str(error)
        rates = {
            way: [statistics.median(row["images"] / row[kind] for row in rows) for kind in ("seconds", "cpu")]
            for way, rows in told.items()
            if rows
        }
        for way, (wall, cpu) in rates.items():
            times = [mine / base for mine, base in zip((wall, cpu), rates["plain"], strict=True)]
            most = max(row["mb"] for row in told[way])
            lines.append(f"| {name}, {count} | {way} | {wall:.1f} | {times[0]:.2f} | {cpu:.1f} | {times[1]:.2f} | {most:.0f} |")  # fmt: skip
        pairs = measure("share", folder, few if chosen.quick else many // 2, model)["shares"]
        low, middle, high = statistics.quantiles(pairs, n=4)
        shares.append(f"{name} {middle:.2f} ({low:.2f} to {high:.2f})")
        print(shares[-1], flush=True)
    few = 128 if chosen.quick else 512
    held = {count: measure("ours", cells(), count, small)["mb"] for count in (few, 2 * few, 4 * few)}
    told_held = ", ".join(f"{mb:.0f} MB at {count}" for count, mb in held.items())
    lines += ["", f"Share of the model's rate in {PAIRS} pairs, median and quartiles: {'; '.join(shares)}."]
    lines += ["", f"Memory of ours beside the model, by images: {told_held}."]
    lines += [f"`{way}` did not run: {why}" for way, why in broken.items()]
    print("\n".join(lines))
    if chosen.out:
        chosen.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
