"""How fast images get to the platform: by this project, by `curl` in a loop, by the official command line.

    .venv/bin/python benchmarks/upload_speed.py [--images 2000] [--repeats 3]

The images are JPEGs of 20 to 60 KB, all different. The ways take turns, each time with an empty sandbox of its own and the same settings,
whose announced limits are so high that it throttles nobody. Each way is processes of its own, timed from the start of the first to the
end of the last, imports included; at the end of each the sandbox is asked whether it has every byte.

- `ours`: the whole effect of a round, with its ledger: intents, uploads noted as they go, limits kept in files, the dataset made, and its
  items read back and compared with the picks. The ledger is filled before the clock starts.
- `curl`: one file after the other, three calls each (presign, PUT, complete), then one to make the dataset. What an answer says is read
  by this script, which is quicker than by further programs.
- `client`: `avala datasets upload` with its eight threads, through the sandbox's proxy, since it sends by HTTPS only. It reads nothing back.

The last lines are medians, and how many times as long as ours the others took.
"""

import argparse
import hashlib
import io
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
from PIL import Image
from pydantic import SecretStr

from alaas_pipeline.alaas.quote import quote
from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.effects import AvalaEffects
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.ledger import Ledger, images, pools, rounds, selections
from alaas_pipeline.ledger.selections import PickedImage

OWNER, KEY, NAME = "sandbox-team", "avk_sandbox", "big-r0001"
LIMITLESS = ["--requests-per-minute=1000000", "--burst-per-second=1000000", "--creating-reads=0"]
SETTINGS = PoolSettings.model_validate(
    {
        "name": "Big", "source": "/photos", "images_per_round": 10, "platform": "sandbox", "price_per_image": "0.05",
        "avala": {"owner": OWNER, "template": "00000000-0000-4000-8000-000000000001"},
    }
)  # fmt: skip


def make_images(folder: Path, count: int) -> None:
    """Noise, in sizes that give 20 to 60 KB."""
    folder.mkdir()
    for number in range(count):
        drawn = random.Random(number)
        width, height = drawn.randint(150, 240), drawn.randint(150, 240)
        packed = io.BytesIO()
        Image.frombytes("RGB", (width, height), drawn.randbytes(width * height * 3)).save(packed, "JPEG", quality=75)
        (folder / f"photo-{number:05}.jpg").write_bytes(packed.getvalue())


def fill_ledger(folder: Path, home: Path) -> None:
    """A quoted round whose picks are all images."""
    files, rows, picks = [], [], []
    for path in sorted(folder.iterdir()):
        digest, size = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size
        files.append({"path": path.name, "digest": digest, "bytes": size, "version": "1", "reason": None})
        rows.append({
            "digest": digest, "image_id": path.name, "bytes": size, "state": "accepted", "reason": None, "unfit_reason": None,
            "format": "jpeg", "mode": "RGB", "width": 200, "height": 200, "shown_width": 200, "shown_height": 200, "frames": 1,
        })  # fmt: skip
        picks.append(PickedImage(digest, "representative", 0.5, 1, None, None, "x"))
    ledger = Ledger(home / "ledger.duckdb")
    with ledger.transaction() as tx:
        pools.ensure(tx, "big", "Big")
        pools.use_encoder(tx, "big", "tiny", "tiny-1")
        images.record_scan(tx, "big", files, rows, [])
        key = rounds.open_next(tx, SETTINGS).key
        selections.record(tx, "big", key, picks, "coverage", "tiny-1", {})
        rounds.advance(tx, key, "selected")
    quote(ledger, key)
    (home / "sources.json").write_text(json.dumps({row["digest"]: str(folder / row["path"]) for row in files}))


def push(home: Path, base_url: str) -> None:
    """What a run of the pipeline does, in a process of its own."""
    sources = json.loads((home / "sources.json").read_text())
    ledger = Ledger(home / "ledger.duckdb")
    with AvalaClient(base_url, SecretStr(KEY), allow_insecure_loopback=True, limits=home / "limits") as client:
        effects = AvalaEffects(ledger, client, home / "locks", pause_s=0.05)
        effects.push_dataset("big.r0001", lambda digest: Path(sources[digest]).read_bytes())


def by_us(folder: Path, base_url: str, home: Path) -> float:
    fill_ledger(folder, home)
    begun = time.perf_counter()
    subprocess.run([sys.executable, __file__, "--push", str(home), base_url], check=True)
    return time.perf_counter() - begun


