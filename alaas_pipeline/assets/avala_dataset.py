"""The asset `avala_dataset`: exactly the round's picks, uploaded to the platform."""

import dagster as dg

from alaas_pipeline.assets.common import is_over, pool_asset, round_of, told_plainly
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.engine.images import ImageLimits
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import images, selections
from alaas_pipeline.resources import Avala, Pools, Sources


def build(settings: PoolSettings) -> dg.AssetsDefinition:
    """Make the asset for one pool."""

    @pool_asset(
        settings,
        "avala_dataset",
        after=["quote"],
        per_round=True,
        code_version="1",
        description=f"The picks of a round of {settings.name} as a dataset on Avala, compared as sets before going on.",
        output_required=False,
    )
    def avala_dataset(context: dg.AssetExecutionContext, pools: Pools, sources: Sources, avala: Avala):
        with told_plainly():
            service = pools.service()
            current = round_of(context, service)
            if is_over(context, current):
                return
            source = sources.open(current.settings)
            with service.ledger.transaction() as tx:
                picks = [row["digest"] for row in selections.picks(tx, current.key)]
                rows = images.details(tx, current.pool, picks)

            def read(digest: str) -> bytes:
                path = rows[digest]["path"]
                if path is None:
                    raise UserError(
                        f"{rows[digest]['image_id']} is not in the source any more. Put it back, or refuse round {current.key}."
                    )
                return source.read(path, ImageLimits().max_bytes)

            with avala.connected(current.settings) as effects:
                dataset = effects.push_dataset(current.key, read)
        yield dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(picks),
                "dataset": dataset.name,
                "dataset_uid": dataset.uid,
                "owner": dataset.owner_name,
            }
        )

    return avala_dataset
