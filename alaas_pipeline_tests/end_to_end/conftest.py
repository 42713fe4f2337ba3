"""Whole installations for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from alaas_pipeline_tests.bench import Bench, bench, empty_ledger, server
from alaas_pipeline_tests.builders import pool_entry
from alaas_pipeline_tests.end_to_end.world import World

__all__ = ["bench", "empty_ledger", "server"]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the default encoder is made, once for all processes of the test run."""
    return tmp_path_factory.getbasetemp().parent / "alaas-models"


@pytest.fixture
def world(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A fresh installation; its sandbox, if one was started, is stopped at the end."""
    made = World(tmp_path, models, monkeypatch)
    with made.sandbox:
        yield made


@pytest.fixture
def here(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A pool that the command line and Dagster find as the installation's own."""
    path = bench.home.root.parent / "pools.yaml"
    entry = pool_entry(name=bench.pool, key=bench.pool, source=str(bench.home.root.parent))
    path.write_text(yaml.safe_dump({"pools": [entry]}), encoding="utf-8")
    for name in ("AVALA_API_KEY", "AVALA_BASE_URL", "ALAAS_SANDBOX_KEY", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALAAS_HOME", str(bench.home.root))
    monkeypatch.setenv("ALAAS_POOLS", str(path))
    monkeypatch.setenv("ALAAS_SANDBOX_URL", bench.sandbox.base_url)
    return bench


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's memory, for one test."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made
