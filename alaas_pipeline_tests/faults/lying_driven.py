"""The pipeline in a process of its own: the jobs of the loop, driven as the sensors do, or one command of the command line."""

import gc
import json
import logging
import os
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import faiss  # noqa: F401
import httpcore  # noqa: F401
import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401
import polars as pl  # noqa: F401
import pyarrow.dataset
import pyarrow.parquet  # noqa: F401
from PIL import Image
from typer.testing import CliRunner

import alaas_pipeline.sandbox.server
from alaas_pipeline import cli
from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.automation.sensors import MAX_ATTEMPTS
from alaas_pipeline.automation.steps import Step, Wait, avala_step, ledger_step
from alaas_pipeline.avala import transport
from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.connect import connect
from alaas_pipeline.avala.effects import AvalaEffects
from alaas_pipeline.avala.heed import heeding
from alaas_pipeline.avala.observe import observe_project
from alaas_pipeline.config import PoolSettings, load_settings
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import get_home
from alaas_pipeline.labels.land import land
from alaas_pipeline.ledger import Ledger, images, landing, rounds, selections
from alaas_pipeline.ledger.policy import apply_policy
from alaas_pipeline.ledger.rounds import Round
from alaas_pipeline.ledger.status import status
from alaas_pipeline.sandbox.settings import Settings as SandboxSettings
from alaas_pipeline.sources import FolderSource
from alaas_pipeline.store import Store
from alaas_pipeline_tests.end_to_end.world import LABELS, failure
from alaas_pipeline_tests.faults.lying_around import Admin, Clock, PlannedCrash, Witness
from alaas_pipeline_tests.faults.lying_schedule import TIMEOUT_S, Crash, Schedule
from alaas_pipeline_tests.faults.pipeline import POOL, Pipeline, SmallEncoder

MAX_TURNS, MAX_WAITS = 60, 14
BIG = 1_000_000


class NoPandas:
    """DuckDB looks for it in the whole path at each call when it is not installed."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, NoPandas)  # type: ignore[arg-type]
# What takes long the first time is done before any process is forked.
Image.init()
transport._tls(False)
# What is here by now is no garbage, and is not looked through again and again.
gc.freeze()


class Rooms:
    """The jobs of the loop without Dagster: the same calls in the same order as its assets make."""

    def __init__(self) -> None:
        self._home = get_home()

    @property
    def service(self) -> PoolService:
        return PoolService(Ledger(self._home.ledger), Store(str(self._home.files)), self._home)

    def settings(self) -> PoolSettings:
        return load_settings().pool(POOL)

    def next_step(self) -> Step | Wait:
        """What the loop's rule says, as the two sensors ask it."""
        try:
            step = ledger_step(self.service, self.settings())
            if isinstance(step, Wait):
                step = avala_step(
                    self.service, self.settings(), lambda settings: connect(settings, self._home, hurried=True)
                )
            return step
        except UserError as error:
            return Wait(str(error))

    def rounds(self) -> list[Round]:
        with self.service.ledger.transaction() as tx:
            return rounds.of_pool(tx, POOL)

    def document(self) -> dict[str, Any]:
        """The status, and beside it what landed for each image."""
        service = self.service
        told = status(service.ledger)
        with service.ledger.transaction() as tx:
            labels = {
                current.key: {
                    row["image_id"]: [row["outcome"], *row["labels"]] for row in landing.current(tx, current.key)
                }
                for current in rounds.of_pool(tx, POOL)
            }
        return {"status": told, "labels": labels}

    def do(self, step: Step) -> None:
        """Do one step.

        Raises:
            UserError: a person can mend it.
        """
        assert step.round is not None
        with self.service.ledger.transaction() as tx:
            current = rounds.get(tx, step.round)
        getattr(self, f"_{step.stretch}")(self.service, current)

    def _prepare_round(self, service: PoolService, current: Round) -> None:
        service.select(current.key)
        service.quote(current.key)
        with service.ledger.transaction() as tx:
            picks = [row["digest"] for row in selections.picks(tx, current.key)]
            rows = images.details(tx, current.pool, picks)
        source = FolderSource(Path(current.settings.source))
        with self._effects(current) as effects:
            effects.push_dataset(current.key, lambda digest: source.read(rows[digest]["path"], 1 << 20))
        with self._effects(current) as effects:
            effects.clone_project(current.key, template=self.settings().avala.template)

    def _approve_round(self, service: PoolService, current: Round) -> None:
        with service.ledger.transaction() as tx:
            made, _ = apply_policy(tx, current.key, [current.settings.approval, self.settings().approval])
        if made is None or made.decision == "refused" or current.ended:
            return
        with self._effects(current) as effects:
            effects.approve(current.key)

    def _request_export(self, service: PoolService, current: Round) -> None:
        with connect(current.settings, self._home) as client, heeding(service.ledger, current.key):
            current = observe_project(service.ledger, client, current.key)
        if current.reached("labelled"):
            with self._effects(current) as effects:
                effects.request_export(current.key)

    def _land_round(self, service: PoolService, current: Round) -> None:
        with connect(current.settings, self._home) as client:
            land(service.ledger, service.store, client, current.key)

    def _effects(self, current: Round) -> "Connected":
        return Connected(current, self._home)