def curl(*words: str) -> dict:
    shared = ["curl", "--silent", "--show-error", "--fail", "--header", f"X-Avala-Api-Key: {KEY}"]
    told = subprocess.run(
        [*shared, "--header", "Content-Type: application/json", *words], check=True, capture_output=True
    )
    return json.loads(told.stdout)


def by_curl(folder: Path, base_url: str, home: Path) -> float:
    del home
    begun, batch, calls = time.perf_counter(), str(uuid.uuid4()), f"{base_url}/datasets/manual-upload"
    for path in sorted(folder.iterdir()):
        asked = {"dataset_name": NAME, "file_path_in_dataset": path.name, "content_length": path.stat().st_size}
        asked |= {"upload_protocol_version": 2, "dataset_upload_uid": batch}
        slot = curl("--data", json.dumps(asked), f"{calls}/file-upload-url/")
        headers = [word for name, value in slot["headers"].items() for word in ("--header", f"{name}: {value}")]
        storage = ["curl", "--silent", "--show-error", "--fail", *headers, "--upload-file", str(path), slot["url"]]
        subprocess.run(storage, check=True, stdout=subprocess.DEVNULL)
        curl("--data", "{}", f"{calls}/uploads/{slot['upload_uid']}/complete/")
    curl(
        "--data",
        json.dumps({"name": NAME, "slug": NAME, "data_type": "image", "dataset_upload_uid": batch}),
        f"{calls}/",
    )
    return time.perf_counter() - begun


def by_client(folder: Path, base_url: str, home: Path) -> float:
    environment = os.environ | json.loads((home / "state" / "endpoint.json").read_text())["environment"]
    environment |= {"AVALA_API_KEY": KEY, "AVALA_BASE_URL": base_url, "AVALA_ALLOW_INSECURE_BASE_URL": "true"}
    words = ["datasets", "upload", "--source", str(folder), "--name", NAME, "--slug", NAME, "--data-type", "image"]
    begun = time.perf_counter()
    command = [sys.executable, "-c", "from avala.cli import main; main()", *words]
    subprocess.run(command, check=True, env=environment | {"HOME": str(home)}, capture_output=True)
    return time.perf_counter() - begun


WAYS: dict[str, Callable[[Path, str, Path], float]] = {"ours": by_us, "curl": by_curl, "client": by_client}


def measure(way: str, folder: Path, home: Path) -> float:
    """One way, to an empty sandbox; the bytes that arrived are compared with those that were to be sent."""
    home.mkdir()
    state = ["--state", str(home / "state")] + (["--official-uploads", str(home / "ways")] if way == "client" else [])
    command = [sys.executable, "-m", "alaas_pipeline.sandbox", *state, *LIMITLESS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as sandbox:
        try:
            assert sandbox.stdout is not None
            base_url = sandbox.stdout.readline().removeprefix("ready ").strip()
            took = WAYS[way](folder, base_url, home)
            told = httpx.get(base_url.removesuffix("/api/v1") + "/_sandbox/effects", timeout=60).json()["effects"]
        finally:
            sandbox.terminate()
    arrived = sorted(row["details"]["sha256"] for row in told if row["kind"] == "upload")
    assert arrived == sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir())
    assert [row["details"]["items"] for row in told if row["kind"] == "finalise"] == [len(arrived)]
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--push", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.push:
        push(Path(chosen.push[0]), chosen.push[1])
        return
    took: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "images"
        make_images(folder, chosen.images)
        print("".join(f"{name:>11}" for name in ["seconds", *WAYS]), flush=True)
        for number in range(1, chosen.repeats + 1):
            for way in WAYS:
                took[way].append(measure(way, folder, Path(scratch) / f"{number}-{way}"))
            print(f"{number:>11}" + "".join(f"{took[way][-1]:>11.1f}" for way in WAYS), flush=True)
    medians = {way: statistics.median(took[way]) for way in WAYS}
    print(f"{'median':>11}" + "".join(f"{medians[way]:>11.1f}" for way in WAYS))
    print(f"{'images/s':>11}" + "".join(f"{chosen.images / medians[way]:>11.0f}" for way in WAYS))
    print(f"{'times':>11}" + "".join(f"{medians[way] / medians['ours']:>11.1f}" for way in WAYS))


if __name__ == "__main__":
    main()
