"""What a pipeline does, done to the ledger and to the model at once."""

import itertools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis.stateful import RuleBasedStateMachine

from alaas_pipeline.config import Approval, SharedLimits
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import (
    Ledger,
    Transaction,
    credits,
    gates,
    images,
    journal,
    landing,
    pools,
    pushes,
    quotes,
    rounds,
    selections,
)
from alaas_pipeline.ledger.gates import Gate
from alaas_pipeline.ledger.policy import apply_policy
from alaas_pipeline.ledger.rounds import ALLOWED, ENDED
from alaas_pipeline_tests.builders import pool_settings
from alaas_pipeline_tests.ledger.fill import ENCODER, digest, effect, file_row, image_row, outcome, picked
from alaas_pipeline_tests.ledger.plain import POOLS, Effect, Model, Operation, Round

PRICE, EMBED, SELECT = 50_000, 5, 2
AUTO = Approval.model_validate(
    {"policy": "auto", "max_images_per_round": 3, "max_money_per_round": "1", "max_images_total": 8}
)
SHARED = SharedLimits.model_validate({"max_money_total": "0.60"})  # twelve images


class Steps(RuleBasedStateMachine):
    """Holds both and takes single steps. Each method that changes something says first what the model expects."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.ledger = Ledger(Path(shutil.copy(self.template, self.folder)))
        shutil.copy(f"{self.template}.commits", self.folder)
        with self.ledger.transaction() as tx:
            for key in POOLS:
                pools.ensure(tx, key, key)
                pools.use_encoder(tx, key, "efficientnet-lite0", ENCODER)
        self.model, self.names = Model(), itertools.count()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def change(self, allowed: bool, work: Callable[[Transaction], object]) -> bool:
        """One transaction, which must go through or be refused as the model says; returns `allowed`."""
        with self.ledger.transaction() if allowed else pytest.raises(UserError) as tx:
            if allowed:
                work(tx)  # type: ignore[arg-type]
            else:
                with self.ledger.transaction() as tx:
                    work(tx)
        return allowed

    # Credits and vectors

    def grant(self, key: str, declared: int) -> None:
        pool = self.model.pools[key]
        self.change(True, lambda tx: credits.grant_up_to(tx, key, declared))
        pool.granted = max(declared, pool.spent + pool.reserved)

    def ingest(self, key: str, count: int) -> None:
        new = [f"{key}-{next(self.names)}" for _ in range(count)]
        self.change(
            True,
            lambda tx: images.record_scan(tx, key, [file_row(n, n) for n in new], [image_row(n) for n in new], []),
        )
        self.model.pools[key].names += new

    def embed(self, key: str, end: str) -> None:
        pool, operation = self.model.pools[key], f"embed:{key}:{next(self.names)}"
        self.change(True, lambda tx: credits.void_open(tx, key, f"embed:{key}:", "interrupted"))
        pool.void(f"embed:{key}:")
        todo = pool.to_embed
        price = EMBED * len(todo)

        def begin(tx: Transaction) -> None:
            assert images.to_embed(tx, key, ENCODER) == sorted(map(digest, todo))
            credits.reserve(tx, key, operation, price, "x")
            gates.record(tx, Gate(operation, "embedding", key, None, len(todo), price, price, price, "x"))

        if not todo or not self.change(price <= pool.spendable, begin):
            return
        pool.operations[operation] = made = Operation(price)
        if end == "die":
            return
        good = {"post": todo, "part": todo[1:], "void": []}[end]

        def finish(tx: Transaction) -> None:
            credits.settle(tx, key, operation, EMBED * len(good), "x")
            images.record_embedded(tx, key, ENCODER, operation, [digest(n) for n in good], {}, operation)

        self.change(True, finish)
        made.posted = EMBED * len(good)
        pool.part |= dict.fromkeys(good, operation)

    def lose_part(self, key: str, which: int) -> None:
        pool = self.model.pools[key]
        if not pool.part:
            return
        part = sorted(set(pool.part.values()))[which % len(set(pool.part.values()))]
        gone = [name for name, other in pool.part.items() if other == part]

        def lose(tx: Transaction) -> None:
            assert images.forget_part(tx, key, part) == {part: len(gone)}
            for _ in range(2):
                credits.refund(tx, key, part, EMBED * len(gone), "lost")

        self.change(True, lose)
        pool.operations[part].refunded = EMBED * len(gone)
        for name in gone:
            del pool.part[name]

    # Rounds

    def open_round(self, key: str) -> None:
        found = self.model.pools[key].rounds
        if self.change(not found or found[-1].state in ENDED, lambda tx: rounds.open_next(tx, pool_settings(key=key))):
            found.append(Round(rounds.round_key(key, len(found) + 1)))

    def advance(self, current: Round, state: str, also: Callable[[Transaction], object] = lambda tx: None) -> bool:
        def work(tx: Transaction) -> None:
            also(tx)
            rounds.advance(tx, current.key, state)

        allowed = state == current.state or state in ALLOWED[current.state]
        if self.change(allowed, work):
            current.state = state
        return allowed

    def select(self, key: str, current: Round) -> None:
        pool, operation = self.model.pools[key], f"select:{current.key}:{next(self.names)}"
        free = sorted(set(pool.part) - pool.picked)[:3]
        if not free:
            self.advance(current, "exhausted")
        elif self.change(
            pool.spendable >= SELECT, lambda tx: credits.reserve(tx, key, operation, SELECT, "x", current.key)
        ):
            pool.operations[operation] = Operation(SELECT)

            def record(tx: Transaction) -> None:
                assert not set(map(digest, free)) & set(images.selected(tx, key))
                selections.record(tx, key, current.key, [picked(n) for n in free], "coverage", ENCODER, {})
                credits.settle(tx, key, operation, SELECT, "x", current.key)

            self.advance(current, "selected", record)
            current.picks, pool.operations[operation].posted = free, SELECT

    def quote(self, key: str, current: Round) -> None:
        picks = [digest(name) for name in current.picks]
        self.advance(current, "quoted", lambda tx: quotes.make(tx, current.key, picks, PRICE, "USD"))
        current.quoted = True

    def accept(self, key: str) -> None:
        for current in self.model.pools[key].rounds[-1:]:
            past = current.state in ENDED or current.state in ("approved", "paused", "labelled", "exported")
            late = past or current.state in ("export_failed", "overdue")
            allowed = current.quoted and (current.decision == "accepted" or (current.decision is None and not late))

            def work(tx: Transaction, key: str = current.key) -> None:
                quote = quotes.find(tx, key)
                quotes.accept(tx, key, quote.digest if quote else "none", "Ada")

            if self.change(allowed, work):
                current.decision = "accepted"

    def policy(self, key: str) -> None:
        for current in self.model.pools[key].rounds[-1:]:
            if current.state != "quoted" or current.decision:
                continue
            wanted = len(current.picks)
            fits = self.model.accepted(key) + wanted <= 8 and self.model.accepted(*POOLS) + wanted <= 12
            with self.ledger.transaction() as tx:
                made, sentence = apply_policy(tx, current.key, [AUTO, AUTO], SHARED)
            assert (made is not None) == (fits and not self.model.lost), sentence
            current.decision = "accepted" if made else None

    def refuse(self, key: str) -> None:
        for current in self.model.pools[key].rounds[-1:]:
            final = current.decision == "accepted" and current.maybe_billed
            undecided = current.quoted and current.decision != "refused"
            past = current.state in ENDED or current.state not in (*rounds.MAIN_LINE[:5], "needs_person")
            allowed = (
                not final
                and not (undecided and past)
                and (current.state == "refused" or "refused" in ALLOWED[current.state])
            )
            if self.change(allowed, lambda tx, one=current.key: quotes.refuse(tx, one, "Ada")):
                current.state = "refused"
                current.decision = "refused" if current.quoted else None
                self.model.pools[key].void(f"select:{current.key}:")

    # Effects

    def settle(self, current: Round, kind: str, state: str, after: str | None = None) -> None:
        """Intend, send and settle an effect; a transaction each, as a process would that is killed between them."""
        made = current.effects.setdefault(kind, Effect())
        if made.state == "failed" and made.uid:
            made = current.effects[kind] = Effect()
        attempt = 1 + current.retries if kind == "export" else 1
        with self.ledger.transaction() as tx:
            found = effect(tx, current.key, kind, attempt=attempt)
        if state == "intended":
            return
        if state != "adopted":
            self.change(True, lambda tx: journal.sending(tx, found))
            made.sends += 1
        if state == "sent":
            return

        def end(tx: Transaction) -> None:
            journal.settle(tx, found, state, remote_uid=None if state == "failed" else f"{kind}-uid")

        made.state, made.uid = state, made.uid if state == "failed" else f"{kind}-uid"
        if after:
            assert self.advance(current, after, end)
        else:
            self.change(True, end)

    def push(self, key: str, current: Round) -> None:
        self.policy(key)
        if current.decision != "accepted":
            return
        digests = [digest(name) for name in current.picks]
        self.change(True, lambda tx: pushes.plan(tx, current.key, {one: f"{one[:9]}.png" for one in digests}))
        self.change(True, lambda tx: pushes.uploaded(tx, current.key, digests))
        current.sent = current.picks
        self.settle(current, "dataset", "done", "uploaded")

    def clone(self, key: str, current: Round) -> None:
        self.settle(current, "clone", "adopted", "cloned")

    def approve(self, key: str, current: Round) -> None:
        if current.decision == "accepted":
            self.settle(current, "approve", "done", "approved")

    def observe(self, key: str, current: Round) -> None:
        count = len(current.picks)
        self.advance(current, "labelled", lambda tx: rounds.observe(tx, current.key, "completed", count, count))

    def export(self, key: str, current: Round) -> None:
        self.settle(current, "export", "done", "exported")

    def land(self, key: str, current: Round) -> None:
        """The first image has a label, the second was refused, the others wait."""
        words = ["labelled", "refused", *["pending"] * len(current.picks)]
        outcomes = [outcome(name, word) for name, word in zip(current.picks, words, strict=False)]

        def record(tx: Transaction) -> None:
            for _ in range(2):  # the same bytes again are the same version
                landing.record(
                    tx, key, current.key, export_uid="e", export_digest=current.key, schema=[], schema_digest="s", file="f",
                    outcomes=outcomes, quarantined=[],
                )  # fmt: skip

        self.advance(current, "landed", record)
        current.labelled = current.picks[:1]
