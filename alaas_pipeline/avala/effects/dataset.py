"""Upload a round's picks as one dataset, and check that it holds exactly them."""

import logging

from alaas_pipeline.avala import look
from alaas_pipeline.avala.effects.acting import Acting, NothingToAdopt, digest_of, name_of, uid_of
from alaas_pipeline.avala.effects.upload import Read, upload
from alaas_pipeline.avala.models import Dataset
from alaas_pipeline.avala.names import file_name
from alaas_pipeline.ledger import Transaction, images, journal, pools, pushes, rounds, selections
from alaas_pipeline.ledger.journal import Effect
from alaas_pipeline.ledger.rounds import Round

log = logging.getLogger(__name__)


def push_dataset(acting: Acting, round_key: str, read: Read) -> Dataset:
    """Upload the round's picks, make a dataset of them, and compare its items with the picks as sets.

    Args:
        acting: what an effect works with.
        round_key: a quoted round.
        read: returns the bytes of an image, given its digest.

    Raises:
        UserError: the round is not quoted, an image is gone, or the platform refused; nothing is lost, the run can be repeated.
        NeedsPerson: the dataset under our name holds other images, or Avala holds another version of this round.
    """
    with acting.round(round_key, "quoted", "quote") as current:
        owner = current.settings.avala.owner
        with acting.ledger.transaction() as tx:
            sent, made, info = _intend(tx, current)
            planned = pushes.planned(tx, round_key)
        wanted = {row["file_name"] for row in planned}
        if made.settled:
            with acting.stopping(made):
                return look.dataset_of(acting.client, uid_of(made))
        with acting.stopping(made):
            dataset, how = acting.client.find_dataset(owner, made.remote_name), "adopted"
            if dataset is None:
                look.no_other_version(acting.client, made.remote_name, owner)
                todo = {row["file_name"]: row["digest"] for row in planned if not row["uploaded_at"]}
                if acting.look_only:
                    raise NothingToAdopt(f"{round_key}: there is no dataset '{made.remote_name}' on Avala")
                if not sent.settled or todo:
                    upload(acting, sent, todo, info, read, current.settings.avala.organization_uid)
                dataset, how = _finalise(acting, made, sent, current)
            dataset = look.indexed_dataset(
                acting.client,
                dataset,
                made.remote_name,
                owner,
                wanted,
                wait_s=acting.index_wait_s,
                pause_s=acting.pause_s,
            )
        with acting.ledger.transaction() as tx:
            pushes.uploaded(tx, round_key, [row["digest"] for row in planned])
            uploading = journal.find(tx, round_key, "upload")
            if uploading and not uploading.settled:
                journal.settle(tx, sent, how, remote_uid=sent.operation_id)
            journal.settle(tx, made, how, remote_uid=dataset.uid)
            pools.bind(tx, current.pool, acting.bindings[current.pool])
            rounds.advance(tx, round_key, "uploaded")
    log.info("%s: dataset %s holds exactly the %d picks (%s)", round_key, made.remote_name, len(wanted), how)
    return dataset


def _intend(tx: Transaction, current: Round) -> tuple[Effect, Effect, dict]:
    """Write both intents, under a digest of every file name (which holds the image's digest); return the images' rows beside them."""
    name, picks = name_of(tx, current.key), [row["digest"] for row in selections.picks(tx, current.key)]
    info = images.details(tx, current.pool, picks)
    pushes.plan(tx, current.key, {one: file_name(row["image_id"], one, row["format"]) for one, row in info.items()})
    payload = digest_of(name, *sorted(row["file_name"] for row in pushes.planned(tx, current.key)))
    sent = journal.intend(tx, current.pool, current.key, "upload", name, payload)
    return sent, journal.intend(tx, current.pool, current.key, "dataset", name, payload), info


def _finalise(acting: Acting, made: Effect, sent: Effect, current: Round) -> tuple[Dataset, str]:
    target, name = current.settings.avala, made.remote_name
    return acting.perform(
        made,
        lambda: acting.client.find_dataset(target.owner, name),
        lambda: acting.writes.finalise(
            name,
            name,
            "image",
            sent.operation_id,
            owner_name=target.owner,
            organization_uid=target.organization_uid,
            metadata={"pool": current.pool, "round": current.key},
        ),
    )
