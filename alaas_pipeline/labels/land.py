"""Land a round's export: every record checked and joined to the image it is about, every image accounted for."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.heed import heeding
from alaas_pipeline.avala.observe import EXPORTING, observe_export
from alaas_pipeline.errors import UserError
from alaas_pipeline.labels.frame import ImageSize
from alaas_pipeline.labels.read import read_export
from alaas_pipeline.labels.records import ExportContent
from alaas_pipeline.ledger import Ledger, images, journal, landing, pushes, rounds
from alaas_pipeline.ledger.landing import Books, Outcome
from alaas_pipeline.store import Store

log = logging.getLogger(__name__)

MAX_EXPORT_BYTES = 256 << 20


@dataclass(frozen=True)
class Landing:
    """A landed round: its books, and the records that were set aside with a reason."""

    round: str
    books: Books
    quarantined: list[str]


def land(ledger: Ledger, store: Store, client: AvalaClient, round_key: str) -> Landing | None:
    """Download, check and store the round's labels; None while the export is not ready. A landed round stays as it is.

    Raises:
        UserError: the round has no export, its export is of an unknown structure (the file is kept), or an image that was sent is
            neither labelled, refused nor pending in it.
    """
    with ledger.transaction() as tx:
        current = rounds.get(tx, round_key)
        if current.state == "landed":
            return Landing(
                round_key,
                landing.books(tx, round_key),
                [row["reason"] for row in landing.quarantined(tx, round_key)],
            )
        if current.state not in EXPORTING:
            raise UserError(
                f"Round {round_key} is in state '{current.state}' and has no export to land. Materialize its 'avala_export' first."
            )
        export_uid = journal.remote_uid(tx, round_key, "export")
        names = {row["file_name"]: row["digest"] for row in pushes.planned(tx, round_key)}
        rows = images.details(tx, current.pool, list(names.values()))
    rel = f"pools/{current.pool}/rounds/{round_key}/export-{export_uid}.bin"
    path = store.local(rel)
    with heeding(ledger, round_key):
        export = observe_export(ledger, client, round_key)
        if export is None or export_uid is None:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        client.download_export(export, path, max_bytes=MAX_EXPORT_BYTES)
    sizes = {name: size for name, digest in names.items() if (size := _size(rows[digest]))}
    content = read_export(path, sizes=sizes, max_file_bytes=MAX_EXPORT_BYTES)
    outcomes, quarantined = _join(content, names)
    with ledger.transaction() as tx:
        landing.record(
            tx, current.pool, round_key, export_uid=export_uid, export_digest=content.digest, schema=content.schema,
            schema_digest=content.schema_digest, file=rel, outcomes=outcomes, quarantined=quarantined,
        )  # fmt: skip
        note = ""
        missing = sorted(set(names.values()) - {one.digest for one in outcomes})
        if missing:
            names_of = {digest: name for name, digest in names.items()}
            note = (
                f"{len(missing)} of {len(names)} images that were sent are not in the export, first '{names_of[missing[0]]}'. What did come "
                f"back is landed. To ask for another export: alaas-pipeline retry {round_key}"
            )
            effect = journal.find(tx, round_key, "export")
            assert effect is not None
            journal.settle(tx, effect, "failed", message=note)
            rounds.advance(tx, round_key, "needs_person", note)
        else:
            rounds.advance(tx, round_key, "landed")
        books = landing.books(tx, round_key)
    if missing:
        raise UserError(f"Round {round_key}: {note}")
    log.info("%s: landed %d labels, %d refused, %d pending", round_key, books.labelled, books.refused, books.pending)
    return Landing(round_key, books, [reason for reason, _ in quarantined])


def _size(row: Mapping[str, Any]) -> ImageSize | None:
    sides = [row[name] for name in ("width", "height", "shown_width", "shown_height")]
    return None if None in sides else ImageSize((sides[0], sides[1]), (sides[2], sides[3]), row["orientation"])


def _join(content: ExportContent, names: dict[str, str]) -> tuple[list[Outcome], list[tuple[str, dict]]]:
    """Join records to images by file name. An image whose record was set aside is pending, with the reason."""
    quarantined = [(one.reason, one.record) for one in content.quarantined]
    outcomes: dict[str, Outcome] = {}
    for record in content.records:
        digest = names.get(record.key.rsplit("/", 1)[-1])
        if digest is None:
            quarantined.append(("no image of this name was sent in this round", {"key": record.key}))
        elif digest in outcomes:
            quarantined.append(("a second record for the same image", {"key": record.key}))
        else:
            outcomes[digest] = Outcome(digest, record.outcome, record.labels, record.annotations, record.reason)
    for reason, record in quarantined:
        digest = names.get(str(record.get("key", "")).rsplit("/", 1)[-1])
        if digest is not None and digest not in outcomes:
            outcomes[digest] = Outcome(digest, "pending", [], [], f"its record was set aside: {reason}")
    return list(outcomes.values()), quarantined
