"""Ask for the export of a dataset that was labelled on Avala before. It is about a pool, not a round, and nothing of it is billed."""

import logging
from pathlib import Path

from alaas_pipeline.avala import connect
from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.effects.acting import Acting, digest_of, uid_of
from alaas_pipeline.avala.errors import NotFound
from alaas_pipeline.avala.models import Dataset, Export
from alaas_pipeline.avala.writes import AvalaWrites
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, Transaction, journal, pools
from alaas_pipeline.ledger.journal import Effect
from alaas_pipeline.locks import locked

log = logging.getLogger(__name__)

KIND = "dataset_export"
LOCK_S = 900.0


def export_dataset(
    ledger: Ledger,
    client: AvalaClient,
    locks: Path,
    settings: PoolSettings,
    dataset_uid: str,
    *,
    wait_s: float = 600.0,
    settle_s: float = 15.0,
    pause_s: float = 1.0,
) -> Export:
    """Return a finished export of the dataset: one that the ledger knows, one that carries our name, or a new one.

    Args:
        ledger: where intent and result are written.
        client: of the pool's platform.
        locks: the folder of lock files.
        settings: the pool; its owner must have the dataset, and it is bound to the account.
        dataset_uid: of the dataset.
        wait_s: how long to wait for a new export; a later call goes on waiting.
        settle_s: how long a request that may have arrived is looked for before it is sent again.
        pause_s: how long to wait between looks.

    Raises:
        UserError: there is no such dataset of images of this owner, the pool is bound to another account, or the export failed or takes
            longer than `wait_s`.
        AvalaError: the platform refused, or cannot be reached.
    """
    acting = Acting(ledger, client, AvalaWrites(client), locks, False, 0.0, settle_s, pause_s)
    with locked(locks / f"{settings.key}.dataset_export.lock", f"the export for pool {settings.key}", LOCK_S):
        dataset = _dataset(client, settings, dataset_uid)
        bound = connect.binding_of(settings, client)
        with ledger.transaction() as tx:
            pools.bind(tx, settings.key, bound)
            effect = _intend(tx, settings.key, dataset.uid)
        export = _made(acting, effect) if effect.settled else None
        if effect.settled and export is None:
            with ledger.transaction() as tx:
                journal.settle(tx, effect, "failed", message="it came to nothing on Avala")
                effect = _intend(tx, settings.key, dataset.uid)
        if export is None:
            export = _request(acting, effect, dataset.uid)
        return _finished(client, export, wait_s, pause_s)


def _dataset(client: AvalaClient, settings: PoolSettings, uid: str) -> Dataset:
    try:
        found = client.dataset(uid)
    except NotFound:
        raise UserError(f"There is no dataset '{uid}' on Avala that this key may see. Nothing was sent.") from None
    owner = settings.avala.owner
    if found.owner_name.casefold() not in ("", owner.casefold()):
        raise UserError(
            f"The dataset '{found.name}' belongs to '{found.owner_name}', and pool '{settings.key}' to '{owner}'. Nothing was sent."
        )
    if found.data_type not in ("", "image"):
        raise UserError(f"The dataset '{found.name}' holds {found.data_type}, not images. Nothing was sent.")
    return found


def _intend(tx: Transaction, pool: str, dataset_uid: str) -> Effect:
    """Return the dataset's newest export that may be of use, or intend the next. Attempts count over all datasets of the pool."""
    payload = digest_of(KIND, dataset_uid)
    all_ = [effect for effect in journal.of_pool(tx, pool) if effect.round is None and effect.kind == KIND]
    ours = [effect for effect in all_ if effect.payload_digest == payload]
    if ours and not ours[-1].spent:
        return ours[-1]
    name = f"alaas-{pool}-labels-of-{dataset_uid}-export-{len(ours) + 1}"
    return journal.intend(tx, pool, None, KIND, name, payload, len(all_) + 1)


def _made(acting: Acting, effect: Effect) -> Export | None:
    """The export that a settled effect made; None when it is gone or has failed."""
    try:
        found = acting.client.export(uid_of(effect))
    except NotFound:
        return None
    return None if found.state == "failure" else found


def _request(acting: Acting, effect: Effect, dataset_uid: str) -> Export:
    def ours() -> Export | None:
        found = acting.client.find_exports(effect.remote_name)
        return next((export for export in found if export.state != "failure"), None)

    def create() -> Export:
        with acting.client.limiter.slot("export"):
            return acting.writes.create_dataset_export(effect.remote_name, dataset_uid)

    export, how = acting.perform(effect, ours, create)
    with acting.ledger.transaction() as tx:
        journal.settle(tx, effect, how, remote_uid=export.uid)
    log.info("%s: export %s requested (%s)", effect.subject, effect.remote_name, how)
    return export


def _finished(client: AvalaClient, export: Export, wait_s: float, pause_s: float) -> Export:
    """Wait until the export is ready; that it failed is told once, and the next call asks for another."""
    timing = client.transport.timing
    deadline = timing.monotonic() + wait_s
    while export.state == "running":
        if timing.monotonic() > deadline:
            raise UserError(
                f"Avala has been making the export '{export.name}' for {wait_s:g} s. Nothing is lost; type the command again later."
            )
        timing.sleep(pause_s)
        export = client.export(export.uid)
    if export.state == "failure":
        raise UserError(
            f"Avala could not make the export '{export.name}' (status '{export.status}'). Type the command again: another one is asked for."
        )
    return export
