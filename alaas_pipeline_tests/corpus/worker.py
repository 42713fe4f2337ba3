"""A worker process of its own, to measure what memory a folder of files takes: `worker.py FOLDER [ENCODERS]`.

It looks at all files in two threads as a scan does, then embeds those that are good, and prints one line of JSON. With a folder for encoders
the real one is used.
"""

import json
import resource
import sys
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from alaas_pipeline.engine.embed import embed
from alaas_pipeline.engine.encoder import DEFAULT_ENCODER, Encoder, load_encoder
from alaas_pipeline.engine.images import RefusedImage, content_digest, inspect
from alaas_pipeline_tests.picking.looks import Looks


def verdict(path: Path) -> str:
    try:
        inspect(path.read_bytes())
    except RefusedImage as error:
        return error.reason
    return "good"


def peak_mib() -> float:
    """The most memory this process has held."""
    status = Path("/proc/self/status")
    if status.exists():
        # Unlike what getrusage says this begins anew with the process.
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    warnings.simplefilter("ignore")
    files = sorted(path for path in Path(sys.argv[1]).rglob("*") if path.is_file() and not path.is_symlink())
    with ThreadPoolExecutor(2) as threads:
        told = list(threads.map(verdict, files))
    after_looking = peak_mib()
    good = [path for path, what in zip(files, told, strict=True) if what == "good"]
    encoder: Encoder = load_encoder(DEFAULT_ENCODER, cache=Path(sys.argv[2]), threads=1) if sys.argv[2:] else Looks()
    items = [(content_digest(path.read_bytes()), path.read_bytes) for path in good]
    sizes = {digest: path.stat().st_size for (digest, _), path in zip(items, good, strict=True)}
    parts = list(embed(items, encoder, total=len(items), size_of=sizes.__getitem__))
    failed = {digest: why for part in parts for digest, why in part.failed.items()}
    embedded = sum(len(part.digests) for part in parts)
    print(json.dumps({"told": Counter(told), "embedded": embedded, "failed": failed, "looking_mib": after_looking, "peak_mib": peak_mib()}))  # fmt: skip


if __name__ == "__main__":
    main()
