"""What the demo's labels are worth: how many of the other photographs they name rightly, beside a random draw of as many."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alaas_pipeline.alaas.embed import read_vectors
from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.ledger import images, landing, rounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 50


def accuracies(service: PoolService, pool: str, truth: Path) -> dict[str, tuple[float, float]]:
    """Return for each landed round the accuracy (0 to 1) of all labels up to it, and of random draws of as many.

    An image that has no label takes the class of the nearest image that has one; the mean over 50 draws.
    """
    digests, vectors = read_vectors(service.ledger, service.store, pool)
    with truth.open(newline="", encoding="utf-8") as file:
        # The truth names files from the demo's folder on, the ledger from the pool's source on.
        class_of = {Path(row["file"]).name: row["label"] for row in csv.DictReader(file)}
    with service.ledger.transaction() as tx:
        names = images.ids(tx, pool)
        landed = [current.key for current in rounds.of_pool(tx, pool) if current.state == "landed"]
        found = [[row for row in landing.current(tx, key) if row["outcome"] == "labelled"] for key in landed]
    places = {digest: row for row, digest in enumerate(digests)}
    classes = np.array([class_of[Path(names[digest]).name] for digest in digests])
    known, told, out = [], [], {}
    draw = np.random.default_rng(0)
    for key, rows in zip(landed, found, strict=True):
        known += [places[row["digest"]] for row in rows]
        told += [", ".join(row["labels"]) for row in rows]
        if known:
            drawn = [draw.choice(len(digests), len(known), replace=False) for _ in range(DRAWS)]
            at_random = [accuracy(vectors, classes, rows, classes[rows]) for rows in drawn]
            out[key] = (accuracy(vectors, classes, np.array(known), np.array(told)), float(np.mean(at_random)))
    return out


def accuracy(
    vectors: "NDArray[np.float32]", classes: "NDArray[np.str_]", known: "NDArray[np.intp]", told: "NDArray[np.str_]"
) -> float:
    """Return the share (0 to 1) of all other images whose nearest labelled image, by cosine, has their class.

    Args:
        vectors: of unit length, one row an image.
        classes: the true ones.
        known: rows of the labelled images, at least one.
        told: their labels.
    """
    others = np.setdiff1d(np.arange(len(vectors)), known)
    if not len(others):
        return 1.0
    nearest = (vectors[others] @ vectors[known].T).argmax(axis=1)
    return float((told[nearest] == classes[others]).mean())
