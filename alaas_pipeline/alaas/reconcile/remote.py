"""Compare the rounds of a pool with what stands on the platform under their names. Only reads."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from alaas_pipeline.alaas.reconcile.finding import Finding
from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.effects import AvalaEffects
from alaas_pipeline.avala.errors import NotFound
from alaas_pipeline.avala.look import RUNNING
from alaas_pipeline.avala.models import Dataset, Export, Project
from alaas_pipeline.avala.observe import observe_export, observe_project, observe_waiting
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, Transaction, journal, landing, pushes, quotes, rounds
from alaas_pipeline.ledger.journal import Effect
from alaas_pipeline.ledger.quotes import Decision, Quote
from alaas_pipeline.ledger.rounds import Round

# Statuses of the project that a round's state goes with. Those that the next look takes in by itself count as in sync.
_AGREES: dict[str, tuple[str, ...]] = {
    "cloned": ("pending-approval",),
    "approved": ("active", "completed"),
    "paused": ("paused",),
    "labelled": ("completed", "archived"),
    "exported": ("completed", "archived"),
    "overdue": ("completed", "archived"),
    "export_failed": ("completed", "archived"),
    "landed": ("completed", "archived"),
    "canceled": ("canceled", "archived"),
    "archived": ("archived",),
    "refused": ("pending-approval", "canceled", "archived"),
}


@dataclass(frozen=True)
class Remote:
    """What an owner has on the platform under the names of one pool."""

    datasets: dict[str, Dataset]
    projects: dict[str, Project]
    exports: dict[str, Export]


@dataclass(frozen=True)
class Known:
    """What the ledger knows of a round."""

    round: Round
    effects: dict[str, Effect]
    quote: Quote | None
    decision: Decision | None


def look_around(client: AvalaClient, pool: str, owner: str) -> Remote:
    """List the pool's objects by uid."""
    ours = re.compile(rf"^alaas-{re.escape(pool)}-r\d{{4}}-[0-9a-f]{{12}}(-export-\d+)?$")
    return Remote(
        {one.uid: one for one in client.datasets(owner) if ours.match(one.name)},
        {one.uid: one for one in client.projects(owner) if ours.match(one.name)},
        {one.uid: one for one in client.exports() if ours.match(one.name)},
    )


def compare_rounds(ledger: Ledger, effects: AvalaEffects, pool: str, owner: str) -> Iterator[Finding]:
    """Yield what agrees and what does not, round by round, and then what nobody here knows."""
    # The platform first: what a run makes meanwhile is then known, and not taken for a stranger.
    remote = look_around(effects.client, pool, owner)
    with ledger.transaction() as tx:
        known = [_known(tx, one) for one in rounds.of_pool(tx, pool)]
        intended = journal.of_pool(tx, pool)
    uids = {effect.remote_uid for effect in intended}
    # Names of exports are not unique on the platform: a second one of a name we asked for is ours, and costs nothing.
    names = {effect.remote_name for effect in intended if not effect.settled or effect.kind == "export"}
    for one in known:
        drift = list(_compare(ledger, effects, one, remote))
        yield from drift or [_in_sync(ledger, one)]
    for what, objects in (("dataset", remote.datasets), ("project", remote.projects), ("export", remote.exports)):
        for uid, found in sorted(objects.items(), key=lambda entry: entry[1].name):
            if uid not in uids and found.name not in names:
                yield _stranger(what, found)


def _known(tx: Transaction, current: Round) -> Known:
    found = {kind: journal.find(tx, current.key, kind) for kind in ("dataset", "clone", "approve", "export")}
    effects = {kind: effect for kind, effect in found.items() if effect}
    return Known(current, effects, quotes.find(tx, current.key), quotes.decision(tx, current.key))


def _compare(ledger: Ledger, effects: AvalaEffects, one: Known, remote: Remote) -> Iterator[Finding]:
    key, done = one.round.key, {kind for kind, effect in one.effects.items() if effect.settled}
    yield from _adoptable(effects, one, remote, done)
    # What has ended needs nothing from the platform any more.
    if not one.round.ended:
        yield from _missing(ledger, effects, one, remote, done)
    dataset = remote.datasets.get(one.effects["dataset"].remote_uid or "") if "dataset" in done else None
    if dataset and dataset.item_count and one.quote and dataset.item_count != one.quote.images:
        says = f"its dataset holds {dataset.item_count} images and its quote covers {one.quote.images}"
        yield Finding("money drift", key, f"{says}. Look at it on Avala before anything is approved")
    project = remote.projects.get(one.effects["clone"].remote_uid or "") if "clone" in done else None
    if project and project.status_known:
        yield from _status(ledger, effects, one, project, billed="approve" in done)


def _adoptable(effects: AvalaEffects, one: Known, remote: Remote, done: set[str]) -> Iterator[Finding]:
    """What was intended here and stands there under our name."""
    mends: dict[str, tuple[dict, Callable[[], object]]] = {
        "dataset": (remote.datasets, lambda: effects.push_dataset(one.round.key, _nothing_to_read)),
        "clone": (remote.projects, lambda: effects.clone_project(one.round.key)),
        "export": (remote.exports, lambda: effects.request_export(one.round.key)),
    }
    for kind, (objects, mend) in mends.items():
        effect = one.effects.get(kind)
        if effect is None or kind in done or effect.spent:
            continue
        if any(found.name == effect.remote_name for found in objects.values()):
            says = f"'{effect.remote_name}' is on Avala and its {kind} was not recorded"
            yield Finding("adopt", one.round.key, says, mend)


