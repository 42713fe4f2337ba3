"""What a person can say about a round, in one place for the command line, the Launchpad and CI."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import Enum

from alaas_pipeline.avala.effects import AvalaEffects
from alaas_pipeline.ledger import Ledger, landing, quotes, rounds, verdicts
from alaas_pipeline.ledger.retry import retry


class Action(Enum):
    """What to do with a round.

    `approve` and `refuse` answer its quote; the next four change its project; `retry` says go on; the last two decide over labels that
    wait. Dagster calls an action by its Python name: `accept_labels`.
    """

    approve = "approve"
    refuse = "refuse"
    pause = "pause"
    resume = "resume"
    cancel = "cancel"
    archive = "archive"
    retry = "retry"
    accept_labels = "accept-labels"
    refuse_labels = "refuse-labels"


def steer(
    ledger: Ledger,
    effects: Callable[[], AbstractContextManager[AvalaEffects]],
    round_key: str,
    action: Action,
    by: str,
    quote: str = "",
    version: int | None = None,
) -> str:
    """Do what a person says and return a sentence about it.

    Args:
        ledger: the ledger.
        effects: connects to the round's platform; called only for what changes the project.
        round_key: the round.
        action: what to do.
        by: who says it, kept with the decision.
        quote: for `approve`, the digest of the quote that is accepted.
        version: for `accept-labels` and `refuse-labels`, the version of the labels; the one that waits when left out.

    Raises:
        UserError: it is not possible; the message says why and what is.
    """
    if action is Action.approve:
        with ledger.transaction() as tx:
            quotes.accept(tx, round_key, quote, by)
            stored = quotes.find(tx, round_key)
            if rounds.get(tx, round_key).state == "needs_person":
                retry(tx, round_key, by)
        assert stored is not None
        return f"Accepted: {stored.images} images of {round_key} for at most {stored.total}."
    if action is Action.refuse:
        with ledger.transaction() as tx:
            quotes.refuse(tx, round_key, by)
        return f"Refused: {round_key}. Nothing is billed."
    if action is Action.retry:
        with ledger.transaction() as tx:
            state = retry(tx, round_key, by)
        return f"Round {round_key} goes on from '{state}'."
    if action in (Action.accept_labels, Action.refuse_labels):
        return _decide(ledger, round_key, by, version, accept=action is Action.accept_labels)
    with effects() as platform:
        changed = platform.change_status(round_key, action.value, by)  # type: ignore[arg-type]
    return f"Round {round_key} is {changed.state}: its project is {changed.project_status or 'gone'} on Avala."


def _decide(ledger: Ledger, round_key: str, by: str, version: int | None, *, accept: bool) -> str:
    with ledger.transaction() as tx:
        one = (verdicts.accept if accept else verdicts.refuse)(tx, round_key, by, version)
        current, serves = rounds.get(tx, round_key), landing.serving(tx, round_key)
    if accept and serves == one.version:
        rest = "" if current.state == "landed" else f" The round is {current.state}: {current.note}"
        return f"Version {one.version} of the labels of {round_key} serves.{rest}"
    word = "accepted" if accept else "refused"
    rest = f"version {serves} serves" if serves else f"none serves: {current.note}"
    return f"Version {one.version} of the labels of {round_key} is {word}; {rest}."
