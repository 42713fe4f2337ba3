"""Rows as the rooms above the ledger would write them, for tests."""

import hashlib
from dataclasses import replace
from typing import Any

from alaas_pipeline.ledger import Transaction, images, journal, pools, rounds, selections
from alaas_pipeline.ledger.journal import Effect
from alaas_pipeline.ledger.landing import Outcome
from alaas_pipeline.ledger.selections import PickedImage
from alaas_pipeline_tests.builders import pool_settings

ROUND = "cats.r0001"
ENCODER = "tiny-1"


def digest(name: str) -> str:
    """The content digest of the image with this name."""
    return hashlib.sha256(name.encode()).hexdigest()


def file_row(path: str, content: str | None, **changes: Any) -> dict[str, Any]:
    """A file of the source; no content when it could not be read."""
    row = {"path": path, "digest": digest(content) if content else None, "bytes": 10, "version": "1", "reason": None}
    return row | changes


def image_row(name: str, **changes: Any) -> dict[str, Any]:
    """A distinct content."""
    row = {
        "digest": digest(name), "image_id": name, "bytes": 10, "state": "accepted", "reason": None, "unfit_reason": None,
        "format": "png", "mode": "RGB", "width": 4, "height": 3, "shown_width": 4, "shown_height": 3, "frames": 1,
    }  # fmt: skip
    return row | changes


def add_images(tx: Transaction, *names: str, pool: str = "cats", embed: bool = True) -> list[str]:
    """Puts images into a pool, each with a vector unless told otherwise; returns their digests."""
    images.record_scan(tx, pool, [file_row(name, name) for name in names], [image_row(name) for name in names], [])
    digests = [digest(name) for name in names]
    if embed:
        pools.use_encoder(tx, pool, "efficientnet-lite0", ENCODER)
        images.record_embedded(tx, pool, ENCODER, f"{names[0]}.parquet", digests, {}, "embed:cats:1")
    return digests


def picked(name: str, **changes: Any) -> PickedImage:
    """A pick, a representative unless told otherwise."""
    pick = PickedImage(digest(name), "representative", 0.5, 2, None, None, "Newly represents 2 images.")
    return replace(pick, **changes)


def open_with_picks(tx: Transaction, *names: str) -> str:
    """Opens the next round of `cats` with these picks; returns its key."""
    key = rounds.open_next(tx, pool_settings()).key
    selections.record(
        tx, "cats", key, [picked(name) for name in names], "coverage", ENCODER, {"pool": float(len(names))}
    )
    rounds.advance(tx, key, "selected")
    return key


def advance(tx: Transaction, key: str, *states: str) -> None:
    """Moves a round through several states."""
    for state in states:
        rounds.advance(tx, key, state)


def effect(
    tx: Transaction, key: str, kind: str, *, remote_name: str = "name", payload_digest: str = "p", attempt: int = 1
) -> Effect:
    """Intends an effect of the round."""
    return journal.intend(tx, "cats", key, kind, remote_name, payload_digest, attempt)


def outcome(name: str, word: str = "labelled", *labels: str) -> Outcome:
    """What came back for an image."""
    return Outcome(
        digest(name), word, list(labels), [{"label": label} for label in labels], None if labels else "blurred"
    )
