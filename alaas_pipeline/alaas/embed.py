"""Embed a pool's new images, priced before, charged part by part as the vectors are stored."""

import hashlib
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from alaas_pipeline.alaas.encoders import Load, Work, check_same, choose, finish
from alaas_pipeline.alaas.tariffs import embed_price
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.engine.duplicates import near_duplicates
from alaas_pipeline.engine.embed import embed as embed_images
from alaas_pipeline.engine.encoder import Encoder
from alaas_pipeline.engine.images import ImageLimits, content_digest
from alaas_pipeline.engine.read_ahead import ReadAhead
from alaas_pipeline.engine.vectors import check_vectors, read_parts, write_part
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home
from alaas_pipeline.ledger import Ledger, Transaction, credits, gates, images, pools
from alaas_pipeline.ledger.gates import Gate
from alaas_pipeline.locks import locked
from alaas_pipeline.sources import Source, UnreadableFile
from alaas_pipeline.store import Store

log = logging.getLogger(__name__)

PART = 512
LOCK_S = 6 * 3600.0


@dataclass(frozen=True)
class EmbedReport:
    """What one embedding run did."""

    encoder_id: str
    dim: int
    embedded_now: int
    failed_now: int
    credits_charged: int
    vectors: int
    # A change of encoder that waits for a yes, in a sentence.
    plan: str | None = None


def embed(ledger: Ledger, store: Store, home: Home, settings: PoolSettings, source: Source, load: Load) -> EmbedReport:
    """Give every accepted image of the pool a vector; only images without one are embedded and charged.

    A change of encoder is only priced here: until its plan is accepted, the encoder that serves the pool goes on.

    Args:
        ledger: the ledger.
        store: where part files go.
        home: where the lock stands that lets one process at a time embed a pool.
        settings: the pool.
        source: where its images are read.
        load: makes an encoder, given as pools.yaml names it; called only when there is something to embed or to price.

    Raises:
        InsufficientCredits: the new images cost more than the pool may spend; nothing was embedded or charged.
        UserError: the encoder cannot be had, or is not the one it was.
    """
    pool = settings.key
    with locked(home.locks / f"{pool}.embed.lock", f"the embedding of pool '{pool}'", LOCK_S):
        with ledger.transaction() as tx:
            pools.ensure(tx, pool, settings.name)
            credits.grant_up_to(tx, pool, settings.credit_grant)
            credits.void_open(tx, pool, f"embed:{pool}:", "embedding was interrupted")
        work = choose(ledger, pool, settings.encoder, load)
        with ledger.transaction() as tx:
            todo = images.to_embed(tx, pool, work.encoder_id or "")
            # Before an encoder is loaded: the pool may not be able to pay for it.
            credits.check_affordable(tx, pool, embed_price(len(todo)), _note(len(todo)))
        embedded = failed = 0
        if todo or work.encoder_id is None:
            # A source that is gone is one clear message, not a failure of each image.
            next(iter(source.list()), None)
            encoder = load(work.encoder)
            check_same(ledger, pool, work, encoder)
            embedded, failed = _embed_new(ledger, store, pool, source, encoder, work)
        else:
            log.info("%s: every image has its vector; nothing is embedded or charged", pool)
        with ledger.transaction() as tx:
            finish(tx, pool, work)
            serves, due = pools.encoder_id(tx, pool), images.near_duplicates_due(tx, pool)
        assert serves is not None
        if due:
            _mark_near_duplicates(ledger, store, pool)
        with ledger.transaction() as tx:
            vectors = len(images.embedded(tx, pool, serves))
    dim = vectors and read_vectors(ledger, store, pool)[1].shape[1]
    offer = work.plan.offer if work.plan and not work.migrates else None
    return EmbedReport(serves, dim, embedded, failed, embed_price(embedded), vectors, offer)


def read_vectors(ledger: Ledger, store: Store, pool: str) -> tuple[list[str], np.ndarray]:
    """Return digests and vectors (float32, n x dim, unit norm) of the encoder that serves the pool.

    Raises:
        UserError: a part file is missing or damaged.
    """
    with ledger.transaction() as tx:
        encoder_id = pools.encoder_id(tx, pool)
        parts = images.parts(tx, pool, encoder_id) if encoder_id else []
        wanted = set(images.embedded(tx, pool, encoder_id)) if encoder_id else set()
    digests, vectors = _read(store, parts, pool)
    if set(digests) == wanted:
        return digests, vectors
    # A part may hold vectors whose receipt never reached the ledger, or of images embedded again after a crash.
    keep = [row for row, digest in enumerate(digests) if digest in wanted]
    return [digests[row] for row in keep], vectors[keep]


