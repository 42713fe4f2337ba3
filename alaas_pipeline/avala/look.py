"""The looking half of every effect: what is on Avala under our name, and is it ours?"""

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.errors import NotFound
from alaas_pipeline.avala.models import Dataset, Export, Project
from alaas_pipeline.errors import UserError

TASK_TYPE = "image-annotation"
# Statuses of a project whose approval has happened.
RUNNING = ("active", "completed", "paused", "canceled", "archived")


class AmbiguousError(Exception):
    """What was found cannot be resolved by a program; the text says what it is, `remedy` what a person can do about it.

    `give_up` is the command that ends such a round, where what was being done does not tell.
    """

    def __init__(self, text: str, remedy: str = "Look at it on Avala.", give_up: str | None = None) -> None:
        super().__init__(text)
        self.remedy = remedy
        self.give_up = give_up


def project_of(client: AvalaClient, uid: str) -> Project:
    """Return a project that must be there.

    Raises:
        AmbiguousError: it is gone.
    """
    try:
        return client.project(uid)
    except NotFound:
        raise AmbiguousError(f"its project {uid} is not on Avala any more") from None


def running(project: Project) -> Project:
    """Return a project that is past its approval.

    Raises:
        AmbiguousError: its status is another one.
    """
    if project.status not in RUNNING:
        raise AmbiguousError(f"its project {project.uid} is '{project.status}', neither waiting nor running")
    return project


def dataset_of(client: AvalaClient, uid: str) -> Dataset:
    """Return a dataset that must be there.

    Raises:
        AmbiguousError: it is gone.
    """
    try:
        return client.dataset(uid)
    except NotFound:
        raise AmbiguousError(
            f"its dataset {uid} is not on Avala any more",
            "To have it made anew (nothing is billed yet): alaas-pipeline reconcile --apply.",
            "refuse",
        ) from None


def labels_dataset(client: AvalaClient, uid: str, name: str) -> None:
    """Make sure that the project of our name is about our dataset. No field of a project says so; the dataset counts its projects.

    Raises:
        AmbiguousError: no project is about it, so the one of our name is somebody else's.
    """
    if dataset_of(client, uid).project_count == 0:
        raise AmbiguousError(
            f"the project '{name}' on Avala is not about our dataset {uid}, so it is not ours",
            "Rename it or put it away on Avala.",
        )


def no_other_version(client: AvalaClient, name: str, owner: str) -> None:
    """Make sure that Avala holds no dataset or project of the same round with other images, unless its project was put away.

    Raises:
        AmbiguousError: it does: the ledger was restored from an old copy, or two installations work on one pool.
    """
    same_round = name.rpartition("-")[0] + "-"
    projects = {project.name: project.status for project in client.projects(owner)}
    put_away = {known for known, status in projects.items() if status in ("canceled", "archived")}
    known = {*projects, *(dataset.name for dataset in client.datasets(owner))} - put_away
    others = sorted(other for other in known if other.startswith(same_round) and other != name)
    if others:
        raise AmbiguousError(
            f"Avala holds '{others[0]}', a version of this round with other images, which this ledger does not know",
            "Was the ledger restored from an old copy, or does another installation work on the same pool? Cancel the other version, or "
            "give this pool another key; see: alaas-pipeline reconcile.",
        )


def find_project(client: AvalaClient, name: str, owner: str) -> Project | None:
    """Return the owner's project of exactly this name, or None.

    Raises:
        AmbiguousError: several carry it.
    """
    found = client.find_projects(name, owner)
    if len(found) > 1:
        raise AmbiguousError(f"{len(found)} projects on Avala are named '{name}'")
    if found and found[0].task_type and found[0].task_type != TASK_TYPE:
        raise AmbiguousError(f"the project '{name}' on Avala is for {found[0].task_type}, so it is not ours")
    return found[0] if found else None


def find_export(client: AvalaClient, name: str, project_uid: str) -> Export | None:
    """Return our export that did not fail: by name, or without any name when it is of this round's project alone."""
    for export in client.exports():
        ours = export.name == name or (not export.name and export.projects == [project_uid])
        if ours and export.state != "failure":
            return export
    return None


def check_template(client: AvalaClient, uid: str) -> None:
    """Make sure that a template is there and labels images.

    Raises:
        UserError: it is not.
    """
    mend = "Correct avala.template in pools.yaml and launch the run again; nothing was sent."
    try:
        template = client.project(uid)
    except NotFound:
        raise UserError(f"There is no template project '{uid}' on Avala for this key. {mend}") from None
    if template.task_type != TASK_TYPE:
        raise UserError(f"The template '{template.name}' is for {template.task_type}, not for {TASK_TYPE}. {mend}")


def indexed_dataset(
    client: AvalaClient, dataset: Dataset, name: str, owner: str, wanted: set[str], *, wait_s: float, pause_s: float
) -> Dataset:
    """Wait until the platform has indexed a dataset, and compare its file names with the wanted ones as sets.

    Raises:
        UserError: indexing takes longer than `wait_s`.
        AmbiguousError: it failed, or the dataset holds other images than ours.
    """
    timing = client.transport.timing
    deadline = timing.monotonic() + wait_s
    found: set[str] = set()
    while True:
        slug = dataset.slug or name
        if dataset.state == "failed":
            issues = client.dataset_health(owner, slug).get("issues", [])
            raise AmbiguousError(f"Avala could not index the dataset '{name}' ({dataset.status}; issues: {issues})")
        if dataset.state == "created":
            found = {item.file_name for item in client.dataset_items(owner, slug)}
            if found == wanted:
                return dataset
            if extra := sorted(found - wanted):
                raise AmbiguousError(f"the dataset '{name}' holds {len(extra)} images not ours, first '{extra[0]}'")
        if timing.monotonic() > deadline:
            break
        timing.sleep(pause_s)
        dataset = client.dataset(dataset.uid)
    if dataset.state == "created":
        missing = sorted(wanted - found)
        raise AmbiguousError(f"Avala left out {len(missing)} of {len(wanted)} images of '{name}', first '{missing[0]}'")
    raise UserError(
        f"Avala has been indexing the dataset '{name}' for {wait_s:g} s (status '{dataset.status}'). "
        "Nothing is lost; launch the run again later."
    )
