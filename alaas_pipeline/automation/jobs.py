"""The jobs of one pool: the stretches of the loop between two waits."""

from typing import Any

import dagster as dg

from alaas_pipeline.assets.common import asset_key
from alaas_pipeline.assets.factory import POOL_STAGES, PREPARE_STAGES
from alaas_pipeline.config import PoolSettings

STRETCHES: dict[str, tuple[str, ...]] = {
    "prepare_pool": POOL_STAGES,
    "prepare_round": PREPARE_STAGES,
    "approve_round": ("avala_approval",),
    "request_export": ("avala_export",),
    "land_round": ("labels", "training_set"),
}

# What `define_asset_job` returns has no public name in Dagster.
AssetJob = Any

_DESCRIPTIONS = {
    "prepare_pool": "Look through the source and embed what is new.",
    "prepare_round": "Pick a round's images, price them, upload them, clone the project. Nothing is billed for labelling yet.",
    "approve_round": "Start the billable work, if the quote was accepted.",
    "request_export": "Ask for the labels of a finished project.",
    "land_round": "Check and store a round's labels; write the training set and the report.",
}


def job_name(pool: str, stretch: str) -> str:
    """Return the name of a pool's job."""
    return f"{pool}__{stretch}"


def pool_jobs(settings: PoolSettings) -> list[AssetJob]:
    """Return the jobs of one pool."""
    return [
        dg.define_asset_job(
            job_name(settings.key, stretch),
            selection=dg.AssetSelection.assets(*(asset_key(settings.key, stage) for stage in stages)),
            description=f"{settings.name}: {_DESCRIPTIONS[stretch]}",
            tags={"alaas/pool": settings.key, "alaas/stretch": stretch},
        )
        for stretch, stages in STRETCHES.items()
    ]
