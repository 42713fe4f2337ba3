"""The sensors that close the loop: one reads the ledger, one looks at the platform. No run waits for people."""

import os
from collections.abc import Callable, Sequence

import dagster as dg

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.assets.common import rounds_of
from alaas_pipeline.automation.jobs import AssetJob, job_name
from alaas_pipeline.automation.steps import Step, Wait, avala_step, ledger_step
from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import rounds
from alaas_pipeline.resources import Avala, Pools

MAX_ATTEMPTS = 3


def build_sensors(pools_settings: Sequence[PoolSettings], jobs: Sequence[AssetJob]) -> list[dg.SensorDefinition]:
    """Return the two sensors over all pools. Both start switched off; switch them on in the UI."""
    every = _interval_s()

    @dg.sensor(
        jobs=list(jobs), minimum_interval_seconds=every,
        description="Prepares new pools, opens the next round while pool, credits and budget allow, and starts what was approved.",
    )  # fmt: skip
    def label_loop(context: dg.SensorEvaluationContext, pools: Pools) -> dg.SensorResult:
        service = pools.service()
        result = _tick(context, pools_settings, lambda settings: ledger_step(service, settings))
        # Also rounds opened in this very tick: Dagster must know them before it is asked to run them.
        for settings in pools_settings:
            _register(context.instance, service, settings)
        return result

    @dg.sensor(
        jobs=list(jobs), minimum_interval_seconds=every,
        description="Looks at the projects and exports of open rounds on Avala, and asks for or lands what is ready.",
    )  # fmt: skip
    def avala_progress(context: dg.SensorEvaluationContext, pools: Pools, avala: Avala) -> dg.SensorResult:
        service = pools.service()

        def hurried(settings: PoolSettings) -> AvalaClient:
            return avala.client(settings, hurried=True)

        return _tick(context, pools_settings, lambda settings: avala_step(service, settings, hurried))

    return [label_loop, avala_progress]


def _interval_s() -> int:
    """Return the seconds between two looks of a sensor."""
    given = os.environ.get("ALAAS_SENSOR_INTERVAL_S") or "30"
    if not given.isdecimal() or int(given) < 1:
        raise UserError(f"ALAAS_SENSOR_INTERVAL_S is '{given}'. Give whole seconds, for example 30.")
    return int(given)


def _register(instance: dg.DagsterInstance, service: PoolService, settings: PoolSettings) -> None:
    """Tell Dagster of the ledger's rounds that it does not know: a lost DAGSTER_HOME loses no round."""
    name = str(rounds_of(settings.key).name)
    with service.ledger.transaction() as tx:
        keys = [current.key for current in rounds.of_pool(tx, settings.key)]
    instance.add_dynamic_partitions(name, sorted(set(keys) - set(instance.get_dynamic_partitions(name))))


def _tick(
    context: dg.SensorEvaluationContext,
    pools_settings: Sequence[PoolSettings],
    ask: Callable[[PoolSettings], Step | Wait],
) -> dg.SensorResult:
    """Ask for each pool; a pool that cannot answer (a platform that is down) does not keep the others waiting."""
    requests, waits = [], []
    for settings in pools_settings:
        try:
            answer = ask(settings)
        except UserError as error:
            answer = Wait(str(error))
        if isinstance(answer, Wait):
            waits.append(f"{settings.key}: {answer.why}")
            continue
        request = _request(context.instance, settings, answer)
        if isinstance(request, Wait):
            waits.append(f"{settings.key}: {request.why}")
        else:
            requests.append(request)
    return dg.SensorResult(run_requests=requests, skip_reason="; ".join(waits) if waits and not requests else None)


def _request(instance: dg.DagsterInstance, settings: PoolSettings, step: Step) -> dg.RunRequest | Wait:
    """Request the step unless it is running, was served, or failed too often; the attempt is counted from run records.

    A run key is remembered for ever, hence the attempt in it.
    """
    name = f"{step.round or settings.key}:{step.stretch}:{step.occasion}"
    runs = [record.dagster_run for record in instance.get_run_records(dg.RunsFilter(tags={"alaas/step": name}))]
    if any(not run.is_finished for run in runs):
        return Wait(f"{step.stretch} is running")
    if any(run.is_success for run in runs):
        return Wait(f"{step.stretch} has run; a person is needed now, see: alaas-pipeline status {settings.key}")
    if len(runs) >= MAX_ATTEMPTS:
        return Wait(f"{step.stretch} failed {len(runs)} times; mend what its runs say, then launch it from there")
    return dg.RunRequest(
        run_key=f"{name}:{len(runs)}",
        job_name=job_name(settings.key, step.stretch),
        partition_key=step.round,
        tags={"alaas/step": name},
    )
