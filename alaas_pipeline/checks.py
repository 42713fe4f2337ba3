"""Blocking asset checks: what must hold before the next stage may start.

They show; the same rules are enforced by the next step from the ledger, because a later partial run does not consult checks.
"""

import dagster as dg

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.alaas.tariffs import select_price
from alaas_pipeline.assets.common import asset_key
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.ledger import credits, images, journal, landing, pushes, rounds, selections
from alaas_pipeline.resources import Avala, Pools


def pool_checks(settings: PoolSettings) -> list[dg.AssetChecksDefinition]:
    """Return the checks of one pool's assets."""
    pool = settings.key

    @dg.asset_check(
        asset=asset_key(pool, "embeddings"),
        blocking=True,
        description="Every accepted image has one vector; all are finite and of unit length.",
    )
    def vectors_are_sound(pools: Pools) -> dg.AssetCheckResult:
        problems = pools.service().check_embeddings(pool)
        return dg.AssetCheckResult(passed=not problems, metadata={"problems": "; ".join(problems) or "none"})

    @dg.asset_check(
        asset=asset_key(pool, "selection"), blocking=True,
        description="No image was picked in an earlier round, and the selection cost no more than was reserved for it.",
    )  # fmt: skip
    def picks_are_new_and_paid(context: dg.AssetCheckExecutionContext, pools: Pools) -> dg.AssetCheckResult:
        key = _round(context)
        return _picks(pools.service(), pool, key)

    @dg.asset_check(
        asset=asset_key(pool, "avala_dataset"),
        blocking=True,
        description="The dataset on Avala holds exactly the round's picks.",
    )
    def dataset_is_the_selection(
        context: dg.AssetCheckExecutionContext, pools: Pools, avala: Avala
    ) -> dg.AssetCheckResult:
        key, service = _round(context), pools.service()
        with service.ledger.transaction() as tx:
            current, uid = rounds.get(tx, key), journal.remote_uid(tx, key, "dataset")
            picked = {row["digest"] for row in selections.picks(tx, key)}
            names = {row["file_name"]: row["digest"] for row in pushes.planned(tx, key)}
        if uid is None:
            return dg.AssetCheckResult(passed=False, metadata={"round": key, "problem": "no dataset"})
        with avala.client(current.settings) as client:
            dataset = client.dataset(uid)
            found = {
                names.get(item.file_name)
                for item in client.dataset_items(dataset.owner_name or current.settings.avala.owner, dataset.slug)
            }
        return dg.AssetCheckResult(
            passed=found == picked, metadata={"round": key, "picked": len(picked), "on_avala": len(found)}
        )

    @dg.asset_check(
        asset=asset_key(pool, "labels"),
        blocking=True,
        description="The books balance: every image sent is labelled, refused or pending, by name.",
    )
    def books_balance(context: dg.AssetCheckExecutionContext, pools: Pools) -> dg.AssetCheckResult:
        key = _round(context)
        with pools.service().ledger.transaction() as tx:
            sent = {row["digest"] for row in pushes.planned(tx, key) if row["uploaded_at"]}
            known = {row["digest"] for row in landing.current(tx, key)}
            books = landing.books(tx, key)
        return dg.AssetCheckResult(
            passed=sent == known, metadata={"round": key, **vars(books), "unaccounted": len(sent - known)}
        )

    return [vectors_are_sound, picks_are_new_and_paid, dataset_is_the_selection, books_balance]


def _round(context: dg.AssetCheckExecutionContext) -> str:
    return context.run.tags["dagster/partition"]


def _picks(service: PoolService, pool: str, key: str) -> dg.AssetCheckResult:
    with service.ledger.transaction() as tx:
        current, picks = rounds.get(tx, key), selections.picks(tx, key)
        earlier = {
            row["digest"]
            for other in rounds.of_pool(tx, pool)
            if other.number < current.number
            for row in selections.picks(tx, other.key)
        }
        spent, size = credits.spent_on(tx, key), images.counts(tx, pool).embedded
    again = [row["image_id"] for row in picks if row["digest"] in earlier]
    limit = select_price(current.settings.tariff, current.settings.images_per_round, size)
    return dg.AssetCheckResult(
        passed=not again and spent <= limit and len(picks) <= current.settings.images_per_round,
        metadata={
            "round": key,
            "picked": len(picks),
            "picked_before": len(again),
            "credits_spent": spent,
            "credits_at_most": limit,
        },
    )
