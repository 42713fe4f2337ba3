"""What Avala answers, read tolerantly: unknown fields ignored, spellings normalised, links kept secret.

Field names follow the reference at https://avala.ai/docs/api-reference and the official SDK, where the two
differ both are read. Every URL is a credential (it carries its own signature), hence ``SecretStr``.
"""

import logging
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

logger = logging.getLogger(__name__)

ExportState = Literal["success", "failure", "running"]
DatasetState = Literal["created", "creating", "failed"]

PROJECT_STATUSES = frozenset({"pending-approval", "active", "paused", "canceled", "archived", "completed", "draft"})
_FAILED_WORDS = ("fail", "error", "invalid")


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _word(value: object) -> str:
    """Lower-case, with ``-`` between words: ``PENDING_APPROVAL`` becomes ``pending-approval``."""
    return _text(value).strip().lower().replace("_", "-").replace(" ", "-")


def _project_word(value: object) -> str:
    word = _word(value)
    return "canceled" if word == "cancelled" else word


def _uid_of(value: object) -> str:
    """A uid, given plainly or as an object that holds one."""
    return _text(value.get("uid")) if isinstance(value, Mapping) else _text(value)


def _uids_of(value: object) -> list[str]:
    entries = value if isinstance(value, list) else [] if value is None else [value]
    return [uid for uid in map(_uid_of, entries) if uid]


def _first(data: Mapping[str, Any], *names: str) -> Any:
    """The first non-empty of several fields that different versions of the service use for one thing."""
    return next((data[name] for name in names if data.get(name) not in (None, "")), None)


Uid = Annotated[str, BeforeValidator(_uid_of), Field(min_length=1)]
Text = Annotated[str, BeforeValidator(_text)]
Word = Annotated[str, BeforeValidator(_word)]
Count = Annotated[int, BeforeValidator(lambda value: 0 if value is None else value)]
Uids = Annotated[list[str], BeforeValidator(_uids_of)]


class AvalaModel(BaseModel):
    """Base of all answers: extra fields ignored, immutable, and validation errors never repeat the input."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class Remote(AvalaModel):
    """Something that Avala knows by a uid."""

    uid: Uid


class User(Remote):
    """The owner of the API key."""

    username: Text = ""


class Member(AvalaModel):
    """Somebody in an organization; some answers nest the user below ``member``."""

    username: Text = ""
    email: Text = ""
    role: Word = ""

    @model_validator(mode="before")
    @classmethod
    def _flatten(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        layers = [data]
        for inner in ("member", "user"):
            below = layers[-1].get(inner)
            layers.append(below if isinstance(below, dict) else {})
        return {name: next(filter(None, (layer.get(name) for layer in layers)), None) for name in cls.model_fields}


class Quota(AvalaModel):
    """What may be uploaded, in bytes; slots that are open count as used for a day."""

    used: int
    limit: int


class UploadTypes(AvalaModel):
    """What may be uploaded, by media type."""

    mime_types: list[str] = []


class Owned(Remote):
    """Something that belongs to a user or an organization; some answers call the field ``owner``."""

    owner_name: Text = ""

    @model_validator(mode="before")
    @classmethod
    def _owner(cls, data: Any) -> Any:
        return data | {"owner_name": _first(data, "owner_name", "owner")} if isinstance(data, dict) else data


class Dataset(Owned):
    """A dataset; ``status`` is normalised to lower case with hyphens."""

    name: Text = ""
    slug: Text = ""
    data_type: Word = ""
    status: Word = ""
    item_count: Count = 0
    project_count: int | None = None

    @property
    def state(self) -> DatasetState:
        """``created``, ``failed`` (no word for it is published: any likely one counts), else ``creating``."""
        if self.status == "created":
            return "created"
        return "failed" if any(word in self.status for word in _FAILED_WORDS) else "creating"


class Item(Remote):
    """One image of a dataset. ``url`` is signed anew at every read and must not be kept."""

    key: Text = ""
    url: SecretStr | None = None
    width: int | None = None
    height: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _flatten(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        metadata = data.get("metadata")
        sizes = metadata if isinstance(metadata, dict) else {}
        flat = {"url": _first(data, "url", "data_url")}
        for side in ("width", "height"):
            value = sizes.get(side)
            flat[side] = value if isinstance(value, int) and value > 0 else None
        return data | flat

    @property
    def file_name(self) -> str:
        """The last component of ``key``: it is not specified whether keys carry folders or a prefix."""
        return self.key.rsplit("/", 1)[-1]


class Project(Owned):
    """A project. Which dataset it labels is told by no field of the service, hence only by its name."""

    name: Text = ""
    task_type: Word = ""
    status: Annotated[str, BeforeValidator(_project_word)] = ""

    @property
    def status_known(self) -> bool:
        """Whether ``status`` is a word that the service documents; an unknown one is never final."""
        return self.status in PROJECT_STATUSES


class Task(Remote):
    """One task of a project. Whether one task is one image is not specified: never equate the counts."""

    name: Text = ""
    type: Word = ""
    status: Word = ""
    project: Annotated[str, BeforeValidator(_uid_of)] = ""


class Progress(NamedTuple):
    """Tasks of one project: how many there are, and how many are completed."""

    total: int
    completed: int

    @property
    def done(self) -> bool:
        """Whether there are tasks and all of them are completed."""
        return 0 < self.total == self.completed


class Metrics(AvalaModel):
    """What a project's metrics tell, as far as the server knows them; `acceptance_rate` is a share from 0 to 1."""

    total_tasks: Count = 0
    completed_tasks: Count = 0
    acceptance_rate: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)


