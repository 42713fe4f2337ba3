"""Reconcile on a schedule, reading only: a run that is red has found what does not agree."""

from collections.abc import Sequence

import dagster as dg

from alaas_pipeline.alaas.reconcile import compare
from alaas_pipeline.assets.common import told_plainly
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import pools as ledger_pools
from alaas_pipeline.report.reconcile import plan_text
from alaas_pipeline.resources import Avala, Pools

EVERY = "17 * * * *"


def reconcile_job(pools_settings: Sequence[PoolSettings]) -> dg.JobDefinition:
    """Return the job over all pools."""

    @dg.op
    def reconcile(context: dg.OpExecutionContext, pools: Pools, avala: Avala) -> None:
        """Compare ledger, platform and files; nothing is changed."""
        with told_plainly():
            service = pools.service()
            with service.ledger.transaction() as tx:
                used = ledger_pools.known(tx)
            plans = []
            for settings in pools_settings:
                if settings.key in used:
                    with avala.connected(settings, look_only=True) as effects:
                        plans.append(compare(service, effects, settings))
            text = plan_text(plans)
            if any(plan.drift for plan in plans):
                raise UserError(text)
            context.log.info(text)

    @dg.job(
        description="Compares ledger, Avala and files of all pools, changing nothing. Fails when they disagree, and says where."
    )
    def reconcile_all() -> None:
        reconcile()

    return reconcile_all


def reconcile_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Return the schedule: once an hour. It starts switched off; switch it on in the UI."""
    return dg.ScheduleDefinition(name="reconcile_hourly", job=job, cron_schedule=EVERY)
