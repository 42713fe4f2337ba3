"""Send a round's files to the platform's storage. Sending one again is harmless: same batch, same name, no bill."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from alaas_pipeline.avala.effects.acting import Acting
from alaas_pipeline.avala.errors import AvalaError, StorageRefused
from alaas_pipeline.avala.fitness import content_type_for
from alaas_pipeline.avala.models import FormPost
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import journal, pushes
from alaas_pipeline.ledger.journal import Effect

log = logging.getLogger(__name__)

# As many as the limit on uploads at a time lets through.
UPLOAD_THREADS = 6
NOTE_EVERY_S = 2.0
UPLOAD_ATTEMPTS = 4

Read = Callable[[str], bytes]


def upload(
    acting: Acting,
    effect: Effect,
    todo: Mapping[str, str],
    info: Mapping[str, Mapping[str, Any]],
    read: Read,
    organization: str | None,
) -> None:
    """Send the files that are not known to be stored, and settle the effect.

    Args:
        acting: what an effect works with.
        effect: the intended upload; its operation id is the batch's.
        todo: file name -> digest.
        info: digest -> row of the image.
        read: returns the bytes of an image, given its digest.
        organization: uid of the owning organization, if it is not the user.

    Raises:
        UserError: an image has changed, or the platform refused; what is stored stays stored.
    """
    with acting.ledger.transaction() as tx:
        journal.sending(tx, effect)
    clock = acting.client.transport.timing.monotonic
    noted, stored, begun = 0, list[str](), clock()

    def note() -> None:
        """Write what is stored by now. What a crash forgets is sent again, which is harmless."""
        nonlocal noted, begun
        if stored:
            with acting.ledger.transaction() as tx:
                pushes.uploaded(tx, effect.subject, stored)
            noted, begun = noted + len(stored), clock()
            stored.clear()
            log.info("%s: uploaded %d of %d images", effect.subject, noted, len(todo))

    with ThreadPoolExecutor(UPLOAD_THREADS) as threads:
        futures = {
            threads.submit(_upload_one, acting, effect, name, digest, info[digest], read, organization): digest
            for name, digest in todo.items()
        }
        try:
            for future in as_completed(futures):
                future.result()
                stored.append(futures[future])
                if clock() - begun >= NOTE_EVERY_S:
                    note()
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
        finally:
            note()
    with acting.ledger.transaction() as tx:
        journal.settle(tx, effect, "done", remote_uid=effect.operation_id)


def _upload_one(
    acting: Acting, effect: Effect, name: str, digest: str, row: Mapping[str, Any], read: Read, organization: str | None
) -> None:
    data = read(digest)
    if hashlib.sha256(data).hexdigest() != digest:
        raise UserError(
            f"{row['image_id']} changed since round {effect.subject} picked it. Put the old file back, or refuse the round."
        )
    for attempt in range(1, UPLOAD_ATTEMPTS + 1):
        try:
            # A fresh address at each attempt: they expire.
            slot = acting.writes.presign(effect.remote_name, name, len(data), effect.operation_id, organization)
            acting.writes.send_file(slot, data, name, content_type_for(row["format"]))
            if not isinstance(slot, FormPost):
                acting.writes.complete_upload(slot.upload_uid)
            return
        except AvalaError as error:
            repeatable = error.may_have_taken_effect or isinstance(error, StorageRefused)
            if attempt == UPLOAD_ATTEMPTS or not repeatable:
                raise
            acting.client.transport.timing.sleep(acting.pause_s * 2 ** (attempt - 1))
