"""Whole installations for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from alaas_pipeline_tests.bench import bench, empty_ledger, server
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
