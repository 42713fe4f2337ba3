import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alaas_pipeline.engine import embed as embed_module
from alaas_pipeline.engine.embed import embed
from alaas_pipeline.engine.encoder import DEFAULT_ENCODER, load_encoder
from alaas_pipeline.engine.read_ahead import THREADS
from alaas_pipeline.engine.vectors import check_vectors, read_parts, write_part
from alaas_pipeline_tests.engine.nasty import photo, saved


class Levels:
    """A tiny encoder: the direction of the mean colour. Counts its batches."""

    encoder_id = "levels-0"
    dim = 3

    def __init__(self) -> None:
        self.batches: list[int] = []

    def encode(self, images: Sequence[Image.Image]) -> np.ndarray:
        self.batches.append(len(images))
        values = np.stack([np.asarray(image, np.float32).mean(axis=(0, 1)) for image in images])
        with np.errstate(invalid="ignore"):
            return values / np.linalg.norm(values, axis=1, keepdims=True)


class Prepared(Levels):
    def __init__(self) -> None:
        super().__init__()
        self.threads: set[str] = set()

    def prepare(self, image: Image.Image) -> Image.Image:
        self.threads.add(threading.current_thread().name)
        return image

    def encode_prepared(self, prepared: Sequence[Any]) -> np.ndarray:
        return self.encode(prepared)


def colour(i: int) -> bytes:
    return saved(Image.new("RGB", (4, 4), (10 + i % 200, 255 - i % 200, 7)), "PNG")


def constant(data: bytes) -> Callable[[], bytes]:
    return lambda: data


def items(count: int) -> list[tuple[str, Callable[[], bytes]]]:
    return [(f"d{i:04d}", constant(colour(i))) for i in range(count)]


def test_parts_keep_order_and_size() -> None:
    encoder = Levels()
    parts = list(embed(items(50), encoder, total=50, batch_size=8, part_size=20))
    assert [len(part.digests) for part in parts] == [20, 20, 10]
    assert [d for part in parts for d in part.digests] == [f"d{i:04d}" for i in range(50)]
    assert encoder.batches == [8, 8, 4, 8, 8, 4, 8, 2]
    vectors = np.concatenate([part.vectors for part in parts])
    assert vectors.dtype == np.float16
    expected = np.array([(10 + i, 255 - i, 7) for i in range(50)], float)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(vectors - expected).max() < 1e-3


def test_preparing_happens_in_the_threads() -> None:
    encoder = Prepared()
    (part,) = embed(items(20), encoder, total=20, batch_size=4)
    assert len(part.digests) == 20
    assert all(name.startswith("decode") for name in encoder.threads)


def test_batches_side_by_side_keep_order_and_parts() -> None:
    class Uneven(Prepared):
        lanes = 3
        running = most = 0

        def encode_prepared(self, prepared: Sequence[Any]) -> np.ndarray:
            self.running += 1
            self.most = max(self.most, self.running)
            time.sleep(0.02 if len(self.batches) % 2 else 0.001)
            vectors = self.encode(prepared)
            self.running -= 1
            return vectors

    encoder = Uneven()
    parts = list(embed(items(50), encoder, total=50, batch_size=4, part_size=20, workers=3))
    assert [part.digests for part in parts] == [
        [f"d{i:04d}" for i in range(a, b)] for a, b in ((0, 20), (20, 40), (40, 50))
    ]
    alone = np.concatenate([part.vectors for part in embed(items(50), Levels(), total=50)])
    assert (np.concatenate([part.vectors for part in parts]) == alone).all()
    assert 1 < encoder.most <= 3


def test_bad_images_land_in_failed_and_stop_nothing() -> None:
    def unreadable() -> bytes:
        raise PermissionError(13, "Permission denied")

    def leaking() -> bytes:
        raise RuntimeError("https://bucket/x?X-Amz-Signature=secret")

    work = items(12)
    work[0] = ("cut", constant(saved(photo(), "JPEG")[:400]))
    work[3] = ("text", constant(b"hello"))
    work[5] = ("locked", unreadable)
    work[6] = ("remote", leaking)
    work[11] = ("black", constant(saved(Image.new("RGB", (4, 4)), "PNG")))
    parts = list(embed(work, Levels(), total=12, batch_size=4, part_size=6))
    failed = {d: why for part in parts for d, why in part.failed.items()}
    assert [sorted(part.failed) for part in parts] == [["cut", "locked", "text"], ["black", "remote"]]
    assert [d for part in parts for d in part.digests] == [f"d{i:04d}" for i in (1, 2, 4, 7, 8, 9, 10)]
    assert "ends before" in failed["cut"]
    assert failed["locked"] == "The image could not be read: Permission denied."
    assert failed["remote"] == "The image could not be read: RuntimeError."
    assert failed["black"] == "The encoder gave no usable vector."
    assert all(np.isfinite(part.vectors).all() for part in parts)


def test_nothing_and_nothing_good() -> None:
    assert list(embed([], Levels(), total=0)) == []
    (part,) = embed([("a", constant(b""))], Levels(), total=1)
    assert (part.digests, part.vectors.shape, list(part.failed)) == ([], (0, 3), ["a"])


def test_look_ahead_is_bounded_and_stops_with_the_consumer() -> None:
    started = 0

    def endless() -> Iterator[tuple[str, Callable[[], bytes]]]:
        nonlocal started
        while True:
            started += 1
            yield f"d{started}", constant(colour(started))

    stream = embed(endless(), Levels(), total=10**6, batch_size=4, part_size=8)
    assert len(next(stream).digests) == 8
    assert started <= 8 + 2 * 4 + 2 * THREADS
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("decode", "read"))]


def test_an_encoder_that_breaks_is_not_hidden() -> None:
    class Broken(Levels):
        def encode(self, images: Sequence[Image.Image]) -> np.ndarray:
            raise MemoryError("out of memory")

    with pytest.raises(MemoryError):
        list(embed(items(3), Broken(), total=3))


def test_progress_is_said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_module, "_SAY_EVERY", 0.0)
    with caplog.at_level(logging.INFO, logger="alaas_pipeline"):
        list(embed(items(10), Levels(), total=1200, batch_size=5))
    assert caplog.messages[0].startswith("Embedded 5 of 1,200 images, ")
    assert caplog.messages[0].endswith(" s left.")
    assert caplog.messages[-1].startswith("Embedded 10 images in ")


def test_real_vectors_survive_storage_and_neighbours_do_not_change_them(tmp_path: Path) -> None:
    encoder = load_encoder(DEFAULT_ENCODER, cache=tmp_path / "models", device="cpu", threads=1)
    work = [(f"d{i}", constant(saved(photo(60 + 9 * i, 90), "JPEG"))) for i in range(6)]
    (whole,) = embed(work, encoder, total=6)
    write_part(tmp_path / "a.parquet", whole.digests, whole.vectors)
    digests, stored = read_parts([tmp_path / "a.parquet"])
    assert check_vectors(digests, stored, expected=[digest for digest, _ in work]) == []
    (one,) = embed(work[3:4], encoder, total=1)
    assert float(stored[3] @ one.vectors[0].astype(np.float32)) > 0.999
