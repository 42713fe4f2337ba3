"""The asset `avala_project`: a clone of the template on the round's dataset, which costs nothing yet."""

import dagster as dg

from alaas_pipeline.assets.common import is_over, pool_asset, round_of, told_plainly
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.resources import Avala, Pools


def build(settings: PoolSettings) -> dg.AssetsDefinition:
    """Make the asset for one pool."""

    @pool_asset(
        settings,
        "avala_project",
        after=["avala_dataset"],
        per_round=True,
        code_version="1",
        description=f"The template of {settings.name} cloned onto the round's dataset; it waits for approval.",
        output_required=False,
    )
    def avala_project(context: dg.AssetExecutionContext, pools: Pools, avala: Avala):
        with told_plainly():
            current = round_of(context, pools.service())
            if is_over(context, current):
                return
            with avala.connected(current.settings) as effects:
                project = effects.clone_project(current.key, template=settings.avala.template)
        yield dg.MaterializeResult(
            metadata={
                "project": project.name,
                "project_uid": project.uid,
                "status": project.status,
                "task_type": project.task_type,
            }
        )

    return avala_project
