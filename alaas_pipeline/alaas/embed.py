"""Embed a pool's new images, priced before, charged part by part as the vectors are stored."""

import hashlib
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from alaas_pipeline.alaas.tariffs import embed_price
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.engine.duplicates import near_duplicates
from alaas_pipeline.engine.embed import embed as embed_images
from alaas_pipeline.engine.encoder import Encoder
from alaas_pipeline.engine.images import ImageLimits, content_digest
from alaas_pipeline.engine.vectors import check_vectors, read_parts, write_part
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home
from alaas_pipeline.ledger import Ledger, credits, images, pools
from alaas_pipeline.sources import Source, UnreadableFile
from alaas_pipeline.store import Store

log = logging.getLogger(__name__)

PART = 512


@dataclass(frozen=True)
class EmbedReport:
    """What one embedding run did."""

    encoder_id: str
    dim: int
    embedded_now: int
    failed_now: int
    credits_charged: int
    vectors: int


def embed(
    ledger: Ledger, store: Store, home: Home, settings: PoolSettings, source: Source, load: Callable[[], Encoder]
) -> EmbedReport:
    """Give every accepted image of the pool a vector; only images without one are embedded and charged.

    Args:
        ledger: the ledger.
        store: where part files go.
        home: where the lock stands that lets one process at a time embed a pool.
        settings: the pool.
        source: where its images are read.
        load: makes the encoder; called only when there is something to embed.

    Raises:
        InsufficientCredits: the new images cost more than the pool may spend; nothing was embedded or charged.
        UserError: the pool holds vectors of another encoder, or the encoder cannot be had.
    """
    pool = settings.key
    with FileLock(home.locks / f"{pool}.embed.lock", timeout=6 * 3600):
        with ledger.transaction() as tx:
            pools.ensure(tx, pool, settings.name)
            credits.grant_up_to(tx, pool, settings.credit_grant)
            known = pools.known_encoder_id(tx, pool, settings.encoder)
            idle = known is not None and not images.to_embed(tx, pool, known)
        embedded = failed = 0
        if not idle:
            _check_price(ledger, pool, known)
            # A source that is gone is one clear message, not a failure of each image.
            next(iter(source.list()), None)
            encoder = load()
            known = encoder.encoder_id
            embedded, failed = _embed_new(ledger, store, settings, source, encoder)
        assert known is not None
        if idle:
            log.info("%s: every image has its vector; nothing is embedded or charged", pool)
        if embedded:
            _mark_near_duplicates(ledger, store, pool, known)
        with ledger.transaction() as tx:
            vectors = len(images.embedded(tx, pool, known))
    dim = vectors and read_vectors(ledger, store, pool)[1].shape[1]
    return EmbedReport(known, dim, embedded, failed, embed_price(embedded), vectors)


def read_vectors(ledger: Ledger, store: Store, pool: str) -> tuple[list[str], np.ndarray]:
    """Return digests and vectors (float32, n x dim, unit norm) of the encoder that serves the pool.

    Raises:
        UserError: a part file is missing or damaged.
    """
    with ledger.transaction() as tx:
        encoder_id = pools.encoder_id(tx, pool)
        parts = images.parts(tx, pool, encoder_id) if encoder_id else []
        wanted = set(images.embedded(tx, pool, encoder_id)) if encoder_id else set()
    digests, vectors = _read([store.local(part) for part in parts], pool)
    if set(digests) == wanted:
        return digests, vectors
    # A part may hold vectors whose receipt never reached the ledger, or of images embedded again after a crash.
    keep = [row for row, digest in enumerate(digests) if digest in wanted]
    return [digests[row] for row in keep], vectors[keep]


def check_embeddings(ledger: Ledger, store: Store, pool: str) -> list[str]:
    """Return what is wrong with the pool's vectors, in sentences: none missing, finite, unit norm, no image left out."""
    try:
        digests, vectors = read_vectors(ledger, store, pool)
    except UserError as error:
        return [str(error)]
    with ledger.transaction() as tx:
        encoder_id = pools.encoder_id(tx, pool)
        wanted = images.embedded(tx, pool, encoder_id) if encoder_id else []
        left = images.to_embed(tx, pool, encoder_id) if encoder_id else []
    problems = check_vectors(digests, vectors, expected=wanted)
    if left:
        problems.append(f"{len(left):,} accepted images have no vector yet.")
    return problems


