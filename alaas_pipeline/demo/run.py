"""The demo: the label loop on real photographs, under the real Dagster instance, against the local sandbox."""

import logging
import os
import shutil
import time
from typing import Any

import dagster as dg

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.assets.common import rounds_of
from alaas_pipeline.automation.jobs import job_name
from alaas_pipeline.automation.steps import Step, Wait, avala_step, ledger_step
from alaas_pipeline.avala.connect import connect
from alaas_pipeline.config import PoolSettings, load_settings
from alaas_pipeline.definitions import build_defs
from alaas_pipeline.demo.accuracy import accuracies
from alaas_pipeline.demo.photos import class_counts, prepare_photos
from alaas_pipeline.demo.sandbox_process import local_sandbox
from alaas_pipeline.demo.table import demo_table
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home, checkout, get_home, prepare_dagster_home, shipped_file
from alaas_pipeline.ledger import Ledger, rounds
from alaas_pipeline.ledger.status import status
from alaas_pipeline.report.pool import report_file, write_simulation
from alaas_pipeline.store import open_store

log = logging.getLogger(__name__)

POOL = "solar_cells"
POLL_S = 1.0
PATIENCE_S = 300.0
# Progress comes from our own lines; Dagster keeps its full log for the UI.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run_demo(count: int) -> None:
    """Run `count` more rounds of the demo pool and print the table.

    Raises:
        UserError: the photographs are not installed, the pool is missing from pools.yaml, or a step needs a person.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    home = get_home()
    os.environ["ALAAS_HOME"] = str(home.root)
    settings = _demo_pool(home)
    log.info("putting the photographs in place")
    truth = prepare_photos(home)
    prepare_dagster_home(home)
    service = PoolService(Ledger(home.ledger), open_store(home), home)
    write_simulation(service.store, POOL, class_counts(truth))
    before = _landed(service)
    with (
        local_sandbox(home, "--truth", str(truth), "--refusal-rate", "0.02", "--requests-per-minute", "3000"),
        dg.DagsterInstance.get() as instance,
    ):
        defs = build_defs(home=home)
        # Again before the first of these rounds: what is new is embedded, what is known costs nothing.
        _run(defs, instance, settings, Step("prepare_pool", None))
        while _landed(service) - before < count:
            _advance(defs, instance, service, settings, home)
    document = status(service.ledger, POOL)["pools"][0]
    print(f"\n{demo_table(service, document, class_counts(truth), accuracies(service, POOL, truth))}\n")
    print(f"Report:  {report_file(service.store, POOL)}")
    print("UI:      make ui   (then http://127.0.0.1:3000, group solar_cells)")
    print("Again:   make demo runs the next rounds; make demo-clean starts over")


def _demo_pool(home: Home) -> PoolSettings:
    try:
        settings = load_settings()
    except UserError:
        if checkout() or os.environ.get("ALAAS_POOLS") or (home.root / "pools.yaml").exists():
            raise
        # An installed package brings the demo's pool along; here it becomes a file that people can edit.
        home.root.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shipped_file("pools.yaml"), home.root / "pools.yaml")
        settings = load_settings()
    try:
        return settings.pool(POOL)
    except UserError:
        raise UserError(
            f"The demo runs the pool '{POOL}', which {settings.path} does not declare. Put it back, or unset ALAAS_POOLS."
        ) from None


def _advance(
    defs: dg.Definitions, instance: dg.DagsterInstance, service: PoolService, settings: PoolSettings, home: Home
) -> None:
    """Do the next step, or wait a moment for annotators and exports."""
    deadline, last = time.monotonic() + PATIENCE_S, ""
    while True:
        step = ledger_step(service, settings)
        if isinstance(step, Wait):
            step = avala_step(service, settings, lambda pool: connect(pool, home))
        if isinstance(step, Step):
            _run(defs, instance, settings, step)
            return
        with service.ledger.transaction() as tx:
            current = rounds.latest(tx, settings.key)
        if current is None or current.state not in ("approved", "exported") or time.monotonic() > deadline:
            raise UserError(f"The demo cannot go on: {step.why}")
        if step.why != last:
            log.info("waiting for the annotators: %s", step.why)
            last = step.why
        time.sleep(POLL_S)


def _run(defs: dg.Definitions, instance: dg.DagsterInstance, settings: PoolSettings, step: Step) -> None:
    if step.round:
        instance.add_dynamic_partitions(str(rounds_of(settings.key).name), [step.round])
    log.info("── %s %s", step.stretch.replace("_", " "), step.round or settings.key)
    job: Any = defs.resolve_job_def(job_name(settings.key, step.stretch))
    result = job.execute_in_process(instance=instance, partition_key=step.round, run_config=QUIET, raise_on_error=False)
    if not result.success:
        failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
        told = [failure.user_failure_data.description for failure in failures if failure.user_failure_data]
        raise (
            UserError(told[0] or "a step failed")
            if told
            else UserError(
                f"A step failed unexpectedly: {failures[0].error.message.strip() if failures and failures[0].error else 'see the run in the UI'}"
            )
        )


def _landed(service: PoolService) -> int:
    with service.ledger.transaction() as tx:
        return sum(current.state == "landed" for current in rounds.of_pool(tx, POOL))
