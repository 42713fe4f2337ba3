"""Reads only: this client changes nothing on Avala, so every call of it may be repeated."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr, ValidationError

from alaas_pipeline.avala.addresses import read_base_url
from alaas_pipeline.avala.download import Downloader
from alaas_pipeline.avala.errors import AvalaError, NotFound, StorageRefused, UnexpectedAnswer
from alaas_pipeline.avala.ids import name_segment, same_uid, uid_segment
from alaas_pipeline.avala.limiter import Limiter
from alaas_pipeline.avala.models import (
    AvalaModel,
    Dataset,
    Export,
    Item,
    Member,
    Metrics,
    Progress,
    Project,
    Quota,
    Remote,
    Task,
    UploadTypes,
    User,
)
from alaas_pipeline.avala.paging import read_pages
from alaas_pipeline.avala.retry import RetryPolicy, Timing
from alaas_pipeline.avala.storage import StorageTransport
from alaas_pipeline.avala.transport import ApiTransport

M = TypeVar("M", bound=AvalaModel)
R = TypeVar("R", bound=Remote)

# An export may be called done a moment before its link is there; seconds between looks.
_LINK_GRACE_S = (1.0, 2.0, 4.0)
_LINK_EXPIRED = frozenset({403, 404, 410})


def read_model(model: type[M], payload: Any, call: str) -> M:
    """Read one answer.

    Raises:
        UnexpectedAnswer: if it lacks its uid or holds values of a wrong kind; the message names fields, no
            values.
    """
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        bad = sorted({".".join(map(str, fault["loc"])) or "the whole answer" for fault in error.errors()})
    raise UnexpectedAnswer(
        f"Avala's answer to {call} is no {model.__name__.lower()}: {', '.join(bad)} missing or of the wrong "
        "kind. Check the base URL, or whether the service has changed.",
        call=call,
    )


class AvalaClient:
    """Reads from one Avala account.

    Args:
        base_url: of the API, such as ``https://api.avala.ai/api/v1``.
        api_key: of the account; sent as a header below the base URL and nowhere else.
        allow_insecure_loopback: permit plain ``http`` to this machine, for a local sandbox.
        timeout_s: for connecting (at most 10 s) and for each wait on the socket, in seconds.
        retry: bounds for repeating reads.
        limits: folder where all clients with this key keep their count of calls; None counts for this one alone.
        timing: clocks and sleep.

    Raises:
        UserError: if base URL or key cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        api_key: SecretStr,
        *,
        allow_insecure_loopback: bool = False,
        timeout_s: float = 30.0,
        retry: RetryPolicy | None = None,
        limits: Path | None = None,
        timing: Timing | None = None,
    ) -> None:
        address = read_base_url(base_url, allow_insecure_loopback=allow_insecure_loopback)
        retry, timing = retry or RetryPolicy(), timing or Timing()
        origin = address.origin
        self.limiter = Limiter(limits, f"{origin.scheme}://{origin.host}:{origin.port}", api_key, timing)
        self.transport = ApiTransport(
            address, api_key, timeout_s=timeout_s, retry=retry, timing=timing, limiter=self.limiter
        )
        self.storage = StorageTransport(address, timeout_s=timeout_s, retry=retry, timing=timing, limiter=self.limiter)
        self._downloader = Downloader(self.transport, self.storage)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.transport.address.url!r})"

    def __enter__(self) -> "AvalaClient":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.transport.close()
        self.storage.close()

    def me(self) -> User:
        """The account that the key belongs to."""
        return self._one(User, "/users/me/")

    def find_dataset(self, owner: str, slug: str) -> Dataset | None:
        """The dataset at ``owner/slug``, or ``None`` when there is none that this key may see."""
        try:
            return self._one(Dataset, f"/datasets/{name_segment(owner)}/{name_segment(slug)}/")
        except NotFound:
            return None

    def dataset(self, uid: str) -> Dataset:
        """One dataset by its uid."""
        return self._one(Dataset, f"/datasets/{uid_segment(uid)}/")

    def datasets(self, owner: str, **filters: str) -> Iterator[Dataset]:
        """All datasets of an owner that this key may see.

        Args:
            owner: user name or organization slug.
            filters: as the server has them (``name``, a part of it; ``data_type``, ``status``, ``visibility``).
        """
        for dataset in self._many(Dataset, "/datasets/", filters):
            if dataset.owner_name.casefold() in ("", owner.casefold()):
                yield dataset

    def datasets_of(self, owner: str, ordering: str = "") -> Iterator[Dataset]:
        """The same by the owner's own route, which can sort (``name``, ``-created_at``)."""
        filters = {"ordering": ordering} if ordering else None
        return self._many(Dataset, f"/datasets/{name_segment(owner)}/list/", filters)

    def dataset_health(self, owner: str, slug: str) -> dict[str, Any]:
        """What Avala reports on the indexing of a dataset, ``issues`` among it, as it stands."""
        path = f"/datasets/{name_segment(owner)}/{name_segment(slug)}/health/"
        answer = self.transport.get(path)
        if not isinstance(answer, dict):
            raise UnexpectedAnswer(f"Avala's answer to GET {path} is no object. Check the base URL.", call=path)
        return answer

    def dataset_items(self, owner: str, slug: str) -> Iterator[Item]:
        """All items of a dataset, newest first; each once, though they may move during indexing."""
        return self._many(Item, f"/datasets/{name_segment(owner)}/{name_segment(slug)}/items/")

    def project(self, uid: str) -> Project:
        """One project by its uid."""
        return self._one(Project, f"/users/me/projects/{uid_segment(uid)}/")

    def find_projects(self, name: str, owner: str) -> list[Project]:
        """Projects that are named exactly so and belong to ``owner`` (or to an owner that is not told).

        The server's own name filter is not used: how it matches is not specified.
        """
        return [project for project in self.projects(owner) if project.name == name]

    def projects(self, owner: str) -> list[Project]:
        """All projects of `owner` (or of an owner that is not told) that the key may access.

        Where the route of the key's projects is missing, the owner's list is read, in which 404 means that none is visible.
        """
        try:
            found = list(self._many(Project, "/users/me/projects/"))
        except AvalaError as error:
            if error.status not in (404, 405):
                raise
            try:
                found = list(self._many(Project, f"/projects/{name_segment(owner)}/"))
            except NotFound:
                return []
        return [project for project in found if project.owner_name.casefold() in ("", owner.casefold())]

    def task(self, uid: str) -> Task:
        """One task by its uid."""
        return self._one(Task, f"/tasks/{uid_segment(uid)}/")

    def tasks(self, project_uid: str, **filters: str) -> Iterator[Task]:
        """All tasks of a project; the server can filter by ``status``."""
        for task in self._many(Task, "/tasks/", {"project": uid_segment(project_uid), **filters}):
            # A server that does not know the filter lists the tasks of all projects.
            if not task.project or same_uid(task.project, project_uid):
                yield task

    def progress(self, project_uid: str) -> Progress:
        """Count a project's tasks, all pages of them, and those completed."""
        statuses = [task.status for task in self.tasks(project_uid)]
        return Progress(total=len(statuses), completed=statuses.count("completed"))

    def acceptance_rate(self, project_uid: str) -> float | None:
        """The share of a project's finished work that was accepted, 0 to 1; None when nothing is finished or the server does not tell.

        The route is in no reference of the service, so its absence and an answer of another shape say nothing.
        """
        try:
            metrics = self._one(Metrics, f"/projects/{uid_segment(project_uid)}/metrics/")
        except (UnexpectedAnswer, NotFound):
            return None
        return metrics.acceptance_rate if metrics.completed_tasks else None

    def exports(self) -> Iterator[Export]:
        """All export jobs of the account, newest first."""
        return self._many(Export, "/exports/")

    def find_exports(self, name: str) -> list[Export]:
        """Export jobs that are named exactly so, newest first."""
        return [export for export in self.exports() if export.name == name]

    def export(self, uid: str) -> Export:
        """One export job by its uid."""
        return self._one(Export, f"/exports/{uid_segment(uid)}/")

    def download_export(self, export: Export, target: Path, *, max_bytes: int) -> str:
        """Download the file of a finished export; a link that has expired is asked for anew.

        Args:
            export: one whose ``state`` is ``success``.
            target: where the file goes, whole or not at all.
            max_bytes: most bytes to accept.

        Returns:
            The SHA-256 of the file, in hex.

        Raises:
            AvalaError: if there is no link, or nothing good behind it.
        """
        refused: StorageRefused | None = None
        for _ in range(3):
            export = self._with_link(export)
            assert export.download_url is not None
            try:
                return self._downloader.fetch(export.download_url, target, max_bytes=max_bytes)
            except StorageRefused as error:
                if error.status not in _LINK_EXPIRED:
                    raise
                refused = error
            export = self.export(export.uid)
        assert refused is not None
        raise refused

    def organizations(self) -> list[dict[str, Any]]:
        """The organizations of the account as Avala describes them, ``plan`` among it."""
        return list(read_pages(self.transport, "/organizations/"))

    def members(self, organization: str) -> list[Member]:
        """Who belongs to an organization, given its slug."""
        path = f"/organizations/{name_segment(organization)}/members/"
        return [read_model(Member, entry, f"GET {path}") for entry in read_pages(self.transport, path)]

    def upload_quota(self, organization_uid: str | None = None) -> Quota | None:
        """How many bytes may be uploaded, and how many are used; None where the server does not tell."""
        query = {"organization_uid": uid_segment(organization_uid)} if organization_uid else None
        try:
            return self._one(Quota, "/datasets/manual-upload/quota/", query)
        except NotFound:
            return None

    def upload_types(self) -> list[str]:
        """Media types that the platform says it takes; advice only, files of other types give an empty dataset."""
        return self._one(UploadTypes, "/datasets/manual-upload/allowed-mimes/").mime_types

    def _with_link(self, export: Export) -> Export:
        for pause in (*_LINK_GRACE_S, None):
            if export.state == "success" and export.download_url is not None:
                return export
            if export.state != "success" or pause is None:
                break
            self.transport.timing.sleep(pause)
            export = self.export(export.uid)
        raise UnexpectedAnswer(
            f"Export {export.uid} is {export.status or 'of unknown status'} and has no file to download. "
            "Wait until it is finished, or request a new export.",
            call=f"GET /exports/{export.uid}/",
        )

    def _one(self, model: type[M], path: str, query: dict[str, str] | None = None) -> M:
        return read_model(model, self.transport.get(path, query), f"GET {path}")

    def _many(self, model: type[R], path: str, filters: dict[str, str] | None = None) -> Iterator[R]:
        seen: set[str] = set()
        for entry in read_pages(self.transport, path, filters):
            found = read_model(model, entry, f"GET {path}")
            if found.uid not in seen:
                seen.add(found.uid)
                yield found