class Connected:
    """Effects with a client of their own, as the resource makes them."""

    def __init__(self, current: Round, home: Any) -> None:
        self._client = connect(current.settings, home)
        self._made = AvalaEffects(Ledger(home.ledger), self._client, home.locks)

    def __enter__(self) -> AvalaEffects:
        return self._made

    def __exit__(self, *_: object) -> None:
        self._client.close()


class Jobs(Rooms):
    """The real thing: Dagster's jobs under an instance that is thrown away."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._pipeline = Pipeline(root)
        self._instance = dg.DagsterInstance.ephemeral()

    def do(self, step: Step) -> None:
        result = self._pipeline.run(self._instance, POOL, step.stretch, step.round)
        if not result.success:
            told = failure(result)
            if PlannedCrash.__name__ in told:
                raise PlannedCrash(told)
            raise UserError(told)


def drive(rooms: Rooms, schedule: Schedule, witness: Witness, admin: Admin, clock: Clock) -> tuple[str, str]:
    """Do what the loop's rule says, as the sensors do, until nothing goes on without help; say how it ended."""
    failures: Counter[Step] = Counter()
    done: set[Step] = set()
    waits, pause = 0, 30.0
    for _ in range(MAX_TURNS):
        witness.turn += 1
        known = rooms.rounds()
        if sum(current.state == "landed" for current in known) >= schedule.rounds:
            return "landed", ""
        if known:
            admin.at(known[-1].state, schedule, known[-1].number)
        step = rooms.next_step()
        if isinstance(step, Wait) or step in done:
            current = next(reversed(rooms.rounds()), None)
            if current is None or current.ended or current.state in ("needs_person", "paused"):
                return "stopped", str(step)
            if isinstance(step, Step) and current.state == "cloned":
                return "asked", str(step)
            if waits == MAX_WAITS:
                return "waits", str(step)
            waits, pause = waits + 1, min(2 * pause, 3600.0)
            clock.sleep(pause)
            continue
        try:
            rooms.do(step)
        except UserError as error:
            witness.note(say="failed", step=str(step), why=str(error))
            failures[step] += 1
            if failures[step] == MAX_ATTEMPTS:
                return "failed", f"{step}: {error}"
            # As the sensors do, after a while.
            clock.sleep(30)
            continue
        done.add(step)
        waits, pause = 0, 30.0
    return "turns", "it goes on and on"


def run(
    root: Path, admin_url: str, schedule: Schedule, name: str, crash: Crash | None, command: list[str] | None
) -> None:
    """The life of one pipeline process: drive the loop, or run one command of the command line."""
    _to_log(root / f"run-{name}.log")
    # It shows what the pipeline does, whatever becomes of it.
    os.environ |= {"ALAAS_HOME": str(root / "home"), "ALAAS_POOLS": str(root / "pools.yaml"), "HF_HUB_OFFLINE": "1"}
    for variable in (
        "AVALA_API_KEY",
        "AVALA_BASE_URL",
        "ALAAS_SANDBOX_URL",
        "ALAAS_SANDBOX_KEY",
        "DAGSTER_HOME",
        "ALAAS_LIMITS_DIR",
    ):
        os.environ.pop(variable, None)
    try:
        clock = Clock(root / "clock")
        clock.install()
        AvalaClient.__init__.__kwdefaults__["timeout_s"] = TIMEOUT_S  # type: ignore[index]
        admin = Admin(admin_url, root / "hands")
        witness = Witness(root, name, schedule, crash, admin)
        rooms = Jobs(root) if schedule.real and command is None else Rooms()
        witness.install(lambda: status(rooms.service.ledger))
        if schedule.plant:
            from alaas_pipeline_tests.faults.lying_plants import PLANTS

            PLANTS[schedule.plant]()
        if command is None:
            told: dict[str, Any] = dict(
                zip(("ended", "why"), drive(rooms, schedule, witness, admin, clock), strict=True)
            )
        else:
            result = CliRunner().invoke(cli.app, command)
            told = {"ended": "command", "code": result.exit_code, "output": result.output}
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                told["traceback"] = "".join(traceback.format_exception(result.exception))
        told |= {**rooms.document(), "cpu": time.process_time()}
    except PlannedCrash:
        traceback.print_exc()
        os._exit(1)
    except BaseException:
        told = {"ended": "died", "traceback": traceback.format_exc()}
    (root / f"told-{name}.part").write_text(json.dumps(told))
    (root / f"told-{name}.part").rename(root / f"told-{name}.json")
    os._exit(0)


def prepare(root: Path) -> None:
    """Make a pool with vectors, which every schedule begins with."""
    _to_log(root / "prepare.log")
    os.environ |= {"ALAAS_HOME": str(root / "home"), "ALAAS_POOLS": str(root / "pools.yaml")}
    rooms = Rooms()
    source = FolderSource(Path(rooms.settings().source))
    rooms.service.scan(rooms.settings(), source)
    rooms.service.embed(rooms.settings(), source, lambda _: SmallEncoder())


def serve(state: Path, log: Path, settings: dict[str, Any]) -> None:
    """The life of a sandbox."""
    _to_log(log)
    limits = {"requests_per_minute": BIG, "burst_per_second": BIG, "anonymous_per_minute": BIG}
    alaas_pipeline.sandbox.server.run(
        SandboxSettings(state=state, truth="subfolder", labels=LABELS, **limits, **settings)
    )


def _to_log(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, force=True)
