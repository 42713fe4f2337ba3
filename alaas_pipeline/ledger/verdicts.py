"""A person decides over labels that wait: the version serves from now on, or never."""

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import label_names, landing, rounds
from alaas_pipeline.ledger.database import Transaction, now
from alaas_pipeline.ledger.landing import Version


def accept(tx: Transaction, round_key: str, by: str, version: int | None = None) -> Version:
    """Let a held version serve, with the names of its labels; a round that stopped for it has landed. Again, it changes nothing.

    Raises:
        UserError: no such version waits.
    """
    current = rounds.get(tx, round_key)
    one = _decidable(tx, round_key, version, "serves")
    if one.state == "held":
        label_names.accept(tx, current.pool, one.schema, round_key, by)
        _decide(tx, round_key, one, "serves", by)
        # With images that the version does not have, the round goes on waiting for another export.
        if current.state in ("exported", "overdue", "needs_person") and not _missing(tx, round_key, one.version):
            rounds.advance(tx, round_key, "landed", f"{by} accepted its labels")
    return one


def refuse(tx: Transaction, round_key: str, by: str, version: int | None = None) -> Version:
    """Never let a held version serve; the one that served before goes on. Again, it changes nothing.

    Raises:
        UserError: no such version waits.
    """
    current = rounds.get(tx, round_key)
    one = _decidable(tx, round_key, version, "refused")
    if one.state == "held":
        _decide(tx, round_key, one, "refused", by)
        if current.state == "needs_person":
            note = f"{by} refused its labels. To ask for another export: alaas-pipeline retry {round_key}"
            rounds.advance(tx, round_key, "needs_person", note)
    return one


def _decidable(tx: Transaction, round_key: str, version: int | None, wanted: str) -> Version:
    known = [one for one in landing.versions(tx, round_key) if one.state != "same"]
    if not known:
        raise UserError(f"Round {round_key} has no landed labels, so there is nothing to decide.")
    if version is not None:
        asked = [one for one in known if one.version == version]
        if not asked:
            numbers = ", ".join(str(one.version) for one in known)
            raise UserError(f"The labels of {round_key} have no version {version}; its versions are: {numbers}.")
        one = asked[0]
    else:
        one = next((one for one in reversed(known) if one.state == "held"), known[-1])
    if one.state == "held" or (one.state == wanted and one.decided_by):
        return one
    by = f", by {one.decided_by}" if one.decided_by else ""
    raise UserError(
        f"Version {one.version} of the labels of {round_key} does not wait for a decision: it {_WORDS[one.state]}{by}. "
        f"To have a later export compared with it: alaas-pipeline refresh-labels {round_key}"
    )


_WORDS = {"serves": "serves", "refused": "was refused"}


def _decide(tx: Transaction, round_key: str, one: Version, state: str, by: str) -> None:
    tx.run(
        "UPDATE landings SET state = ?, decided_by = ?, decided_at = ? WHERE round = ? AND version = ?",
        state, by, now(), round_key, one.version,
    )  # fmt: skip
    tx.note(f"{round_key}: version {one.version} of its labels: {state}, by {by}")


def _missing(tx: Transaction, round_key: str, version: int) -> int:
    return tx.value(
        "SELECT count(*) FROM pushed_images p WHERE p.round = ? AND NOT EXISTS "
        "(SELECT 1 FROM annotations a WHERE a.round = p.round AND a.version = ? AND a.digest = p.digest)",
        round_key, version,
    )  # fmt: skip
