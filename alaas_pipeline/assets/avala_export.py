"""The asset `avala_export`: the export of a finished project, requested; nothing waits for it here."""

import dagster as dg

from alaas_pipeline.assets.common import asset_key, pool_asset, round_of, told_plainly
from alaas_pipeline.avala.heed import heeding
from alaas_pipeline.avala.observe import observe_project
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.errors import UserError
from alaas_pipeline.resources import Avala, Pools

WAITING = "project_is_complete"


def build(settings: PoolSettings) -> dg.AssetsDefinition:
    """Make the asset for one pool."""

    @pool_asset(
        settings,
        "avala_export",
        after=["avala_approval"],
        per_round=True,
        code_version="1",
        description=f"The export of a round of {settings.name}; while annotators work, the run is green and nothing is stored.",
        output_required=False,
        check_specs=[
            dg.AssetCheckSpec(
                WAITING,
                asset=asset_key(settings.key, "avala_export"),
                description="The annotators have finished the project.",
            )
        ],
    )
    def avala_export(context: dg.AssetExecutionContext, pools: Pools, avala: Avala):
        with told_plainly():
            service = pools.service()
            current = round_of(context, service)
            if not current.reached("approved") and not current.ended and current.state != "needs_person":
                raise UserError(
                    f"Round {current.key} is in state '{current.state}' and was not approved. Materialize its 'avala_approval' first."
                )
            with avala.client(current.settings) as client, heeding(service.ledger, current.key):
                current = observe_project(service.ledger, client, current.key)
            export = None
            if current.reached("labelled"):
                with avala.connected(current.settings) as effects:
                    export = effects.request_export(current.key)
        if export is None:
            context.log.info(f"Round {current.key} is {current.state}: {current.note or 'no note'}")
        else:
            yield dg.MaterializeResult(
                metadata={"export": export.name, "export_uid": export.uid, "status": export.status}
            )
        yield dg.AssetCheckResult(
            check_name=WAITING, passed=export is not None, severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "round": current.key, "state": current.state, "note": current.note or "",
                "tasks_total": current.tasks_total or 0, "tasks_completed": current.tasks_completed or 0,
                **({} if current.acceptance_rate is None else {"acceptance_rate": current.acceptance_rate}),
            },
        )  # fmt: skip

    return avala_export
