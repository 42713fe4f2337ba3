"""The sets: pictures as vectors, cut into a part to select from and a part to test on.

- `digits`: 8 x 8 pixels as they are, without an encoder.
- `fashion`: Fashion-MNIST, 250 pictures a class to select from.
- `fashion long tail`: the same pictures, the first class with 50 times as many as the last.
- `solar cells`: ELPV, mono- or polycrystalline, a defect likely or not.
- `textile`: made pictures, no defect, a local one or one all over; hard: accuracy grows little with labels, so curves say little too.

All but the digits are embedded by the project's default encoder, once; the vectors stay in the cache folder.
"""

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alaas_pipeline.engine import DEFAULT_ENCODER, load_encoder
from alaas_pipeline.engine.embed import embed
from benchmarks.label_efficiency import fetch

log = logging.getLogger(__name__)

TAIL_FACTOR, TAIL_HEAD, FASHION_CLASS, FASHION_TEST = 50, 900, 250, 200


@dataclass(frozen=True)
class Part:
    """Vectors of unit length, float32, one row a picture, and the pictures' classes."""

    vectors: NDArray[np.float32]
    labels: NDArray[np.str_]

    def rows(self, rows: NDArray[np.intp]) -> "Part":
        return Part(self.vectors[rows], self.labels[rows])


@dataclass(frozen=True)
class LabelledSet:
    """One set: what selections are made from, and what their worth is tested on."""

    name: str
    train: Part
    test: Part


def load(name: str, cache: Path) -> LabelledSet:
    """Makes a set ready, downloading and embedding what is not in the cache yet.

    Raises:
        RuntimeError: The pictures cannot be had.
    """
    return SETS[name](cache)


def unit(vectors: NDArray) -> NDArray[np.float32]:
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def parts(name: str, whole: Part, tested: float) -> LabelledSet:
    """Sets the same share of each class aside for the test."""
    draw = np.random.default_rng(0)
    test = np.zeros(len(whole.labels), bool)
    for label in np.unique(whole.labels):
        rows = draw.permutation(np.flatnonzero(whole.labels == label))
        test[rows[: round(tested * len(rows))]] = True
    return LabelledSet(name, whole.rows(np.flatnonzero(~test)), whole.rows(np.flatnonzero(test)))


def long_tail(classes: int, head: int, factor: float) -> list[int]:
    """Class sizes that fall geometrically from `head` to `head / factor`."""
    return [round(head * factor ** (-place / (classes - 1))) for place in range(classes)]


def _digits(cache: Path) -> LabelledSet:
    pixels, labels = fetch.digits(cache)
    return parts("digits", Part(unit(pixels), labels), 1 / 3)


def _fashion(cache: Path, tailed: bool) -> LabelledSet:
    pictures, labels = fetch.fashion(cache, "train")
    classes = np.unique(labels)
    tail = long_tail(len(classes), TAIL_HEAD, TAIL_FACTOR)
    plain = [FASHION_CLASS] * len(classes)
    first = [
        np.flatnonzero(labels == label)[: max(sizes)]
        for label, sizes in zip(classes, zip(plain, tail, strict=True), strict=True)
    ]
    rows = np.concatenate(first)
    train = Part(_embedded(cache, "fashion-train", [_png(pictures[row]) for row in rows]), labels[rows])
    wanted = tail if tailed else plain
    kept = np.concatenate(
        [np.flatnonzero(train.labels == label)[:size] for label, size in zip(classes, wanted, strict=True)]
    )
    pictures, labels = fetch.fashion(cache, "t10k")
    rows = np.concatenate([np.flatnonzero(labels == label)[:FASHION_TEST] for label in classes])
    test = Part(_embedded(cache, "fashion-test", [_png(pictures[row]) for row in rows]), labels[rows])
    return LabelledSet("fashion long tail" if tailed else "fashion", train.rows(kept), test)


def _files(name: str, tested: float, fetched: Callable[[Path], list[tuple[bytes, str]]], cache: Path) -> LabelledSet:
    pictures = fetched(cache)
    vectors = _embedded(cache, name.replace(" ", "-"), [file for file, _ in pictures])
    return parts(name, Part(vectors, np.array([label for _, label in pictures])), tested)


def _embedded(cache: Path, name: str, files: list[bytes]) -> NDArray[np.float32]:
    path = cache / f"{name}-{len(files)}-{DEFAULT_ENCODER}.npy"
    if not path.exists():
        log.info("Embedding %s pictures of %s, once.", f"{len(files):,}", name)
        encoder = load_encoder(DEFAULT_ENCODER, cache=cache / "encoder")
        items = ((str(place), lambda file=file: file) for place, file in enumerate(files))
        done = list(embed(items, encoder, total=len(files)))
        if failed := {place: reason for part in done for place, reason in part.failed.items()}:
            raise RuntimeError(f"{len(failed)} pictures of {name} could not be embedded: {next(iter(failed.values()))}")
        draft = path.with_suffix(".part.npy")
        np.save(draft, np.concatenate([part.vectors for part in done]))
        draft.rename(path)
    return unit(np.load(path))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "PNG")
    return packed.getvalue()


SETS: dict[str, Callable[[Path], LabelledSet]] = {
    "digits": _digits,
    "fashion": lambda cache: _fashion(cache, tailed=False),
    "fashion long tail": lambda cache: _fashion(cache, tailed=True),
    "solar cells": lambda cache: _files("solar cells", 0.3, fetch.elpv, cache),
    "textile": lambda cache: _files("textile", 0.3, fetch.textile, cache),
}
