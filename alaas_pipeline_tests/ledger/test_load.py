from pathlib import Path

import pytest

from alaas_pipeline.ledger import Ledger, credits, losses
from alaas_pipeline_tests import forking
from alaas_pipeline_tests.ledger import dying
from alaas_pipeline_tests.ledger.dying import state


@pytest.mark.parametrize(
    ("processes", "each"), [(4, 15), pytest.param(8, 200, marks=[pytest.mark.faults, pytest.mark.timeout(1800)])]
)
def test_many_processes_that_write_at_once_neither_fail_nor_lose_anything(
    ledger: Ledger, tmp_path: Path, processes: int, each: int
) -> None:
    count = processes * each
    with ledger.transaction() as tx:
        before = tx.value("SELECT number FROM commits")
    waits = [tmp_path / f"waits-{number}" for number in range(processes)]
    children = [
        forking.start(dying.write_many, ledger.path, f"p{number}", each, path) for number, path in enumerate(waits)
    ]
    for child in children:
        child.join(1700)
    assert [child.exitcode for child in children] == [0] * processes
    with ledger.transaction() as tx:
        assert state(tx) == count
        names = [f"p{number}:{which}" for number in range(processes) for which in range(each)]
        assert [name for name, _ in credits.open_reservations(tx, "cats")] == sorted(names)
        assert tx.value("SELECT number FROM commits") == ledger.log.last() == before + count
        assert losses.unreconciled(tx) == []
    took = sorted(float(line) for path in waits for line in path.read_text().split())
    assert len(took) == count
    print(
        f"{processes} processes x {each} transactions: median {1000 * took[count // 2]:.0f} ms, "
        f"p99 {1000 * took[count * 99 // 100]:.0f} ms, longest {1000 * took[-1]:.0f} ms"
    )
