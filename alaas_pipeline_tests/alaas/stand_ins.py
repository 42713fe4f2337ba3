"""What these unit tests put in the place of slow or distant things. The true encoder runs in the end-to-end tests."""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.engine.vectors import write_part
from alaas_pipeline.ledger import credits, images, pools
from alaas_pipeline.sources import FolderSource, Source, SourceFile
from alaas_pipeline_tests.ledger.fill import ENCODER, digest, file_row, image_row


def picture(number: int, format: str = "PNG") -> bytes:
    """A tiny image that differs from that of any other number."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format)
    return out.getvalue()


def put(folder: Path, *numbers: int) -> None:
    """Writes pictures named by their numbers."""
    for number in numbers:
        (folder / f"{number:04d}.png").write_bytes(picture(number))


class WatchedSource:
    """A folder that counts reads, and does as told on a path."""

    def __init__(self, folder: Path) -> None:
        self._source: Source = FolderSource(folder)
        self.name = self._source.name
        self.reads: list[str] = []
        self.on_read: Callable[[str], None] = lambda path: None

    def list(self) -> Iterator[SourceFile]:
        return self._source.list()

    def read(self, path: str, max_bytes: int, version: str = "") -> bytes:
        self.reads.append(path)
        self.on_read(path)
        return self._source.read(path, max_bytes, version)


class TinyEncoder:
    """The pixels of a 4 x 4 picture, as a unit vector."""

    dim = 48

    def __init__(self, encoder_id: str = ENCODER, *, fail_after: int | None = None, blind_to: bytes = b"") -> None:
        self.encoder_id = encoder_id
        self.encoded = 0
        self._fail_after, self._blind_to = fail_after, blind_to

    def encode(self, images: Sequence[Image.Image]) -> np.ndarray:
        if self._fail_after is not None and self.encoded >= self._fail_after:
            raise RuntimeError("out of memory")
        self.encoded += len(images)
        rows = np.stack([np.asarray(image.resize((4, 4)), np.float32).reshape(-1) - 128 for image in images])
        if self._blind_to:
            rows[[image.tobytes() == Image.open(io.BytesIO(self._blind_to)).tobytes() for image in images]] = np.nan
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def never(name: str) -> TinyEncoder:
    """For calls that must not load an encoder."""
    raise AssertionError(f"the encoder {name} was loaded")


def fill_pool(
    service: PoolService, settings: PoolSettings, count: int, *, embed: bool = True, unfit: Sequence[int] = ()
) -> list[str]:
    """Puts images into a pool without files, each with a vector unless told otherwise; returns their digests."""
    names = [f"{number:04d}.png" for number in range(count)]
    digests = [digest(name) for name in names]
    part = f"pools/{settings.key}/embeddings/{ENCODER}/part.parquet"
    with service.ledger.transaction() as tx:
        pools.ensure(tx, settings.key, settings.name)
        credits.grant_up_to(tx, settings.key, settings.credit_grant)
        rows = [image_row(name, unfit_reason="gif" if number in unfit else None) for number, name in enumerate(names)]
        images.record_scan(tx, settings.key, [file_row(name, name) for name in names], rows, [])
        if embed:
            pools.use_encoder(tx, settings.key, settings.encoder, ENCODER)
            images.record_embedded(tx, settings.key, ENCODER, part, digests, {}, "embed:cats:1")
    if embed:
        vectors = np.random.default_rng(0).normal(size=(count, 16))
        with service.store.making(part) as path:
            write_part(path, digests, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return digests
