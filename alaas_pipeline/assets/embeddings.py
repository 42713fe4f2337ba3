"""The asset `embeddings`: one unit vector for each distinct image."""

import dagster as dg
from pydantic import Field

from alaas_pipeline.assets.common import columns, pool_asset, told_plainly
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.ledger import plans
from alaas_pipeline.resources import Encoders, Pools, Sources


class PlanConfig(dg.Config):
    """An answer to the offer of a change of encoder; left empty, the stored answer decides."""

    accept_plan: str = Field(default="", description="The digest of the plan you accept; see the metadata 'plan'.")
    accepted_by: str = Field(default="a person in the Dagster UI", description="Your name, kept with the decision.")


def build(settings: PoolSettings) -> dg.AssetsDefinition:
    """Make the asset for one pool."""

    @pool_asset(
        settings,
        "embeddings",
        after=["images"],
        kinds=(
            "torch",
            "parquet",
        ),
        code_version="1",
        description=f"Unit vectors of {settings.name} by {settings.encoder}; only new images are embedded and charged.",
        stored=columns(digest="string", vector="fixed-size list of float16"),
    )
    def embeddings(config: PlanConfig, pools: Pools, sources: Sources, encoders: Encoders) -> dg.MaterializeResult:
        with told_plainly():
            service = pools.service()
            if config.accept_plan:
                with service.ledger.transaction() as tx:
                    plans.accept(tx, settings.key, config.accept_plan, config.accepted_by)
            report = service.embed(settings, sources.open(settings), encoders.load)
        held = service.usage(settings.key)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": report.vectors,
                "encoder": report.encoder_id,
                "dimensions": report.dim,
                "embedded_now": report.embedded_now,
                "failed_now": report.failed_now,
                "credits_charged": report.credits_charged,
                "credits_spendable": held.spendable,
                **({"plan": report.plan} if report.plan else {}),
            }
        )

    return embeddings
