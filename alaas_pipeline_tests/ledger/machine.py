"""The ledger beside a model of plain values: whatever is done, in whatever order, both say the same."""

import copy
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from alaas_pipeline.ledger import credits, losses
from alaas_pipeline.ledger.backup import backup, restore
from alaas_pipeline.ledger.retry import retry
from alaas_pipeline.ledger.rounds import ALLOWED, ENDED
from alaas_pipeline_tests.ledger.agreement import figures_agree, pool_agrees
from alaas_pipeline_tests.ledger.plain import POOLS, Model
from alaas_pipeline_tests.ledger.steps import Steps

# What a person or the platform may do to a round at any time.
TURNS = ("needs_person", "paused", "approved", "canceled", "archived", "overdue", "export_failed", "exhausted")


class Crash(BaseException):
    """The process ends here."""


# The state that a settled effect speaks for, in the order in which rounds come through them.
REACHES = {"dataset": "uploaded", "clone": "cloned", "approve": "approved", "export": "exported"}


class LedgerMachine(Steps):
    """Drives both. Most of the time the pipeline goes on; so it gets far enough for the rest to hurt."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.copies: list[tuple[Path, Model, int]] = []
        self.counted: dict[str, tuple[int, int, int]] = {}

    @initialize(rich=st.sampled_from(POOLS), times=st.sampled_from([12, 9, 6, 3, 0]))
    def begin(self, rich: str, times: int) -> None:
        """One pool can go on for many rounds, and is on its way; the other begins with nothing."""
        self.grant(rich, 300)
        self.ingest(rich, 20)
        self.embed(rich, "post")
        self.proceed(rich, times)

    @rule(key=st.sampled_from(POOLS), times=st.integers(2, 10))
    def proceed(self, key: str, times: int) -> None:
        """What the pipeline would do next when all goes well, so often."""
        for _ in range(times):
            pool = self.model.pools[key]
            if not pool.rounds or pool.rounds[-1].state in ENDED:
                self.open_round(key)
            else:
                current = pool.rounds[-1]
                steps = {
                    "open": self.select, "selected": self.quote, "quoted": self.push, "uploaded": self.clone, "cloned": self.approve,
                    "approved": self.observe, "labelled": self.export, "exported": self.land, "overdue": self.land,
                }  # fmt: skip
                if current.state in steps:
                    steps[current.state](key, current)
            self.compare(key)

    @rule(
        key=st.sampled_from(POOLS), what=st.sampled_from(["grant", "ingest", "post", "part", "void", "die", "lose"]),
        amount=st.integers(0, 60),
    )  # fmt: skip
    def supply(self, key: str, what: str, amount: int) -> None:
        """Credits, images and vectors come and go."""
        if what == "grant":
            self.grant(key, 5 * amount)
        elif what == "ingest":
            self.ingest(key, 1 + amount % 5)
        elif what == "lose":
            self.lose_part(key, amount)
        else:
            self.embed(key, what)

    @rule(key=st.sampled_from(POOLS), how=st.sampled_from(["policy", "accept", "refuse"]))
    def decide(self, key: str, how: str) -> None:
        """Somebody decides on the newest round."""
        {"policy": self.policy, "accept": self.accept, "refuse": self.refuse}[how](key)

    @rule(what=st.sampled_from(["crash", "copy", "put back", "reconcile"]), which=st.integers(0, 3))
    def disaster(self, what: str, which: int) -> None:
        """A process ends in the middle of a transaction; the ledger is copied; an old copy is put back."""
        if what == "crash":
            self.crash(POOLS[which % 2])
        elif what == "put back":
            self.put_back(which)
        else:
            {"copy": self.copy, "reconcile": self.reconcile}[what]()

    @rule(key=st.sampled_from(POOLS), state=st.sampled_from(["intended", "sent", "failed", "adopted"]))
    def approve_badly(self, key: str, state: str) -> None:
        for current in self.model.pools[key].rounds[-1:]:
            if current.state == "cloned" and current.decision == "accepted":
                self.settle(current, "approve", state, "approved" if state == "adopted" else None)

    @rule(key=st.sampled_from(POOLS), state=st.sampled_from(TURNS))
    def turn(self, key: str, state: str) -> None:
        for current in self.model.pools[key].rounds[-1:]:
            known = "approved" not in (state, *ALLOWED[state]) or current.billed or state == "needs_person"
            # Before a quote no round of the pipeline waits for a person, and only an approved one is under way.
            if current.quoted and known:
                self.advance(current, state)

    @rule(key=st.sampled_from(POOLS))
    def go_on(self, key: str) -> None:
        for current in self.model.pools[key].rounds[-1:]:
            settled = [kind for kind, made in current.effects.items() if made.settled]
            after = {"overdue": "export_failed"}.get(current.state, current.state)
            if current.state == "needs_person":
                done = [state for kind, state in REACHES.items() if kind in settled]
                after = done[-1] if done else "quoted"
            if self.change(current.state not in ENDED, lambda tx, one=current.key: retry(tx, one, "Ada")):
                if current.state == "overdue" and "export" in settled:
                    current.effects["export"].state = "failed"
                current.state, current.retries = after, current.retries + 1

    # Crashes and copies

    def crash(self, key: str) -> None:
        """A process ends in the middle of a transaction."""

        def work() -> None:
            with self.ledger.transaction() as tx:
                credits.grant_up_to(tx, key, 10_000)
                credits.void_open(tx, key, "", "x")
                tx.run("UPDATE rounds SET state = 'landed'")
                tx.run("DELETE FROM decisions")
                raise Crash

        with pytest.raises(Crash):
            work()

    def copy(self) -> None:
        self.copies.append((backup(self.ledger, self.folder / "copies"), copy.deepcopy(self.model), self.number))

    def put_back(self, which: int) -> None:
        if not self.copies:
            return
        path, model, number = self.copies[which % len(self.copies)]
        done = restore(self.ledger, path)
        assert (done.commits, done.known) == (number, self.number)
        self.model, self.counted = copy.deepcopy(model), {}
        self.model.lost = model.lost or number < self.number
        with self.ledger.transaction() as tx:
            told = [(loss.first_commit, loss.last_commit) for loss in losses.unreconciled(tx)]
        assert ((number + 1, self.number) in told) == (number < self.number)

    def reconcile(self) -> None:
        if self.model.lost:
            self.change(True, losses.reconciled)
            self.model.lost = False

    @invariant()
    def agree(self) -> None:
        self.compare(*POOLS)

    def compare(self, *pools: str) -> None:
        with self.ledger.transaction() as tx:
            number = tx.value("SELECT number FROM commits")
            assert number >= self.number
            assert (tx.value("SELECT max(number) FROM history") or 0) <= number == self.ledger.log.last()
            self.number = number
            assert bool(losses.unreconciled(tx)) == self.model.lost
            posted = tx.column("SELECT operation_id FROM credit_entries WHERE kind = 'post'")
            assert len(posted) == len(set(posted))
            for key in pools:
                pool_agrees(tx, key, self.model.pools[key])
                figures_agree(tx, key, self.model.pools[key], self.counted)