def _read(paths: list[Path], pool: str) -> tuple[list[str], np.ndarray]:
    from polars.exceptions import PolarsError

    digests: list[str] = []
    blocks: list[np.ndarray] = []
    for path in paths:
        try:
            names, block = read_parts([path])
        except (OSError, ValueError, PolarsError) as error:
            what = "missing" if isinstance(error, FileNotFoundError) else "damaged"
            raise UserError(
                f"Pool '{pool}': the vectors in {path} are {what}. Restore this file from a copy."
            ) from None
        digests += names
        blocks.append(block)
    return digests, np.concatenate(blocks) if blocks else np.empty((0, 0), np.float32)


def _check_price(ledger: Ledger, pool: str, encoder_id: str | None) -> None:
    """Stop before the encoder is loaded when the pool cannot pay for what it would embed."""
    with ledger.transaction() as tx:
        need = embed_price(len(images.to_embed(tx, pool, encoder_id or "")))
        credits.void_open(tx, pool, f"embed:{pool}:", "embedding was interrupted")
        credits.check_affordable(tx, pool, need, _note(need))


def _note(price: int) -> str:
    return f"Embedding {price // embed_price(1):,} images"


def _embed_new(
    ledger: Ledger, store: Store, settings: PoolSettings, source: Source, encoder: Encoder
) -> tuple[int, int]:
    pool, encoder_id = settings.key, encoder.encoder_id
    with ledger.transaction() as tx:
        pools.use_encoder(tx, pool, settings.encoder, encoder_id)
        todo = images.to_embed(tx, pool, encoder_id)
        paths = {digest: row["path"] for digest, row in images.details(tx, pool, todo).items()}
        sizes = [min(PART, len(todo) - start) for start in range(0, len(todo), PART)]
        operations = [(f"embed:{pool}:{uuid.uuid4()}", embed_price(size)) for size in sizes]
        credits.check_affordable(tx, pool, embed_price(len(todo)), _note(embed_price(len(todo))))
        for operation, price in operations:
            credits.reserve(tx, pool, operation, price, _note(price))
    broken: list[UserError] = []
    items = [(digest, _reader(source, paths[digest], digest, broken)) for digest in todo]
    embedded = failed = 0
    for (operation, _), part in zip(
        operations, embed_images(items, encoder, total=len(todo), part_size=PART), strict=True
    ):
        if broken:
            raise broken[0]
        name = hashlib.sha256("\n".join([*part.digests, *part.failed]).encode()).hexdigest()[:16]
        rel = f"pools/{pool}/embeddings/{encoder_id}/{name}.parquet"
        if part.digests:
            write_part(store.local(rel), part.digests, part.vectors)
        with ledger.transaction() as tx:
            credits.settle(
                tx, pool, operation, embed_price(len(part.digests)), f"Embedded {len(part.digests):,} images"
            )
            images.record_embedded(tx, pool, encoder_id, rel, part.digests, part.failed)
        embedded, failed = embedded + len(part.digests), failed + len(part.failed)
    return embedded, failed


def _reader(source: Source, path: str, digest: str, broken: list[UserError]) -> Callable[[], bytes]:
    """Read one image; what ails the source as a whole goes to `broken`, for it is no fault of the image."""

    def read() -> bytes:
        try:
            data = source.read(path, ImageLimits().max_bytes)
        except UserError as error:
            if not isinstance(error, UnreadableFile):
                broken.append(error)
            raise
        if content_digest(data) != digest:
            raise ValueError(f"{path} changed since it was scanned; materialize 'images' again")
        return data

    return read


def _mark_near_duplicates(ledger: Ledger, store: Store, pool: str, encoder_id: str) -> None:
    digests, vectors = read_vectors(ledger, store, pool)
    groups = near_duplicates(digests, vectors)
    with ledger.transaction() as tx:
        images.set_near_duplicates(tx, pool, groups)
