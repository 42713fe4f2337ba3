"""The loop closed by its sensors: a real instance and real runs; only the daemon's clock is ours."""

import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from alaas_pipeline.automation.jobs import job_name
from alaas_pipeline.automation.sensors import MAX_ATTEMPTS
from alaas_pipeline.cli import app
from alaas_pipeline_tests.end_to_end.world import QUIET, World, failure, paint, pool_entry
from alaas_pipeline_tests.sandbox_process import SandboxProcess

SENSORS = ("label_loop", "avala_progress")


class Daemon:
    """What Dagster's daemon does with the two sensors: asks them, and runs what they request, with its tags."""

    def __init__(self, world: World, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.defs = world.defs()
        self.repository = self.defs.get_repository_def()
        self.run_keys: list[str] = []
        self.results: list[dg.ExecuteInProcessResult] = []

    def ask(self, sensor: str) -> tuple[list[dg.RunRequest], str]:
        """Evaluate a sensor; returns its requests and why it made none."""
        resources = {name: (self.defs.resources or {})[name] for name in ("pools", "avala")}
        with dg.build_sensor_context(
            instance=self.instance,
            # Without it Dagster does not look up rounds that requests name.
            instance_ref=self.instance.get_ref(),
            definitions=self.defs,
            resources=resources,
            sensor_name=sensor,
        ) as context:
            answer = self.repository.get_sensor_def(sensor).evaluate_tick(context)
        return list(answer.run_requests or ()), answer.skip_message or ""

    def launch(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Run what was requested. The daemon drops a run key that it has seen, so none may come twice."""
        assert request.run_key is not None
        assert request.run_key not in self.run_keys
        self.run_keys.append(request.run_key)
        if request.partition_key:
            rounds = self.instance.get_dynamic_partitions(f"rounds.{request.partition_key.split('.')[0]}")
            assert request.partition_key in rounds
        result = self.repository.get_job(str(request.job_name)).execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            tags=dict(request.tags),
            run_config=QUIET,
            raise_on_error=False,
        )
        self.results.append(result)
        return result

    def tick(self) -> int:
        """Let both sensors tick once, and run what they ask for; returns how many runs that were."""
        requests = [request for sensor in SENSORS for request in self.ask(sensor)[0]]
        for request in requests:
            self.launch(request)
        return len(requests)

    def tick_until_quiet(self) -> str:
        """Tick until neither sensor asks for anything; returns why."""
        for _ in range(20):
            if not self.tick():
                return "\n".join(self.ask(sensor)[1] for sensor in SENSORS)
        raise AssertionError(f"The sensors never come to rest: {self.run_keys}")

    def tick_until_landed(self, world: World, pool: str, count: int) -> None:
        deadline = time.monotonic() + 120
        while len(world.landed(pool)) < count:
            assert time.monotonic() < deadline, world.status(pool)
            if not self.tick():
                time.sleep(0.1)


def declare(world: World, *names: str, **changes: Any) -> None:
    entries = []
    for number, name in enumerate(names):
        paint(world.root / name, {"cats": 6, "dogs": 6}, seed=number)
        entries.append(pool_entry(name, str(world.root / name), images_per_round=4, **changes))
    world.declare(*entries)


def test_an_auto_pool_reaches_two_landed_rounds_by_ticks_alone(world: World) -> None:
    declare(world, "Pets")
    world.start_sandbox()
    with world.instance() as instance:
        daemon = Daemon(world, instance)
        daemon.tick_until_landed(world, "pets", 2)
        assert all(result.success for result in daemon.results), [failure(result) for result in daemon.results]
        runs = instance.get_run_records(dg.RunsFilter(tags={"alaas/pool": "pets"}))
    assert world.landed("pets")[:2] == ["pets.r0001", "pets.r0002"]
    assert [len(world.sandbox.effects(kind)) for kind in ("finalise", "approve", "export")] == [2, 2, 2]
    assert len(runs) == len(daemon.run_keys) == 1 + 2 * 4
    assert daemon.run_keys[:4] == [
        "pets:prepare_pool::0",
        "pets.r0001:prepare_round::0",
        "pets.r0001:approve_round:asked:0",
        "pets.r0001:request_export:attempt 1:0",
    ]
    # A new DAGSTER_HOME learns the rounds from the ledger.
    world.home.dagster.rename(world.root / "lost")
    with world.instance() as instance:
        assert instance.get_dynamic_partitions("rounds.pets") == []
        Daemon(world, instance).ask("label_loop")
        assert instance.get_dynamic_partitions("rounds.pets")[:2] == ["pets.r0001", "pets.r0002"]


def test_a_manual_pool_waits_for_the_typed_answer(world: World) -> None:
    declare(world, "Pets", approval={"policy": "manual"})
    world.start_sandbox()
    with world.instance() as instance:
        daemon = Daemon(world, instance)
        why = daemon.tick_until_quiet()
        assert daemon.run_keys[-1] == "pets.r0001:approve_round:asked:0"
        asked = daemon.results[-1]
        assert asked.success
        (waiting,) = asked.get_asset_check_evaluations()
        assert (waiting.check_name, waiting.passed, waiting.severity) == (
            "is_accepted",
            False,
            dg.AssetCheckSeverity.WARN,
        )
        assert not asked.asset_materializations_for_node("pets__avala_approval")
        assert "pets: approve_round has run; a person is needed now, see: alaas-pipeline status pets" in why
        assert [daemon.tick() for _ in range(3)] == [0, 0, 0]

        # A no ends the round, and the loop rests until a person opens the next one.
        assert CliRunner().invoke(app, ["refuse", "pets.r0001", "--by", "Ada"]).exit_code == 0
        assert daemon.tick() == 0
        assert daemon.ask("label_loop") == ([], "pets: pets.r0001 is refused: refused by Ada")
        assert CliRunner().invoke(app, ["open-round", "pets"]).stdout == "pets.r0002\n"
        daemon.tick_until_quiet()
        assert daemon.run_keys[-1] == "pets.r0002:approve_round:asked:0"
        assert world.sandbox.effects("approve") == []

        quote = world.status("pets")["rounds"][1]["quote"]["digest"]
        typed = CliRunner().invoke(app, ["approve", "pets.r0002", "--quote", quote])
        assert typed.exit_code == 0, typed.output
        daemon.tick_until_landed(world, "pets", 1)
    assert "pets.r0002:approve_round:accepted:0" in daemon.run_keys
    assert len(world.sandbox.effects("approve")) == 1
    refused, landed = world.status("pets")["rounds"]
    assert (refused["state"], landed["state"]) == ("refused", "landed")
    assert not set(refused["picked"]) & set(landed["picked"])


def test_a_failing_step_is_asked_for_three_times_and_then_left_to_people(world: World) -> None:
    declare(world, "Pets")
    with world.instance() as instance:
        daemon = Daemon(world, instance)
        why = daemon.tick_until_quiet()
        attempts = [f"pets.r0001:prepare_round::{number}" for number in range(MAX_ATTEMPTS)]
        assert daemon.run_keys == ["pets:prepare_pool::0", *attempts]
        assert [result.success for result in daemon.results] == [True, False, False, False]
        assert "no sandbox is running" in failure(daemon.results[-1])
        assert "pets: prepare_round failed 3 times; mend what its runs say" in why
        # The picks were made and paid for once.
        assert world.status("pets")["credits"]["spent"] == 12 * 5 + 10 + 25 * 4
        # A person mends it and launches the run from its page; the sensors take over again.
        world.start_sandbox()
        assert world.run(instance, "pets", "prepare_round", "pets.r0001").success
        assert daemon.tick() == 1
    assert daemon.run_keys[-1] == "pets.r0001:approve_round:asked:0"
    assert world.status("pets")["rounds"][0]["state"] == "approved"


def test_a_step_that_is_running_is_not_asked_for_again(world: World) -> None:
    declare(world, "Pets")
    with world.instance() as instance:
        daemon = Daemon(world, instance)
        ((request,), _) = daemon.ask("label_loop")
        job = daemon.repository.get_job(job_name("pets", "prepare_pool"))
        for status in (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED):
            run = instance.create_run_for_job(job, tags=dict(request.tags), status=status)
            assert daemon.ask("label_loop") == ([], "pets: prepare_pool is running")
            instance.report_run_failed(run)
        ((again,), _) = daemon.ask("label_loop")
    assert (request.run_key, again.run_key) == ("pets:prepare_pool::0", "pets:prepare_pool::2")


@pytest.fixture
def second_sandbox(tmp_path: Path) -> Any:
    with SandboxProcess() as sandbox:
        sandbox.start(tmp_path / "second", truth="subfolder", pace=0)
        yield sandbox


def test_a_pool_whose_platform_is_down_does_not_stop_the_other(world: World, second_sandbox: SandboxProcess) -> None:
    for name in ("Near", "Far"):
        paint(world.root / name, {"cats": 6, "dogs": 6}, seed=len(name))
    near, far = (pool_entry(name, str(world.root / name), images_per_round=4) for name in ("Near", "Far"))
    far["avala"]["base_url"] = second_sandbox.base_url
    # The pool in trouble comes first.
    world.declare(far, near)
    world.start_sandbox()
    with world.instance() as instance:
        daemon = Daemon(world, instance)
        while not second_sandbox.effects("approve"):
            assert daemon.tick()
        second_sandbox.stop()
        began = time.monotonic()
        requests, _ = daemon.ask("avala_progress")
        assert time.monotonic() - began < 20
        assert all(str(request.partition_key).startswith("near.") for request in requests)
        daemon.tick_until_landed(world, "near", 1)
        assert world.landed("far") == []
        assert world.status("far")["rounds"][0]["state"] == "approved"
        far_runs = [key for key in daemon.run_keys if key.startswith("far")]
        second_sandbox.restart()
        while not second_sandbox.effects("export"):
            assert daemon.tick()
    assert daemon.run_keys.count("far.r0001:request_export:attempt 1:0") == 1
    assert far_runs == ["far:prepare_pool::0", "far.r0001:prepare_round::0", "far.r0001:approve_round:asked:0"]
    assert len(second_sandbox.effects("approve")) == 1
