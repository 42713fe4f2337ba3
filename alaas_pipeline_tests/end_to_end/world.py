"""A whole installation in a temporary folder: pools.yaml, pictures, a real sandbox, the real Dagster instance, the real encoder."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import yaml
from PIL import Image

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.assets.common import rounds_of
from alaas_pipeline.automation.jobs import job_name
from alaas_pipeline.automation.steps import Step, Wait, avala_step, ledger_step
from alaas_pipeline.avala.connect import connect
from alaas_pipeline.config import PoolSettings, load_settings
from alaas_pipeline.definitions import build_defs
from alaas_pipeline.home import get_home, prepare_dagster_home
from alaas_pipeline.ledger import Ledger
from alaas_pipeline.ledger.status import status
from alaas_pipeline.resources import Encoders
from alaas_pipeline.store import open_store
from alaas_pipeline_tests.sandbox_process import TEMPLATE_UID, SandboxProcess

# What the pictures of these tests show; the template declares it, so that no class comes as news in a later round.
LABELS = ("cats", "dogs", "été chaud")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def pool_entry(name: str, source: str, **changes: Any) -> dict[str, Any]:
    """One pool of a pools.yaml, accepted by policy and labelled by the sandbox unless told otherwise."""
    return {
        "name": name,
        "source": source,
        "images_per_round": 6,
        "platform": "sandbox",
        "avala": {"owner": "sandbox-team", "template": TEMPLATE_UID},
        "price_per_image": "0.05",
        "approval": {"policy": "auto", "max_images_per_round": 6, "max_money_per_round": "1.00"},
        **changes,
    }


def paint(folder: Path, classes: dict[str, int], seed: int = 0) -> None:
    """Put pictures into `folder`, one sub-folder a class: noise around a colour of the class, no two alike."""
    random = np.random.default_rng(seed)
    for number, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        colour = np.array([(53 * number) % 256, (131 * number + 60) % 256, (211 * number + 120) % 256])
        for index in range(count):
            pixels = np.clip(colour + random.normal(0, 40, (48, 64, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"photo {index}.png")


class World:
    """One installation. Jobs run in this process, under the instance that the root dagster.yaml configures."""

    def __init__(self, root: Path, models: Path, monkeypatch: Any) -> None:
        self.root = root
        self.models = models
        self.sandbox = SandboxProcess()
        for name in (
            "AVALA_API_KEY",
            "AVALA_BASE_URL",
            "ALAAS_SANDBOX_URL",
            "ALAAS_SANDBOX_KEY",
            "ALAAS_FILES",
            "DAGSTER_HOME",
        ):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("ALAAS_HOME", str(root / "home"))
        monkeypatch.setenv("ALAAS_POOLS", str(root / "pools.yaml"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        # Registered for removal at the end of the test; the first instance sets it.
        monkeypatch.setenv("DAGSTER_HOME", str(root / "home" / "dagster"))
        self.home = get_home()

    def declare(self, *entries: dict[str, Any]) -> None:
        """Write pools.yaml."""
        text = yaml.safe_dump({"pools": list(entries)}, allow_unicode=True)
        (self.root / "pools.yaml").write_text(text, encoding="utf-8")

    def start_sandbox(self, **settings: Any) -> None:
        """Start the sandbox where the pipeline looks for it."""
        self.home.root.mkdir(exist_ok=True)
        self.sandbox.start(self.home.sandbox, **{"truth": "subfolder", "labels": LABELS, "pace": 0, **settings})

    @property
    def service(self) -> PoolService:
        return PoolService(Ledger(self.home.ledger), open_store(self.home), self.home)

    def pool(self, key: str) -> PoolSettings:
        return load_settings().pool(key)

    def status(self, pool: str) -> dict[str, Any]:
        return status(self.service.ledger, pool)["pools"][0]

    def open_round(self, pool: str) -> str:
        """Open the pool's next round in the ledger."""
        return self.service.open_round(self.pool(pool)).key

    def effects(self, round_key: str) -> dict[str, dict[str, Any]]:
        """What the ledger knows of a round's effects: kind -> row."""
        with self.service.ledger.transaction() as tx:
            rows = tx.rows("SELECT kind, state, sends FROM effects WHERE round = ?", round_key)
        return {row["kind"]: row for row in rows}

    def next_step(self, pool: str) -> Step | Wait:
        """What the loop's rule says, as the two sensors ask it."""
        step = ledger_step(self.service, self.pool(pool))
        if isinstance(step, Wait):
            step = avala_step(self.service, self.pool(pool), lambda settings: connect(settings, self.home))
        return step

    def kept(self) -> list[Path]:
        """Files of the installation, the sandbox's own state apart."""
        return [path for path in self.home.root.rglob("*") if path.is_file() and self.home.sandbox not in path.parents]

    def leaks(self, *secrets: str) -> list[str]:
        """Files that hold a secret or a signature."""
        wanted = [secret.encode() for secret in (*secrets, "avk_sandbox", "X-Amz-Signature")]
        return [str(path) for path in self.kept() if any(word in path.read_bytes() for word in wanted)]

    def defs(self) -> dg.Definitions:
        """The real definitions; only the folder of encoder weights is shared between tests."""
        return build_defs(resources={"encoders": Encoders(cache=str(self.models), threads=1)})

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        os.environ.pop("DAGSTER_HOME", None)
        prepare_dagster_home(self.home)
        with dg.DagsterInstance.get() as instance:
            yield instance

    def run(
        self,
        instance: dg.DagsterInstance,
        pool: str,
        stretch: str,
        round_key: str | None = None,
        config: dict[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run one job of a pool; a failed run is returned, not raised."""
        if round_key:
            instance.add_dynamic_partitions(str(rounds_of(pool).name), [round_key])
        job = self.defs().resolve_job_def(job_name(pool, stretch))
        return job.execute_in_process(
            instance=instance, partition_key=round_key, run_config=QUIET | (config or {}), raise_on_error=False
        )

    def advance(self, instance: dg.DagsterInstance, pool: str, timeout_s: float = 60) -> Step | Wait:
        """Do what the loop's rule says is next, waiting for annotators and exports."""
        deadline = time.monotonic() + timeout_s
        while True:
            step = self.next_step(pool)
            if isinstance(step, Step):
                result = self.run(instance, pool, step.stretch, step.round)
                assert result.success, failure(result)
                return step
            if self.status(pool)["rounds"][-1]["state"] not in ("approved", "exported") or time.monotonic() > deadline:
                return step
            time.sleep(0.1)

    def land_rounds(self, instance: dg.DagsterInstance, pool: str, count: int) -> None:
        """Go on until that many rounds have landed."""
        for _ in range(12 * count):
            if len(self.landed(pool)) >= count:
                return
            self.advance(instance, pool)
        raise AssertionError(f"{pool} did not land {count} rounds: {self.status(pool)['rounds']}")

    def landed(self, pool: str) -> list[str]:
        if not self.home.ledger.exists():
            return []
        document = status(self.service.ledger)["pools"]
        rounds = next((entry["rounds"] for entry in document if entry["pool"] == pool), [])
        return [entry["round"] for entry in rounds if entry["state"] == "landed"]


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What a failed run tells the person who looks at it."""
    told = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            told.append((data.user_failure_data and data.user_failure_data.description) or str(data.error))
        elif event.is_run_failure:
            told.append(event.message or str(event.event_specific_data))
    return "\n".join(told)


def complaint(result: dg.ExecuteInProcessResult) -> str:
    """The one message of a run that failed for a reason that a person can mend."""
    assert not result.success
    failed = [event for event in result.all_events if event.is_step_failure]
    assert len(failed) == 1, failure(result)
    data = failed[0].step_failure_data
    assert data.user_failure_data is not None, f"told with a traceback: {data.error}"
    told = data.user_failure_data.description or ""
    for never in ("Traceback", "avk_", "X-Amz", "?"):
        assert never not in told
    assert "\n" not in told
    return told


def stored(result: dg.ExecuteInProcessResult) -> list[str]:
    """Names of the assets that the run materialized."""
    return [event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key]


def verdict(result: dg.ExecuteInProcessResult, name: str) -> tuple[bool, dict[str, Any]]:
    """Whether a check passed, and its metadata as plain values."""
    found = next(one for one in result.get_asset_check_evaluations() if one.check_name == name)
    return found.passed, {key: value.value for key, value in found.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Check name -> passed."""
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}
