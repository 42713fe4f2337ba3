"""Open a round and pick its images: credits are reserved before, posted once, and never beyond the reservation."""

import hashlib
import logging
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alaas_pipeline.alaas.aims import aims_of
from alaas_pipeline.alaas.embed import LOCK_S, check_embeddings, read_vectors
from alaas_pipeline.alaas.tariffs import select_price, select_prices
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.engine.aims import Aims
from alaas_pipeline.engine.select import Pick, PoolExhausted
from alaas_pipeline.engine.select import select as engine_select
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home
from alaas_pipeline.ledger import Ledger, annotations, credits, gates, images, pools, rounds, selections
from alaas_pipeline.ledger.gates import Gate
from alaas_pipeline.ledger.rounds import Round
from alaas_pipeline.ledger.selections import PickedImage
from alaas_pipeline.locks import locked
from alaas_pipeline.store import Store

log = logging.getLogger(__name__)

# What depends on the images alone is made faster than read for smaller pools, and is not kept.
KEPT_FROM = 50_000


@dataclass(frozen=True)
class Shares:
    """How a round's images are split: asked of the engine, allowed as outliers, drawn at random."""

    representatives: int
    outliers: int
    control: int


def shares(settings: PoolSettings) -> Shares:
    """Split `images_per_round`, so that all lists together never exceed it.

    `explore` returns up to one outlier for every five representatives beside them, hence the sixth.
    """
    control = min(int(settings.images_per_round * settings.control_share), settings.images_per_round - 1)
    rest = settings.images_per_round - control
    outliers = rest // 6 if settings.strategy == "explore" else 0
    return Shares(rest - outliers, outliers, control)


def next_price(ledger: Ledger, settings: PoolSettings) -> int:
    """Return the most that the pool's next selection can cost, in credits."""
    with ledger.transaction() as tx:
        counts = images.counts(tx, settings.key)
    return select_price(settings.tariff, min(settings.images_per_round, counts.remaining), counts.embedded)


def open_round(ledger: Ledger, settings: PoolSettings) -> Round:
    """Open the pool's next round in the ledger, when there is something to pick and credits to pay for it.

    Raises:
        UserError: no vectors yet, nothing left to pick (`pool_exhausted`), too few credits, a round is still open, or the
            pool is bound to another platform or owner.
    """
    price = next_price(ledger, settings)
    with ledger.transaction() as tx:
        counts = images.counts(tx, settings.key) if settings.key in pools.known(tx) else None
        if counts is None or not counts.embedded:
            raise UserError(
                f"Pool '{settings.key}' has no embeddings yet. Materialize its 'images' and 'embeddings' first."
            )
        if not counts.remaining:
            raise UserError(
                f"pool_exhausted: every image of pool '{settings.key}' was selected. Add images to its source."
            )
        # A round keeps the settings it is opened with, so a mistaken owner has to be told before.
        pools.check_bound(tx, settings.key, platform=settings.platform, owner=settings.avala.owner)
        credits.grant_up_to(tx, settings.key, settings.credit_grant)
        opened = rounds.open_next(tx, settings)
        credits.check_affordable(tx, settings.key, price, f"The selection of round {opened.key}")
    log.info("%s: opened", opened.key)
    return opened


def select(ledger: Ledger, store: Store, home: Home, round_key: str) -> list[PickedImage]:
    """Pick the round's images and return them in pick order; a round that has picks returns those.

    Raises:
        InsufficientCredits: the selection may cost more than the pool may spend; nothing was charged.
        UserError: the vectors are damaged or missing, or the round has ended.
    """
    with locked(home.locks / f"{round_key}.select.lock", f"the selection of round {round_key}", LOCK_S):
        with ledger.transaction() as tx:
            current = rounds.get(tx, round_key)
            stored = selections.picks(tx, round_key)
        if stored or current.ended:
            return [PickedImage(**{name: row[name] for name in PickedImage.__dataclass_fields__}) for row in stored]
        return _select_new(ledger, store, home, current)