def _missing(ledger: Ledger, effects: AvalaEffects, one: Known, remote: Remote, done: set[str]) -> Iterator[Finding]:
    approval, client = one.effects.get("approve"), effects.client
    billed = approval is not None and approval.may_have_happened
    reads: dict[str, tuple[dict, Callable[[str], object]]] = {
        "dataset": (remote.datasets, client.dataset),
        "clone": (remote.projects, client.project),
        "export": (remote.exports, client.export),
    }
    for kind in ("dataset", "clone", "export"):
        objects, read = reads[kind]
        uid = one.effects[kind].remote_uid if kind in done else None
        if uid is None or uid in objects or _there(read, uid):
            continue
        says = f"its {kind} '{one.effects[kind].remote_name}' ({uid}) is not on Avala any more"
        clone = one.effects["clone"].remote_uid if "clone" in done else None
        if kind == "dataset" and not billed and clone and (clone in remote.projects or _there(client.project, clone)):
            # A new dataset would not come into the project that carries the name already.
            yield Finding(
                "missing remotely", one.round.key,
                f"{says}, and its project ({clone}) is without images now. Delete that project on Avala to have both made anew, or give the "
                f"round up: alaas-pipeline refuse {one.round.key}",
            )  # fmt: skip
            continue
        if kind == "export" or not billed:
            again = "another one is asked for" if kind == "export" else "nothing is billed, so it is made anew"
            yield Finding(
                "missing remotely", one.round.key, f"{says}; {again}", _again(ledger, effects, one.round.key, kind, uid)
            )
        elif kind == "clone":
            yield Finding(
                "missing remotely", one.round.key, f"{says}. To end the round: alaas-pipeline cancel {one.round.key}"
            )


def _status(ledger: Ledger, effects: AvalaEffects, one: Known, project: Project, *, billed: bool) -> Iterator[Finding]:
    key, runs = one.round.key, project.status in RUNNING and project.status not in ("canceled", "archived")
    accepted = one.decision is not None and one.decision.decision == "accepted"
    price = f"{one.quote.images} images, at most {one.quote.total}" if one.quote else "its images"
    if runs and not accepted:
        says = f"its project is {project.status} on Avala, and nobody said yes to {price} here"
        how = f"To accept: alaas-pipeline approve {key} --quote {one.quote.digest}; " if one.quote else ""
        yield Finding("money drift", key, f"{says}. {how}to stop the bill: alaas-pipeline cancel {key}")
    elif runs and not billed:
        yield Finding("adopt", key, f"its project is {project.status} on Avala: approved", lambda: effects.approve(key))
    elif billed and project.status == "pending-approval":
        says = f"the ledger counts {price} as approved, and its project waits for approval on Avala"
        yield Finding("money drift", key, f"{says}. Ask Avala's support; the project is {project.uid}")
    elif one.round.state in _AGREES and project.status not in _AGREES[one.round.state]:
        says = f"the round is {one.round.state} and its project {project.status}"
        mend = (lambda: _observe(ledger, effects, key)) if not one.round.ended else None
        yield Finding(
            "status drift", key, says if mend else f"{says}. See: alaas-pipeline status {one.round.pool}", mend
        )


def _stranger(what: str, found: Dataset | Project | Export) -> Finding:
    says = f"a {what} ({found.uid}) under a name of this pool that the ledger does not know"
    if isinstance(found, Project) and found.status in RUNNING and found.status not in ("canceled", "archived"):
        return Finding(
            "money drift", found.name,
            f"{says}; it is {found.status}, so its images are billed. Was the ledger restored from an old copy? The next run adopts it if "
            "it picks the same images; else cancel it on Avala",
        )  # fmt: skip
    return Finding("unknown remote object", found.name, f"{says}. The next run adopts it if it picks the same images")


def _in_sync(ledger: Ledger, one: Known) -> Finding:
    with ledger.transaction() as tx:
        books = landing.books(tx, one.round.key)
    says = one.round.state
    if books.sent:
        says += f"; {books.sent} sent = {books.labelled} labelled + {books.refused} refused + {books.pending} pending"
    return Finding("in sync", one.round.key, says)


def _there(read: Callable[[str], object], uid: str) -> bool:
    """A list may lag behind; the object itself decides."""
    with suppress(NotFound):
        return bool(read(uid))
    return False


def _again(ledger: Ledger, effects: AvalaEffects, key: str, kind: str, gone: str) -> Callable[[], None]:
    """Let the effect whose object is gone, and those that build on it, be done once more."""

    def mend() -> None:
        with effects.alone(key), ledger.transaction() as tx:
            if journal.remote_uid(tx, key, kind) != gone:
                return  # a run was faster
            for later in ("dataset", "clone") if kind == "dataset" else (kind,):
                effect = journal.find(tx, key, later)
                if effect and effect.settled:
                    journal.settle(tx, effect, "failed", message="it is not on Avala any more")
            if kind == "dataset":
                pushes.forget(tx, key)
                sent = journal.find(tx, key, "upload")
                if sent:
                    journal.settle(tx, sent, "failed", message="its dataset is not on Avala any more")
            rounds.go_back(tx, key, journal.furthest(tx, key), f"its {kind} was gone and is made anew")

    return mend


def _observe(ledger: Ledger, effects: AvalaEffects, key: str) -> None:
    with effects.alone(key):
        for observe in (observe_waiting, observe_project, observe_export):
            observe(ledger, effects.client, key)


def _nothing_to_read(digest: str) -> bytes:
    raise UserError("Reconciling sends nothing.")
