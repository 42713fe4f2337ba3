from dataclasses import replace

import duckdb
import pytest

from alaas_pipeline.ledger import Ledger, Transaction, credits, gates
from alaas_pipeline.ledger.gates import Gate

GATE = Gate("embed:cats:1", "embedding", "cats", None, 10, 50, 50, 50, "credit cap, 100 spendable")


def test_gates_are_read_back_in_their_order(tx: Transaction) -> None:
    second = replace(GATE, operation_id="select:cats.r0001:1", gate="selection", round="cats.r0001", low=1, high=20)
    for gate in (GATE, second, replace(GATE, operation_id="embed:dogs:1", pool="dogs")):
        gates.record(tx, gate)
    assert gates.of_pool(tx, "cats") == [GATE, second]
    assert gates.of_pool(tx, "ants") == []


def test_an_operation_passes_one_gate(ledger: Ledger) -> None:
    def pass_gate() -> None:
        with ledger.transaction() as tx:
            gates.record(tx, GATE)

    pass_gate()
    with pytest.raises(duckdb.ConstraintException):
        pass_gate()


def test_a_gate_goes_with_its_reservation(ledger: Ledger) -> None:
    def spend() -> None:
        with ledger.transaction() as tx:
            gates.record(tx, GATE)
            credits.reserve(tx, "cats", GATE.operation_id, GATE.reserved, "x")

    with pytest.raises(credits.InsufficientCredits):
        spend()
    with ledger.transaction() as tx:
        assert gates.of_pool(tx, "cats") == []
