"""Clone the pool's template onto a round's dataset; the clone waits for approval and costs nothing yet."""

import logging

from alaas_pipeline.avala import look
from alaas_pipeline.avala.effects.acting import Acting, digest_of, name_of, uid_of
from alaas_pipeline.avala.errors import NotFound, ValidationFailed
from alaas_pipeline.avala.models import Project
from alaas_pipeline.ledger import journal, rounds

log = logging.getLogger(__name__)


def clone_project(acting: Acting, round_key: str, template: str | None = None) -> Project:
    """Clone the template, or adopt the clone that carries our name.

    Args:
        acting: what an effect works with.
        round_key: a round whose dataset is on the platform.
        template: the template's uid, when it is not the one that the round was opened with: so a wrong one is mended.

    Raises:
        UserError: no dataset yet, or a template that is missing or of another task type.
        NeedsPerson: several projects carry our name, or the dataset is gone.
    """
    with acting.round(round_key, "uploaded", "avala_dataset") as current:
        owner, source = current.settings.avala.owner, template or current.settings.avala.template
        with acting.ledger.transaction() as tx:
            known = journal.find(tx, round_key, "clone")
        if known and known.settled:
            with acting.stopping(known):
                return look.project_of(acting.client, uid_of(known))
        look.check_template(acting.client, source)
        with acting.ledger.transaction() as tx:
            name, dataset_uid = name_of(tx, round_key), journal.remote_uid(tx, round_key, "dataset")
            assert dataset_uid is not None
            # A clone that was lost with its dataset is an operation of its own: the next one is of another dataset.
            attempt = 1 if known is None else known.attempt + int(known.spent)
            # Not the dataset's uid: made anew after it was lost, it has another one and, as its name says, the same images.
            effect = journal.intend(tx, current.pool, round_key, "clone", name, digest_of(name, source), attempt)

        def act() -> Project:
            try:
                return acting.writes.clone(source, name, dataset_uid, copy_collaborators=False)
            except (ValidationFailed, NotFound):
                look.dataset_of(acting.client, dataset_uid)
                raise

        with acting.stopping(effect):
            project, how = acting.perform(effect, lambda: look.find_project(acting.client, name, owner), act)
            if how == "adopted":
                acting.wait_for(lambda: look.dataset_of(acting.client, dataset_uid).project_count != 0)
                look.labels_dataset(acting.client, dataset_uid, name)
        with acting.ledger.transaction() as tx:
            journal.settle(tx, effect, how, remote_uid=project.uid)
            rounds.advance(tx, round_key, "cloned")
            rounds.observe(tx, round_key, project.status, 0, 0)
    log.info("%s: project %s is %s and costs nothing yet (%s)", round_key, name, project.status, how)
    return project
