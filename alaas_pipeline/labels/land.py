"""Land a round's export: every record checked and joined to the image it is about, every image accounted for."""

import logging
from dataclasses import dataclass

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.heed import heeding
from alaas_pipeline.avala.observe import EXPORTING, observe_export
from alaas_pipeline.errors import UserError
from alaas_pipeline.labels.fetch import Fetched, fetch
from alaas_pipeline.ledger import Ledger, Transaction, journal, label_names, landing, rounds
from alaas_pipeline.ledger.landing import Books
from alaas_pipeline.ledger.rounds import Round
from alaas_pipeline.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Landing:
    """A landed round: its books, and the records that were set aside with a reason."""

    round: str
    books: Books
    quarantined: list[str]


def land(ledger: Ledger, store: Store, client: AvalaClient, round_key: str) -> Landing | None:
    """Download, check and store the round's labels; None while the export is not ready. A landed round stays as it is.

    Raises:
        UserError: the round has no export, its export is of an unknown structure (the file is kept), an image that was sent is
            neither labelled, refused nor pending in it, or it has names of labels that nobody accepted.
    """
    with ledger.transaction() as tx:
        current = rounds.get(tx, round_key)
        if current.state == "landed":
            return _landed(tx, round_key)
        newest = landing.foremost(tx, round_key)
    if current.state == "needs_person" and newest and newest.state == "held":
        raise UserError(f"Round {round_key}: {current.note}")
    if current.state not in EXPORTING:
        raise UserError(
            f"Round {round_key} is in state '{current.state}' and has no export to land. Materialize its 'avala_export' first."
        )
    with heeding(ledger, round_key):
        export = observe_export(ledger, client, round_key)
        if export is None:
            return None
        fetched = fetch(ledger, store, client, current, export)
    with ledger.transaction() as tx:
        problem = _write(tx, current, fetched)
        done = _landed(tx, round_key)
    if problem:
        raise UserError(f"Round {round_key}: {problem}")
    log.info(
        "%s: landed %d labels, %d refused, %d pending", round_key, done.books.labelled, done.books.refused, done.books.pending
    )  # fmt: skip
    return done


def _landed(tx: Transaction, round_key: str) -> Landing:
    reasons = [row["reason"] for row in landing.quarantined(tx, round_key)]
    return Landing(round_key, landing.books(tx, round_key), reasons)


def _write(tx: Transaction, current: Round, fetched: Fetched) -> str | None:
    """Write the version and where the round stands with it; return what a person has to do, if anything."""
    key, content = current.key, fetched.content
    names = label_names.compare(
        label_names.accepted(tx, current.pool, current.settings.classes), content.schema, declared=content.declared
    )
    held_for = f"names of labels that nobody accepted ({names})" if names.new else None
    version = fetched.record(
        tx, current, state="held" if held_for else "serves", held_for=held_for, differs={"names": str(names)} if str(names) else None
    )  # fmt: skip
    if names.gone and not names.new:
        log.info("%s: the export does not declare every name that was accepted; %s", key, names)
    state = next(one.state for one in landing.versions(tx, key) if one.version == version)
    again = f"alaas-pipeline retry {key}"
    problem = None
    if missing := fetched.missing:
        problem = (
            f"{len(missing)} of {len(fetched.sent)} images that were sent are not in the export, first '{missing[0]}'. What did come "
            f"back is landed. To ask for another export: {again}"
        )
        effect = journal.find(tx, key, "export")
        assert effect is not None
        journal.settle(tx, effect, "failed", message=problem)
    elif state == "held":
        problem = (
            f"its export, kept as {fetched.file}, has {held_for}. To accept names and labels: alaas-pipeline accept-labels {key}; "
            f"when the names are mended on Avala: {again}, which asks for a new export"
        )
    elif state != "serves":
        problem = f"the labels of this export were refused. To ask for another one: {again}"
    rounds.advance(tx, key, "needs_person" if problem else "landed", problem)
    return problem
