"""What all effects share: one process a round, an intent before, a look before and after, and a stop when what is found is ambiguous."""

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from alaas_pipeline.avala import connect
from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.errors import AvalaError, NameTaken
from alaas_pipeline.avala.heed import heeding
from alaas_pipeline.avala.look import AmbiguousError
from alaas_pipeline.avala.names import remote_name
from alaas_pipeline.avala.retry import nothing_happened
from alaas_pipeline.avala.writes import AvalaWrites
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, Transaction, journal, pools, quotes, rounds
from alaas_pipeline.ledger.journal import Effect
from alaas_pipeline.ledger.pools import Binding
from alaas_pipeline.ledger.rounds import Round
from alaas_pipeline.locks import locked

log = logging.getLogger(__name__)

T = TypeVar("T")

ROUND_LOCK_S = 900.0
# Kinds whose object carries our name; the others are about a project that is there.
NAMED = ("dataset", "clone", "export")
# What ends a round that is stuck there: before anything is billed, while annotators may work, after they have finished.
_GIVE_UP = {"dataset": "refuse", "clone": "refuse", "export": "archive"}


class NeedsPerson(UserError):
    """What was found on Avala is ambiguous; the round waits in `needs_person`."""


class NothingToAdopt(UserError):
    """Only looking was allowed, and what would be adopted is not there."""


@dataclass
class Acting:
    """The parts that an effect works with; see `AvalaEffects` for what they mean."""

    ledger: Ledger
    client: AvalaClient
    writes: AvalaWrites
    locks: Path
    look_only: bool
    index_wait_s: float
    settle_s: float
    pause_s: float
    bindings: dict[str, Binding] = field(default_factory=dict)

    @contextmanager
    def alone(self, round_key: str) -> Iterator[Round]:
        """Keep other processes away from the round, check its account, and keep in the ledger how long Avala wants to be left alone.

        Raises:
            UserError: the pool is bound to another account, or another process kept the round for too long.
        """
        with locked(self.locks / f"{round_key}.effects.lock", f"round {round_key}", ROUND_LOCK_S):
            with self.ledger.transaction() as tx:
                current = rounds.get(tx, round_key)
            with heeding(self.ledger, round_key):
                self._check_account(current)
                yield current

    @contextmanager
    def round(self, round_key: str, needs: str, what: str) -> Iterator[Round]:
        """Work on a round alone, if it has come far enough.

        Raises:
            UserError: it has not, or as `alone` says.
        """
        with self.alone(round_key) as current:
            if current.state == "needs_person":
                # Launching the run again is a person's word that it may go on; every effect looks before it acts.
                with self.ledger.transaction() as tx:
                    rounds.advance(tx, round_key, journal.furthest(tx, round_key))
                    current = rounds.get(tx, round_key)
            if not current.reached(needs):
                if current.ended:
                    told = f"has ended ({current.state}: {current.note or 'no note'}). Open the next one"
                else:
                    told = f"is in state '{current.state}' and has no {what} yet. Make that first"
                raise UserError(f"Round {round_key} {told}; nothing was sent.")
            yield current

    def _check_account(self, current: Round) -> None:
        if current.pool not in self.bindings:
            self.bindings[current.pool] = connect.binding_of(current.settings, self.client)
        with self.ledger.transaction() as tx:
            pools.check_bound(tx, current.pool, **vars(self.bindings[current.pool]))

    def perform(self, effect: Effect, look: Callable[[], T | None], act: Callable[[], T]) -> tuple[T, str]:
        """Adopt what `look` finds; else act once, and look again when the answer leaves doubt.

        Returns:
            The object, and `done` or `adopted`.

        Raises:
            AvalaError: the platform refused, or it is not known whether it did it; a later call looks first.
            AmbiguousError: our name is taken by something that cannot be seen.
            NothingToAdopt: only looking is allowed.
        """
        # What was sent a moment ago may not be listed yet.
        found = self._look(look, patient=effect.sends > 0 and self._fresh(effect))
        if found is not None:
            return found, "adopted"
        if self.look_only:
            raise NothingToAdopt(f"{effect.subject}: '{effect.remote_name}' ({effect.kind}) is not on Avala")
        with self.ledger.transaction() as tx:
            journal.sending(tx, effect)
        try:
            return act(), "done"
        except AvalaError as error:
            found, taken = None, isinstance(error, NameTaken) and effect.kind in NAMED
            if not nothing_happened(error):
                found = self._look(look, patient=taken or error.may_have_taken_effect)
            if found is not None:
                log.warning("%s: %s was answered badly but had happened; adopted", effect.subject, effect.kind)
                return found, "adopted"
            if taken:
                told = f"the name '{effect.remote_name}' is taken on Avala by something that this key cannot see"
                raise AmbiguousError(told) from None
            # A refusal is certain; after silence or a server's error the effect may yet come true, and stays intended.
            state = "intended" if error.may_have_taken_effect or nothing_happened(error) else "failed"
            with self.ledger.transaction() as tx:
                journal.settle(tx, effect, state, message=str(error))
            raise

    @contextmanager
    def stopping(self, effect: Effect) -> Iterator[None]:
        """Stop the round in `needs_person` when what is found is ambiguous."""
        try:
            yield
        except AmbiguousError as found:
            give_up = found.give_up or _GIVE_UP.get(effect.kind, "cancel")
            message = (
                f"Round {effect.subject}: {found}. {found.remedy} When it is mended: alaas-pipeline retry {effect.subject}; "
                f"to give the round up: alaas-pipeline {give_up} {effect.subject}"
            )
            with self.ledger.transaction() as tx:
                now = journal.find(tx, effect.subject, effect.kind, effect.attempt)
                # A refusal stays one: it is certain that nothing came of it.
                if now and not now.settled and now.state != "failed":
                    journal.settle(tx, effect, "needs_person", message=message)
                rounds.advance(tx, effect.subject, "needs_person", message)
            raise NeedsPerson(message) from None

    def wait_for(self, there: Callable[[], bool]) -> None:
        """Wait until something is there, or `settle_s` have passed."""
        self._look(lambda: there() or None, patient=True)

    def _look(self, look: Callable[[], T | None], *, patient: bool) -> T | None:
        """Look once, or until it is there or `settle_s` have passed: lists may lag behind."""
        found, waited, pause = look(), 0.0, self.pause_s
        while found is None and patient and waited < self.settle_s:
            self.client.transport.timing.sleep(pause)
            waited, pause = waited + pause, 2 * pause
            found = look()
        return found

    def _fresh(self, effect: Effect) -> bool:
        sent = datetime.fromisoformat(effect.updated_at)
        return abs((datetime.now(UTC) - sent).total_seconds()) < 4 * self.settle_s


def name_of(tx: Transaction, round_key: str) -> str:
    """Return the name of a quoted round's remote objects."""
    quote = quotes.find(tx, round_key)
    assert quote is not None
    return remote_name(round_key, quote.manifest_digest)


def uid_of(effect: Effect) -> str:
    """Return the uid that a settled effect has."""
    assert effect.remote_uid is not None
    return effect.remote_uid


def digest_of(*parts: str) -> str:
    """Return the digest of an effect's payload."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
