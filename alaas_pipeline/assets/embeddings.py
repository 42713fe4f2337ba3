"""The asset `embeddings`: one unit vector for each distinct image."""

import dagster as dg

from alaas_pipeline.assets.common import columns, pool_asset, told_plainly
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.resources import Encoders, Pools, Sources


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
    def embeddings(pools: Pools, sources: Sources, encoders: Encoders) -> dg.MaterializeResult:
        with told_plainly():
            service = pools.service()
            report = service.embed(settings, sources.open(settings), lambda: encoders.load(settings.encoder))
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
            }
        )

    return embeddings