class Export(Remote):
    """An export job; ``download_url`` is a credential that expires."""

    SUCCESS: ClassVar[frozenset[str]] = frozenset({"exported", "completed"})
    FAILURE: ClassVar[frozenset[str]] = frozenset({"failed", "error", "canceled", "cancelled", "expired"})

    name: Text = ""
    format: Text = ""
    status: Word = ""
    total_task_count: int | None = None
    exported_task_count: int | None = None
    download_url: SecretStr | None = None
    projects: Uids = []
    created_at: Text = ""
    error: Text = ""

    @model_validator(mode="before")
    @classmethod
    def _projects(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        url = data.get("download_url") or None
        return data | {"projects": _first(data, "projects", "project"), "download_url": url}

    @property
    def state(self) -> ExportState:
        """``success``, ``failure`` or ``running``, by the word alone (the link may come a little later)."""
        if self.status in self.SUCCESS:
            return "success"
        return "failure" if self.status in self.FAILURE else "running"

    @property
    def partial(self) -> bool:
        """Whether fewer tasks were exported than the project holds."""
        return (self.exported_task_count or 0) < (self.total_task_count or 0)


class FormPost(AvalaModel):
    """A presigned form: all fields in this order, then the file. It needs no completion call."""

    url: SecretStr
    fields: dict[str, SecretStr] = {}


class Put(AvalaModel):
    """A presigned PUT. With ``complete`` the bytes are stored already and only the completion call is due."""

    upload_uid: Uid
    url: SecretStr | None = None
    headers: dict[str, SecretStr] = {}
    complete: bool = False

    @model_validator(mode="after")
    def _sendable(self) -> "Put":
        if self.url is None and not self.complete:
            raise ValueError("neither a url nor complete")
        return self


class StoredPart(AvalaModel):
    """A part of a multipart upload that storage holds already; ``size`` in bytes."""

    part_number: int
    size: int


class Multipart(AvalaModel):
    """An upload in ``part_count`` parts of ``part_size`` bytes (the last one may be shorter)."""

    upload_uid: Uid
    part_size: int = Field(ge=5 << 20, le=128 << 20)
    part_count: int = Field(ge=1, le=10_000)
    uploaded_parts: list[StoredPart] = []
    complete: bool = False


Presigned = FormPost | Put | Multipart


def read_presigned(payload: object) -> Presigned:
    """Read an upload slot by its ``method`` (absent means a form).

    Raises:
        ValueError: if it is none of the three documented shapes (pydantic's errors are ``ValueError``).
    """
    method = _text(payload.get("method") if isinstance(payload, dict) else None).upper() or "POST"
    kinds: dict[str, type[FormPost] | type[Put] | type[Multipart]] = {
        "POST": FormPost,
        "PUT": Put,
        "MULTIPART": Multipart,
    }
    if method not in kinds:
        raise ValueError(f"unknown upload method {method[:20]!r}")
    return kinds[method].model_validate(payload)