def lost_parts(ledger: Ledger, store: Store, pool: str) -> list[str]:
    """Return the part files that hold the pool's vectors and cannot be read."""
    with ledger.transaction() as tx:
        encoder_id = pools.encoder_id(tx, pool)
        parts = images.parts(tx, pool, encoder_id) if encoder_id else []
    lost = []
    for part in parts:
        try:
            _read(store, [part], pool)
        except UserError:
            lost.append(part)
    return lost


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


def _read(store: Store, parts: list[str], pool: str) -> tuple[list[str], np.ndarray]:
    from polars.exceptions import PolarsError

    digests: list[str] = []
    blocks: list[np.ndarray] = []
    with ReadAhead() as reads:
        for part, read in zip(parts, reads.ahead(partial(store.read_bytes, part) for part in parts), strict=True):
            try:
                names, block = read_parts([read()])
            except (OSError, ValueError, PolarsError) as error:
                what = "missing" if isinstance(error, FileNotFoundError) else "damaged"
                raise UserError(
                    f"Pool '{pool}': the vectors in {store.path(part)} are {what}. Restore this file from a copy, or have its images embedded again, their "
                    f"credits refunded: alaas-pipeline reconcile {pool} --apply"
                ) from None
            digests += names
            blocks.append(block)
    return digests, np.concatenate(blocks) if blocks else np.empty((0, 0), np.float32)


def _note(count: int) -> str:
    return f"Embedding {count:,} images"


def _embed_new(
    ledger: Ledger, store: Store, pool: str, source: Source, encoder: Encoder, work: Work
) -> tuple[int, int]:
    operations: list[str] = []
    with ledger.transaction() as tx:
        if not work.migrates:
            pools.use_encoder(tx, pool, work.encoder, encoder.encoder_id)
        todo = images.to_embed(tx, pool, encoder.encoder_id)
        files = {digest: (row["path"], row["bytes"]) for digest, row in images.details(tx, pool, todo).items()}
        for start in range(0, len(todo), PART):
            operations.append(f"embed:{pool}:{uuid.uuid4()}")
            _pass_gate(tx, pool, operations[-1], min(PART, len(todo) - start), work)
    try:
        return _embed_parts(ledger, store, pool, source, encoder, operations, todo, files)
    except BaseException:
        with ledger.transaction() as tx:
            credits.void_open(tx, pool, f"embed:{pool}:", "embedding failed")
        raise


def _pass_gate(tx: Transaction, pool: str, operation: str, count: int, work: Work) -> None:
    price, allowed = embed_price(count), f"credit cap, {credits.credits(tx, pool).spendable:,} spendable"
    if work.plan and work.migrates:
        allowed += f"; plan {work.plan.digest} for {work.plan.images:,} images, accepted by {work.plan.decided_by}"
    credits.reserve(tx, pool, operation, price, _note(count))
    gates.record(tx, Gate(operation, "embedding", pool, None, count, price, price, price, allowed))


def _embed_parts(
    ledger: Ledger,
    store: Store,
    pool: str,
    source: Source,
    encoder: Encoder,
    operations: list[str],
    todo: list[str],
    files: dict[str, tuple[str, int]],
) -> tuple[int, int]:
    encoder_id = encoder.encoder_id
    embedded = failed = 0
    broken: list[UserError] = []
    items = [(digest, _reader(source, files[digest][0], digest, broken)) for digest in todo]
    parts = embed_images(items, encoder, total=len(todo), part_size=PART, size_of=lambda digest: files[digest][1])
    for operation, part in zip(operations, parts, strict=True):
        if broken:
            raise broken[0]
        name = hashlib.sha256("\n".join([*part.digests, *part.failed]).encode()).hexdigest()[:16]
        rel = f"pools/{pool}/embeddings/{encoder_id}/{name}.parquet"
        if part.digests:
            with store.making(rel) as path:
                write_part(path, part.digests, part.vectors)
        with ledger.transaction() as tx:
            credits.settle(
                tx, pool, operation, embed_price(len(part.digests)), f"Embedded {len(part.digests):,} images"
            )
            images.record_embedded(tx, pool, encoder_id, rel, part.digests, part.failed, operation)
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


def _mark_near_duplicates(ledger: Ledger, store: Store, pool: str) -> None:
    digests, vectors = read_vectors(ledger, store, pool)
    groups = near_duplicates(digests, vectors)
    with ledger.transaction() as tx:
        images.set_near_duplicates(tx, pool, groups)
