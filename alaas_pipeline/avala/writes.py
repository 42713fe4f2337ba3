"""The raw calls that change something on Avala: one request each, no journal, no look before or after.

Only ``effects`` may use them: whether a call is due, and what a lost answer means, is decided there. A call
is sent again only when the first attempt cannot have reached the server, or was refused for its rate (429).
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import SecretStr

from alaas_pipeline.avala.client import AvalaClient, read_model
from alaas_pipeline.avala.errors import NameTaken, UnexpectedAnswer, ValidationFailed
from alaas_pipeline.avala.ids import name_segment, uid_segment
from alaas_pipeline.avala.models import (
    Dataset,
    Export,
    FormPost,
    Multipart,
    Presigned,
    Project,
    Put,
    read_presigned,
)
from alaas_pipeline.errors import UserError

ProjectAction = Literal["pause", "resume", "cancel", "archive"]

EXPORT_FORMAT = "avala-json-external"
_PRESIGN = "/datasets/manual-upload/file-upload-url/"
_FIELD_FAULT = re.compile(r"required|unknown|unexpected|unrecogni[sz]ed|not (?:allowed|permitted)|extra", re.IGNORECASE)
# What the fuller of the two bodies for an export has and the shorter one lacks, and the other way round.
_EXPORT_FIELDS = frozenset({"project", "dataset", "format", "datasets", "projects", "slices"})


class AvalaWrites:
    """State-changing calls over the connections of a client."""

    def __init__(self, client: AvalaClient) -> None:
        self._api = client.transport
        self._storage = client.storage

    def presign(
        self,
        dataset_name: str,
        file_path: str,
        content_length: int,
        batch_uid: str,
        organization_uid: str | None = None,
    ) -> Presigned:
        """Ask for an upload slot; it opens a quota reservation. The same batch and path resume the same slot.

        Args:
            dataset_name: of the dataset to be; it decides where the file is stored.
            file_path: relative POSIX path in the dataset.
            content_length: size of the file in bytes.
            batch_uid: a UUID of ours, one for the whole upload.
            organization_uid: the owning organization, if it is not the user; the same at finalisation.

        Raises:
            QuotaExceeded: if the file does not fit any more.
            AvalaError: any other failure.
        """
        body: dict[str, Any] = {
            "dataset_name": dataset_name,
            "file_path_in_dataset": file_path,
            "content_length": content_length,
            "upload_protocol_version": 2,
            "dataset_upload_uid": batch_uid,
        }
        if organization_uid is not None:
            body["organization_uid"] = organization_uid
        payload = self._api.post(_PRESIGN, body)
        try:
            return read_presigned(payload)
        except ValueError:
            # The fault's own text could repeat the link.
            message = f"Avala's answer to POST {_PRESIGN} is no upload slot of a known kind. Check the base URL."
        raise UnexpectedAnswer(message, call=f"POST {_PRESIGN}")

    def send_file(self, presigned: Presigned, data: bytes, file_name: str, content_type: str) -> None:
        """Send a file's bytes to storage, without the key; nothing is sent when storage has them already.

        Args:
            presigned: a fresh slot.
            data: the whole file.
            file_name: base name, for the form only.
            content_type: media type, unless the form prescribes one.

        Raises:
            StorageRefused: if the slot is not, or no longer, good: ask for a fresh one.
            AvalaError: any other failure.
        """
        if isinstance(presigned, FormPost):
            self._storage.post_form(presigned.url, presigned.fields, file_name, data, content_type)
        elif presigned.complete:
            return
        elif isinstance(presigned, Put):
            assert presigned.url is not None
            self._storage.put(presigned.url, data, presigned.headers)
        else:
            self._send_parts(presigned, data)

    def complete_upload(self, upload_uid: str) -> None:
        """Tell Avala that the bytes of a PUT or multipart slot are stored (a form needs no such call)."""
        self._api.post(f"/datasets/manual-upload/uploads/{uid_segment(upload_uid)}/complete/", {})

    def finalise(
        self,
        name: str,
        slug: str,
        data_type: str,
        batch_uid: str,
        owner_name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        organization_uid: str | None = None,
    ) -> Dataset:
        """Make a private dataset of everything stored under its name, leftovers of earlier attempts included.

        There is no key against doing it twice: a lost answer and a name clash look the same.

        Args:
            name: of the dataset, as given to ``presign``.
            slug: its address below the owner.
            data_type: ``image`` for photographs.
            batch_uid: as given to ``presign``.
            owner_name: an organization's slug, if it is not the user's own.
            metadata: stored with the dataset.
            organization_uid: as given to ``presign``.

        Raises:
            NameTaken: if name or slug exist.
            AvalaError: any other failure.
        """
        path = "/datasets/manual-upload/"
        body: dict[str, Any] = {
            "name": name,
            "slug": slug,
            "data_type": data_type,
            "visibility": "private",
            "create_metadata": True,
            "dataset_upload_uid": batch_uid,
        }
        if owner_name is not None:
            body["owner_name"] = owner_name
        if metadata:
            body["metadata"] = dict(metadata)
        if organization_uid is not None:
            body["organization_uid"] = organization_uid
        return read_model(Dataset, self._api.post(path, body), f"POST {path}")

    def clone(
        self,
        source_project_uid: str,
        name: str,
        image_dataset_uid: str | None = None,
        *,
        lidar_dataset_uid: str | None = None,
        slice_uid: str | None = None,
        copy_collaborators: bool = False,
    ) -> Project:
        """Make a project like the template on a dataset or a slice; it waits for approval, at no cost yet.

        Args:
            source_project_uid: the template.
            name: 1 to 100 characters, unique per owner: the only guard against a second clone.
            image_dataset_uid: images that are to be labelled,
            lidar_dataset_uid: or point clouds,
            slice_uid: or a slice instead of a full dataset.
            copy_collaborators: whether the template's collaborators may see the images. The service's own default is yes, so it is
                always sent.

        Raises:
            NameTaken: if the owner has a project of this name.
            AvalaError: any other failure.
        """
        if not 1 <= len(name) <= 100:
            raise UserError(f"A project name has 1 to 100 characters, this one has {len(name)}: {name[:120]!r}.")
        sources = {
            "image_dataset_uid": image_dataset_uid, "lidar_dataset_uid": lidar_dataset_uid, "slice_uid": slice_uid,
        }  # fmt: skip
        given = {field: uid_segment(uid) for field, uid in sources.items() if uid is not None}
        if not given:
            raise UserError(f"Project {name!r} needs something to label: {', '.join(sources)}.")
        path = "/projects/create-from-existing/"
        body = {
            "source_project_uid": uid_segment(source_project_uid),
            "name": name,
            **given,
            "copy_collaborators": copy_collaborators,
        }
        return read_model(Project, self._api.post(path, body), f"POST {path}")

    def approve(self, project_uid: str) -> Project:
        """Approve a project: people are set to work. Billable, and cannot be undone."""
        return self._project_action(project_uid, "approve")

    def change_status(self, project_uid: str, action: ProjectAction) -> Project:
        """Pause, resume, cancel or archive a project."""
        return self._project_action(project_uid, action)

    def create_export(self, name: str, project_uid: str) -> Export:
        """Start an export of a project's annotations; every success is a new job.

        The documented body is sent first. The shorter body of the official SDK, which carries no name (the
        job is found by its project then), follows once, and only when a 400 says that the fields are wrong.

        Raises:
            AvalaError: the one that fits.
        """
        return self._export(name, "project", project_uid)

    def create_dataset_export(self, name: str, dataset_uid: str) -> Export:
        """Start an export of all annotations of a dataset, in the same way.

        Raises:
            AvalaError: the one that fits.
        """
        return self._export(name, "dataset", dataset_uid)

    def invite(self, organization: str, email: str, role: str | None = None) -> None:
        """Invite somebody into an organization, given its slug. The pipeline itself never does."""
        path = f"/organizations/{name_segment(organization)}/invitations/"
        self._api.post(path, {"email": email} | ({"role": role} if role else {}))

    def _export(self, name: str, what: Literal["project", "dataset"], uid: str) -> Export:
        path = "/exports/"
        uid = uid_segment(uid)
        body = {"name": name, "format": EXPORT_FORMAT, "datasets": [], "projects": [], "slices": [], f"{what}s": [uid]}
        try:
            payload = self._api.post(path, body)
        except ValidationFailed as error:
            if not _names_a_wrong_field(error):
                raise
            payload = self._api.post(path, {what: uid})
        return read_model(Export, payload, f"POST {path}")

    def _project_action(self, project_uid: str, action: str) -> Project:
        path = f"/projects/{uid_segment(project_uid)}/{action}/"
        return read_model(Project, self._api.post(path), f"POST {path}")

    def _send_parts(self, slot: Multipart, data: bytes) -> None:
        if slot.part_count != -(-len(data) // slot.part_size):
            raise UnexpectedAnswer(
                f"Avala cuts a file of {len(data):,} bytes into {slot.part_count} parts of "
                f"{slot.part_size:,} bytes, which does not come out even. Run again for a fresh upload slot."
            )
        stored = {part.part_number: part.size for part in slot.uploaded_parts}
        path = f"/datasets/manual-upload/uploads/{uid_segment(slot.upload_uid)}/parts/"
        for number in range(1, slot.part_count + 1):
            part = data[(number - 1) * slot.part_size : number * slot.part_size]
            if stored.get(number) == len(part):
                continue
            url, headers = _read_part(self._api.post(path, {"part_numbers": [number]}), number, f"POST {path}")
            self._storage.put(url, part, headers)


def _names_a_wrong_field(error: ValidationFailed) -> bool:
    if error.status != 400 or isinstance(error, NameTaken):
        return False
    texts = [text for name in _EXPORT_FIELDS & set(error.fields) for text in error.fields[name]]
    texts += [error.detail, *error.fields.get("non_field_errors", ())]
    return any(_FIELD_FAULT.search(text) for text in texts)


def _read_part(payload: Any, number: int, call: str) -> tuple[SecretStr, dict[str, SecretStr]]:
    parts = payload.get("parts") if isinstance(payload, dict) else None
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict) and part.get("part_number") == number and isinstance(part.get("url"), str):
            headers = part.get("headers")
            given = headers.items() if isinstance(headers, dict) else ()
            return SecretStr(part["url"]), {str(name): SecretStr(str(value)) for name, value in given}
    raise UnexpectedAnswer(f"Avala's answer to {call} holds no link for part {number}. Run again.", call=call)
