import shutil
from pathlib import Path

import pytest

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.home import Home
from alaas_pipeline.ledger import Ledger
from alaas_pipeline.store import Store
from alaas_pipeline_tests.bench import bench, empty_ledger, server

__all__ = ["bench", "empty_ledger", "server"]


@pytest.fixture
def service(empty_ledger: Path, tmp_path: Path) -> PoolService:
    """A pool service with nothing in it."""
    home = Home(tmp_path / "state")
    home.root.mkdir()
    shutil.copy(empty_ledger, home.ledger)
    return PoolService(Ledger(home.ledger), Store(str(home.files)), home)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """An empty source folder."""
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder
