"""The only place that wires things: pools, resources, assets, checks, jobs and sensors become one code location."""

from collections.abc import Mapping

import dagster as dg

from alaas_pipeline.assets.factory import pool_assets
from alaas_pipeline.automation.jobs import pool_jobs
from alaas_pipeline.automation.reconciling import reconcile_job, reconcile_schedule
from alaas_pipeline.automation.sensors import build_sensors
from alaas_pipeline.automation.steering import steer_job
from alaas_pipeline.checks import pool_checks
from alaas_pipeline.config import Settings, load_settings
from alaas_pipeline.home import Home, get_home
from alaas_pipeline.resources import Avala, Encoders, Pools, Sources


def build_defs(
    settings: Settings | None = None, home: Home | None = None, resources: Mapping[str, object] | None = None
) -> dg.Definitions:
    """Build everything anew.

    Args:
        settings: the pools; read from `pools.yaml` when left out.
        home: the folder of state; `ALAAS_HOME` when left out.
        resources: replacements by name, for tests.

    Raises:
        UserError: `pools.yaml` is missing or mistaken.
    """
    settings, home = settings or load_settings(), home or get_home()
    jobs = [job for pool in settings.pools for job in pool_jobs(pool)]
    reconciling = reconcile_job(settings.pools)
    return dg.Definitions(
        assets=[asset for pool in settings.pools for asset in pool_assets(pool, settings.limits)],
        asset_checks=[check for pool in settings.pools for check in pool_checks(pool)],
        jobs=[*jobs, *(steer_job(pool) for pool in settings.pools), reconciling],
        schedules=[reconcile_schedule(reconciling)],
        sensors=build_sensors(settings.pools, jobs),
        resources={
            "pools": Pools(home=str(home.root)),
            "sources": Sources(),
            "encoders": Encoders(cache=str(home.models)),
            "avala": Avala(home=str(home.root)),
            **(resources or {}),
        },
        # Steps of one run share a process: starting one for each would cost more than most steps take.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `workspace.yaml` and `-m alaas_pipeline.definitions` load."""
    return build_defs()
