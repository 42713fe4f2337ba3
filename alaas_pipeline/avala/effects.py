"""Everything we change on Avala: intend, look, act, look, write the result.

Avala has no idempotency keys. So each effect is written to the ledger before it is sent, under a name that only this
round with these images can have; a lost answer, a crash or a taken name ends in looking for that name and adopting what
is ours. Nothing else in the project sends a request that changes something.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from alaas_pipeline.avala import connect, look
from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.errors import AvalaError, NameTaken, StorageRefused
from alaas_pipeline.avala.fitness import content_type_for
from alaas_pipeline.avala.models import Dataset, Export, FormPost, Project
from alaas_pipeline.avala.names import file_name, remote_name
from alaas_pipeline.avala.writes import AvalaWrites
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, Transaction, images, journal, pools, pushes, quotes, rounds, selections
from alaas_pipeline.ledger.journal import Effect
from alaas_pipeline.ledger.pools import Binding
from alaas_pipeline.ledger.rounds import Round

log = logging.getLogger(__name__)

T = TypeVar("T")

UPLOAD_THREADS = 4
UPLOAD_ATTEMPTS = 4
EXPORT_ATTEMPTS = 3


class NeedsPerson(UserError):
    """What was found on Avala is ambiguous; the round waits in `needs_person`."""


@dataclass
class AvalaEffects:
    """The effects of one pool's rounds.

    Args:
        ledger: where intents and results are written.
        client: reads of the platform.
        index_wait_s: how long a new dataset may take to be indexed before the run gives up (a later run goes on).
        pause_s: how long to wait between looks at it, and before an upload is tried again.
    """

    ledger: Ledger
    client: AvalaClient
    index_wait_s: float = 600.0
    pause_s: float = 1.0

    def __post_init__(self) -> None:
        self._writes = AvalaWrites(self.client)
        self._bindings: dict[str, Binding] = {}

    def push_dataset(self, round_key: str, read: Callable[[str], bytes]) -> Dataset:
        """Upload the round's picks as one dataset and check that it holds exactly them.

        Args:
            round_key: a quoted round.
            read: returns the bytes of an image, given its digest.

        Raises:
            UserError: the round is not quoted, an image is gone, or the platform refused; nothing is lost, the run can
                be repeated.
            NeedsPerson: the dataset under our name holds other images.
        """
        current = self._begin(round_key, "quoted", "quote")
        owner = current.settings.avala.owner
        with self.ledger.transaction() as tx:
            name = _remote_name(tx, round_key)
            picks = [row["digest"] for row in selections.picks(tx, round_key)]
            info = images.details(tx, current.pool, picks)
            names = {digest: file_name(row["image_id"], digest, row["format"]) for digest, row in info.items()}
            pushes.plan(tx, round_key, names)
            planned = pushes.planned(tx, round_key)
            wanted = {row["file_name"] for row in planned}
            effect = journal.intend(tx, current.pool, round_key, "dataset", name, _digest(name, *sorted(wanted)))
        if effect.settled:
            return self.client.dataset(_settled_uid(effect))
        with self._stopping(effect):
            dataset, how = self.client.find_dataset(owner, name), "adopted"
            if dataset is None:
                todo = {row["file_name"]: row["digest"] for row in planned if not row["uploaded_at"]}
                self._upload(effect, todo, info, read, current)
                dataset, how = self._finalise(effect, current)
            dataset = look.indexed_dataset(
                self.client, dataset, name, owner, wanted, wait_s=self.index_wait_s, pause_s=self.pause_s
            )
        with self.ledger.transaction() as tx:
            pushes.uploaded(tx, round_key, [row["digest"] for row in planned])
            journal.settle(tx, effect, how, remote_uid=dataset.uid)
            pools.bind(tx, current.pool, self._bindings[current.pool])
            rounds.advance(tx, round_key, "uploaded")
        log.info("%s: dataset %s holds exactly the %d picks (%s)", round_key, name, len(wanted), how)
        return dataset

    def clone_project(self, round_key: str, template: str | None = None) -> Project:
        """Clone the pool's template onto the round's dataset; the clone waits for approval and costs nothing yet.

        Args:
            round_key: a round whose dataset is on the platform.
            template: the template's uid, when it is not the one that the round was opened with: so a wrong one is mended.

        Raises:
            UserError: no dataset yet, or a template that is missing or of another task type.
            NeedsPerson: several projects carry our name.
        """
        current = self._begin(round_key, "uploaded", "avala_dataset")
        owner, source = current.settings.avala.owner, template or current.settings.avala.template
        with self.ledger.transaction() as tx:
            known = journal.find(tx, round_key, "clone")
        if known and known.settled:
            return self.client.project(_settled_uid(known))
        look.check_template(self.client, source)
        with self.ledger.transaction() as tx:
            name, dataset_uid = _remote_name(tx, round_key), journal.remote_uid(tx, round_key, "dataset")
            assert dataset_uid is not None
            effect = journal.intend(tx, current.pool, round_key, "clone", name, _digest(name, source, dataset_uid))
        with self._stopping(effect):
            project, how = look.find_project(self.client, name, owner), "adopted"
            if project is None:
                project, how = self._send(
                    effect,
                    lambda: self._writes.clone(source, name, dataset_uid, copy_collaborators=False),
                    lambda: look.find_project(self.client, name, owner),
                )
        with self.ledger.transaction() as tx:
            journal.settle(tx, effect, how, remote_uid=project.uid)
            rounds.advance(tx, round_key, "cloned")
            rounds.observe(tx, round_key, project.status, 0, 0)
        log.info("%s: project %s is %s and costs nothing yet (%s)", round_key, name, project.status, how)
        return project

    def approve(self, round_key: str) -> Project:
        """Start the billable work: only from `pending-approval`, only with a stored yes to exactly this quote.

        After any ambiguous answer the project's status is read and decides; the request is never repeated in the same call.

        Raises:
            UserError: no project, no acceptance, or the platform refused (plan, scope).
            NeedsPerson: the project is gone or in a state that nobody expects.
        """
        current = self._begin(round_key, "cloned", "avala_project")
        with self.ledger.transaction() as tx:
            accepted = _accepted(tx, round_key)
            uid = journal.remote_uid(tx, round_key, "clone")
            assert uid is not None
            effect = journal.intend(tx, current.pool, round_key, "approve", uid, accepted.quote_digest)
        if effect.settled:
            return self.client.project(uid)
        with self._stopping(effect):
            project, how = look.project_of(self.client, uid), "adopted"
            if project.status == "pending-approval":
                project, how = self._send(
                    effect, lambda: self._writes.approve(uid), lambda: self._no_longer_pending(uid)
                )
            if project.status not in ("active", "completed", "paused", "canceled", "archived"):
                raise look.AmbiguousError(f"its project {uid} is '{project.status}', neither waiting nor running")
        if project.status in ("canceled", "archived"):
            note = f"its project was {project.status} on Avala before it was approved"
            with self.ledger.transaction() as tx:
                journal.settle(tx, effect, "failed", message=note)
                rounds.advance(tx, round_key, project.status, note)
            raise UserError(f"Round {round_key}: {note}; nothing was approved and the round has ended.")
        with self.ledger.transaction() as tx:
            journal.settle(tx, effect, how, remote_uid=uid)
            rounds.advance(tx, round_key, "approved")
            rounds.observe(tx, round_key, project.status, 0, 0)
        log.info("%s: approved %d images (%s, accepted by %s)", round_key, accepted.images, how, accepted.decided_by)
        return project

    def request_export(self, round_key: str) -> Export:
        """Ask for the export of a finished project; a failed one is asked for again under a new name, within a limit.

        Raises:
            UserError: the project is not finished, or exports keep failing.
        """
        current = self._begin(round_key, "labelled", "finished project")
        with self.ledger.transaction() as tx:
            last, uid = journal.find(tx, round_key, "export"), journal.remote_uid(tx, round_key, "clone")
            assert uid is not None
            attempt = last.attempt + int(current.state == "export_failed" and last.settled) if last else 1
            name = f"{_remote_name(tx, round_key)}-export-{attempt}"
            if attempt > EXPORT_ATTEMPTS:
                raise UserError(
                    f"Round {round_key}: {EXPORT_ATTEMPTS} exports failed on Avala. Ask Avala's support about project {uid}."
                )
            effect = journal.intend(tx, current.pool, round_key, "export", name, _digest(name, uid), attempt)
        if effect.settled:
            return self.client.export(_settled_uid(effect))
        with self._stopping(effect):
            export, how = look.find_export(self.client, name, uid), "adopted"
            if export is None:
                export, how = self._send(
                    effect,
                    lambda: self._writes.create_export(name, uid),
                    lambda: look.find_export(self.client, name, uid),
                )
        with self.ledger.transaction() as tx:
            journal.settle(tx, effect, how, remote_uid=export.uid)
            rounds.advance(tx, round_key, "exported")
        log.info("%s: export %s requested (%s)", round_key, name, how)
        return export

    def _begin(self, round_key: str, needs: str, what: str) -> Round:
        """Return the round if it has come far enough, and make sure that its pool is not bound to another account."""
        with self.ledger.transaction() as tx:
            current = rounds.get(tx, round_key)
            if current.state == "needs_person":
                # Launching the run again is a person's word that it may go on; every effect looks before it acts.
                rounds.advance(tx, round_key, _last_settled(tx, round_key))
                current = rounds.get(tx, round_key)
        if not current.reached(needs):
            if current.ended:
                told = f"has ended ({current.state}: {current.note or 'no note'}). Open the next one"
            else:
                told = f"is in state '{current.state}' and has no {what} yet. Make that first"
            raise UserError(f"Round {round_key} {told}; nothing was sent.")
        if current.pool not in self._bindings:
            self._bindings[current.pool] = connect.binding_of(current.settings, self.client)
        with self.ledger.transaction() as tx:
            pools.check_bound(tx, current.pool, **vars(self._bindings[current.pool]))
        return current

    def _send(self, effect: Effect, act: Callable[[], T], again: Callable[[], T | None]) -> tuple[T, str]:
        """Act once; when the answer leaves doubt, look again. Returns the object and `done` or `adopted`."""
        with self.ledger.transaction() as tx:
            journal.sending(tx, effect)
        try:
            return act(), "done"
        except AvalaError as error:
            doubt = isinstance(error, NameTaken) or error.may_have_taken_effect or effect.kind == "approve"
            found = again() if doubt else None
            if found is not None:
                log.warning("%s: %s was answered badly but had happened; adopted", effect.round, effect.kind)
                return found, "adopted"
            if isinstance(error, NameTaken):
                told = f"the name '{effect.remote_name}' is taken on Avala by something that this key cannot see"
                raise look.AmbiguousError(told) from None
            # A refusal is certain; after silence or a server's error the effect may yet come true, and stays intended.
            state = "intended" if error.may_have_taken_effect else "failed"
            with self.ledger.transaction() as tx:
                journal.settle(tx, effect, state, message=str(error))
            raise

    @contextmanager
    def _stopping(self, effect: Effect) -> Iterator[None]:
        """Stop the round in `needs_person` when what is found is ambiguous."""
        try:
            yield
        except look.AmbiguousError as found:
            message = (
                f"Round {effect.round}: {found}. Look at it in Avala, then launch the run again; "
                f"to give the round up: alaas-pipeline refuse {effect.round}"
            )
            with self.ledger.transaction() as tx:
                journal.settle(tx, effect, "needs_person", message=message)
                rounds.advance(tx, effect.round, "needs_person", message)
            raise NeedsPerson(message) from None

    def _upload(
        self, effect: Effect, todo: dict[str, str], info: dict[str, dict], read: Callable[[str], bytes], current: Round
    ) -> None:
        """Send the files that are not known to be stored. Repeating one is harmless: same batch, same name, no bill."""
        done = 0
        with ThreadPoolExecutor(UPLOAD_THREADS) as threads:
            futures = {
                threads.submit(self._upload_one, effect, name, digest, info[digest], read, current): digest
                for name, digest in todo.items()
            }
            try:
                for future in as_completed(futures):
                    future.result()
                    with self.ledger.transaction() as tx:
                        pushes.uploaded(tx, effect.round, [futures[future]])
                    done += 1
                    if done % 25 == 0 or done == len(todo):
                        log.info("%s: uploaded %d of %d images", effect.round, done, len(todo))
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise

    def _upload_one(
        self, effect: Effect, name: str, digest: str, row: dict, read: Callable[[str], bytes], current: Round
    ) -> None:
        data = read(digest)
        if hashlib.sha256(data).hexdigest() != digest:
            raise UserError(
                f"{row['image_id']} changed since round {effect.round} picked it. Put the old file back, or refuse the round."
            )
        organization = current.settings.avala.organization_uid
        for attempt in range(1, UPLOAD_ATTEMPTS + 1):
            try:
                # A fresh address at each attempt: they expire.
                slot = self._writes.presign(effect.remote_name, name, len(data), effect.operation_id, organization)
                self._writes.send_file(slot, data, name, content_type_for(row["format"]))
                if not isinstance(slot, FormPost):
                    self._writes.complete_upload(slot.upload_uid)
                return
            except AvalaError as error:
                repeatable = error.may_have_taken_effect or isinstance(error, StorageRefused)
                if attempt == UPLOAD_ATTEMPTS or not repeatable:
                    raise
                time.sleep(self.pause_s * 2 ** (attempt - 1))

    def _finalise(self, effect: Effect, current: Round) -> tuple[Dataset, str]:
        target, name = current.settings.avala, effect.remote_name
        return self._send(
            effect,
            lambda: self._writes.finalise(
                name,
                name,
                "image",
                effect.operation_id,
                owner_name=target.owner,
                organization_uid=target.organization_uid,
                metadata={"pool": current.pool, "round": current.key},
            ),
            lambda: self.client.find_dataset(target.owner, name),
        )

    def _no_longer_pending(self, uid: str) -> Project | None:
        project = look.project_of(self.client, uid)
        return None if project.status == "pending-approval" else project


def _accepted(tx: Transaction, round_key: str) -> quotes.Decision:
    """Return the stored yes to exactly the round's quote, for exactly the images that were sent."""
    quote, decision = quotes.find(tx, round_key), quotes.decision(tx, round_key)
    assert quote is not None
    if decision is None or decision.decision != "accepted" or decision.quote_digest != quote.digest:
        raise UserError(
            f"Round {round_key} has no accepted quote; nothing was approved. To accept {quote.images} images for at most "
            f"{quote.total}: alaas-pipeline approve {round_key} --quote {quote.digest}"
        )
    pushed = len(pushes.planned(tx, round_key))
    if not pushed == quote.images == decision.images:
        raise UserError(
            f"Round {round_key} was accepted for {decision.images} images and {pushed} were sent; nothing was approved. "
            f"Give the round up: alaas-pipeline refuse {round_key}"
        )
    return decision


def _remote_name(tx: Transaction, round_key: str) -> str:
    quote = quotes.find(tx, round_key)
    assert quote is not None
    return remote_name(round_key, quote.manifest_digest)


def _settled_uid(effect: Effect) -> str:
    assert effect.remote_uid is not None
    return effect.remote_uid


def _last_settled(tx: Transaction, round_key: str) -> str:
    """Return the state that the round's settled effects speak for."""
    for kind, state in (("export", "exported"), ("approve", "approved"), ("clone", "cloned"), ("dataset", "uploaded")):
        effect = journal.find(tx, round_key, kind)
        if effect and effect.settled:
            return state
    return "quoted"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
