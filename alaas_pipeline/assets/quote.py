"""The asset `quote`: the most that labelling exactly a round's picks can cost."""

import dagster as dg

from alaas_pipeline.assets.common import is_over, pool_asset, round_of, told_plainly
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.money import show_money
from alaas_pipeline.resources import Pools


def build(settings: PoolSettings) -> dg.AssetsDefinition:
    """Make the asset for one pool."""

    @pool_asset(
        settings,
        "quote",
        after=["selection"],
        per_round=True,
        kinds=("duckdb",),
        code_version="1",
        description=f"Price of labelling a round of {settings.name}: its picks times the declared price, under a digest to accept.",
        output_required=False,
    )
    def quote(context: dg.AssetExecutionContext, pools: Pools):
        with told_plainly():
            service = pools.service()
            current = round_of(context, service)
            if is_over(context, current):
                return
            made = service.quote(current.key)
        yield dg.MaterializeResult(
            metadata={
                "quote_digest": made.digest,
                "images": made.images,
                "price_per_image": show_money(made.price_micros, made.currency),
                "at_most": made.total,
                "total": dg.MetadataValue.float(made.total_micros / 1_000_000),
                "to_accept": f"alaas-pipeline approve {current.key} --quote {made.digest}",
                "to_refuse": f"alaas-pipeline refuse {current.key}",
            }
        )

    return quote
