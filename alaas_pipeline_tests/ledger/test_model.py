from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from alaas_pipeline_tests.builders import STEADY
from alaas_pipeline_tests.ledger.machine import LedgerMachine


class Watched(LedgerMachine):
    """Notes how far its rounds came."""

    seen: Counter[str]

    def teardown(self) -> None:
        for pool in self.model.pools.values():
            self.seen.update(one.state for one in pool.rounds)
            self.seen.update(kind for one in pool.rounds for kind, made in one.effects.items() if made.settled)
        super().teardown()


@pytest.fixture
def machine(empty_ledger: Path) -> Iterator[LedgerMachine]:
    machine = type("Machine", (LedgerMachine,), {"template": empty_ledger})()
    yield machine
    machine.teardown()


def test_a_way_through_everything(machine: LedgerMachine) -> None:
    machine.begin("cats", 0)
    machine.agree()
    machine.proceed("cats", 9)
    assert machine.model.pools["cats"].rounds[0].state == "landed"
    machine.copy()
    machine.proceed("cats", 5)
    machine.approve_badly("cats", "sent")
    machine.decide("cats", "refuse")  # too late: the approval may have arrived
    machine.turn("cats", "needs_person")
    machine.go_on("cats")
    machine.crash("cats")
    machine.proceed("cats", 3)
    machine.turn("cats", "overdue")
    machine.go_on("cats")
    machine.lose_part("cats", 0)
    machine.embed("cats", "die")
    machine.agree()
    assert [one.state for one in machine.model.pools["cats"].rounds] == ["landed", "export_failed"]
    machine.put_back(0)
    machine.agree()
    assert machine.model.lost
    machine.proceed("cats", 4)
    assert machine.model.pools["cats"].rounds[1].state == "quoted"  # the policy waits until the loss is reconciled
    machine.reconcile()
    machine.proceed("cats", 2)
    machine.decide("cats", "refuse")
    machine.agree()
    assert machine.model.pools["cats"].rounds[1].state == "refused"


@pytest.mark.parametrize(
    ("examples", "steps"), [(3, 12), pytest.param(60, 40, marks=[pytest.mark.faults, pytest.mark.timeout(3600)])]
)
def test_the_ledger_says_what_a_plain_model_says(empty_ledger: Path, examples: int, steps: int) -> None:
    machine = type("Machine", (Watched,), {"template": empty_ledger, "seen": Counter()})
    terms = settings(
        STEADY, max_examples=examples, stateful_step_count=steps, suppress_health_check=[HealthCheck.too_slow]
    )
    run_state_machine_as_test(machine, settings=terms)
    if examples > 50:
        # Which walks there are follows from constants in the code under test; what every set of them comes to is this.
        assert {"landed", "approve", "export"} <= set(machine.seen), machine.seen
