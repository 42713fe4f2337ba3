"""A person has looked and says: go on."""

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import journal, landing, rounds, verdicts
from alaas_pipeline.ledger.database import Transaction


def retry(tx: Transaction, round_key: str, by: str) -> str:
    """Put a stopped round back to where its settled effects say it is, and allow one more export; return the new state.

    A round that goes on by itself stays where it is: saying so lets the sensors try again what has failed too often.

    Raises:
        UserError: the round has ended.
    """
    current = rounds.get(tx, round_key)
    if current.state == "overdue":
        _give_up_export(tx, current.key, "another one was asked for")
        state = "export_failed"
    elif current.state == "export_failed":
        state = "export_failed"
    elif current.state == "needs_person":
        _give_up_labels(tx, current.key, by)
        state = journal.furthest(tx, round_key)
    elif current.ended:
        raise UserError(
            f"Round {round_key} has ended ({current.state}). Open the next one: alaas-pipeline open-round {current.pool}"
        )
    else:
        state = current.state
    rounds.go_on(tx, round_key, state, f"{by} said go on")
    return state


def _give_up_labels(tx: Transaction, round_key: str, by: str) -> None:
    """Labels that wait, or were refused, would land again from the same export: have another one made."""
    newest = landing.foremost(tx, round_key)
    if newest and newest.state == "held":
        newest = verdicts.refuse(tx, round_key, f"{by}, who asked for another export", newest.version)
    if newest and newest.state != "serves" and journal.remote_uid(tx, round_key, "export") == newest.export_uid:
        _give_up_export(tx, round_key, "its labels were not taken; another one was asked for")


def _give_up_export(tx: Transaction, round_key: str, why: str) -> None:
    effect = journal.find(tx, round_key, "export")
    if effect and effect.settled:
        journal.settle(tx, effect, "failed", message=why)
