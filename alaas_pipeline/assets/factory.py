"""The factory: one set of assets for each pool that `pools.yaml` declares."""

import dagster as dg

from alaas_pipeline.assets import (
    avala_approval,
    avala_dataset,
    avala_export,
    avala_project,
    embeddings,
    images,
    labels,
    quote,
    selection,
    training_set,
)
from alaas_pipeline.config import PoolSettings, SharedLimits

POOL_STAGES = ("images", "embeddings")
PREPARE_STAGES = ("selection", "quote", "avala_dataset", "avala_project")

_BUILDERS = (
    images,
    embeddings,
    selection,
    quote,
    avala_dataset,
    avala_project,
    avala_export,
    labels,
    training_set,
)


def pool_assets(settings: PoolSettings, limits: SharedLimits) -> list[dg.AssetsDefinition]:
    """Return the assets of one pool; its approvals count against `limits` over all pools."""
    return [*(module.build(settings) for module in _BUILDERS), avala_approval.build(settings, limits)]