def _select_new(ledger: Ledger, store: Store, home: Home, current: Round) -> list[PickedImage]:
    round_key, pool, settings = current.key, current.pool, current.settings
    operation = f"select:{round_key}:{uuid.uuid4()}"
    problems = check_embeddings(ledger, store, pool)
    if problems:
        raise UserError(
            f"The embeddings of pool '{pool}' are not sound: {' '.join(problems)} Materialize 'embeddings'; nothing was charged."
        )
    digests, vectors = read_vectors(ledger, store, pool)
    with ledger.transaction() as tx:
        encoder_id = pools.encoder_id(tx, pool)
        earlier, barred = images.selected(tx, pool), set(images.not_pickable(tx, pool))
        aims, never = aims_of(tx, pool, settings.aims, set(digests) - set(earlier) - barred)
        classes = annotations.classes_of(tx, pool) if settings.strategy == "adaptive" else {}
        barred |= never
        left = sorted(set(digests) - set(earlier) - barred)
        if not left:
            rounds.advance(tx, round_key, "exhausted", "pool_exhausted: every image was selected")
            return []
        wanted = min(settings.images_per_round, len(left))
        most, (low, high) = select_price(settings.tariff, wanted, len(digests)), select_prices(wanted, len(digests))
        credits.void_open(tx, pool, f"select:{round_key}:", "selection was interrupted")
        allowed = f"credit cap, {credits.credits(tx, pool).spendable:,} spendable; tariff {settings.tariff}"
        credits.reserve(tx, pool, operation, most, f"The selection of round {round_key}", round_key)
        gates.record(tx, Gate(operation, "selection", pool, round_key, wanted, low, high, most, allowed))
    assert encoder_id is not None
    keep = home.root / "structures" / f"{pool}.npz" if len(digests) > KEPT_FROM else None
    try:
        return _pick(
            ledger, current, operation, encoder_id, (digests, vectors), (earlier, barred, left), aims, classes, keep
        )
    except BaseException:
        with ledger.transaction() as tx:
            credits.void_open(tx, pool, f"select:{round_key}:", "selection failed")
        raise


def _pick(
    ledger: Ledger,
    current: Round,
    operation: str,
    encoder_id: str,
    embedded: tuple[list[str], np.ndarray],
    images_by_state: tuple[list[str], set[str], list[str]],
    aims: Aims,
    classes: Mapping[str, str],
    keep: Path | None,
) -> list[PickedImage]:
    round_key, pool, settings = current.key, current.pool, current.settings
    (digests, vectors), (earlier, barred, left) = embedded, images_by_state
    # An image picked long ago may have no vector of the encoder that serves today.
    earlier = sorted(set(earlier) & set(digests))
    split = shares(settings)
    control = _draw(left, min(split.control, len(left)), round_key)
    picks: list[PickedImage] = []
    metrics: dict[str, float] = {}
    left_nothing = ""
    try:
        found = engine_select(
            digests, vectors, split.representatives, strategy=settings.strategy, max_outliers=split.outliers,
            selected=[*earlier, *control], excluded=barred - set(earlier), aims=aims,
            labels={digest: classes[digest] for digest in earlier if digest in classes}, keep=keep,
        )  # fmt: skip
        picks, metrics = _picked([*found.representatives, *found.outliers]), found.metrics
    except PoolExhausted as error:
        left_nothing = str(error)
    picks += [
        PickedImage(digest, "control", 0.0, 0, None, None, "Drawn at random, to measure the gain of selecting.")
        for digest in control
    ]
    if not picks:
        with ledger.transaction() as tx:
            rounds.advance(tx, round_key, "exhausted", f"pool_exhausted: {left_nothing}")
            credits.void_open(tx, pool, f"select:{round_key}:", "nothing was left to pick")
        return []
    with ledger.transaction() as tx:
        # First of all: a round that was refused meanwhile takes no picks, and its reservation is gone.
        rounds.advance(tx, round_key, "selected")
        cost = select_price(settings.tariff, len(picks), len(digests))
        credits.settle(tx, pool, operation, cost, f"Selected {len(picks)} images", round_key)
        selections.record(tx, pool, round_key, picks, settings.strategy, encoder_id, metrics)
    log.info("%s: picked %d images for %s credits", round_key, len(picks), f"{cost:,}")
    return picks


def _picked(found: Sequence[Pick]) -> list[PickedImage]:
    return [
        PickedImage(pick.id, pick.kind, pick.gain, pick.covers, pick.nearest, pick.distance, pick.reason)
        for pick in found
    ]


def _draw(digests: list[str], count: int, round_key: str) -> list[str]:
    """Draw from a sorted list, the same for the same round: a fair sample of what was left before the round."""
    seed = int.from_bytes(hashlib.sha256(round_key.encode()).digest()[:8])
    return random.Random(seed).sample(digests, count)  # noqa: S311 (repeatable on purpose)
