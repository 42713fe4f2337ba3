import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from alaas_pipeline.ledger import Ledger, Transaction, pools


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of the newest schema, to be copied: making one takes longer than most tests."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.duckdb"
    with Ledger(path).transaction() as tx:
        pools.ensure(tx, "cats", "Cats")
    return path


@pytest.fixture
def ledger(empty_ledger: Path, tmp_path: Path) -> Ledger:
    """A ledger with the pool `cats`."""
    shutil.copy(f"{empty_ledger}.commits", tmp_path)
    return Ledger(Path(shutil.copy(empty_ledger, tmp_path)))


@pytest.fixture
def tx(ledger: Ledger) -> Iterator[Transaction]:
    """An open transaction on a ledger with the pool `cats`."""
    with ledger.transaction() as tx:
        yield tx
