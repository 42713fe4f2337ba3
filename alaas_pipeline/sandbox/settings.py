"""Every choice that the person who starts the server has, with its default."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alaas_pipeline.sandbox.dialects import (
    SWITCHES,
    Dialect,
    ErrorShape,
    EveryProject,
    ExportFinal,
    ExportUrl,
    ManualUpload,
    MemberShape,
    OwnerField,
    ProjectTasks,
    RetryAfter,
    WebhookBody,
)
from alaas_pipeline.sandbox.errors import SandboxError

UploadMethod = Literal["auto", "post", "put", "multipart"]
Plan = Literal["BASIC", "PRO", "ENTERPRISE"]

MIB = 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """How one sandbox behaves.

    Attributes:
        state: folder that holds everything the server remembers. One server at a time may use it.
        host: address to listen on. The API speaks plain HTTP: keep it on a loopback address.
        port: TCP port; 0 takes a free one.
        api_key: the key of the sandbox's first user.
        username: name of that user, and owner of what the key creates.
        plan: plan that comes with the key. Approval needs PRO or ENTERPRISE.
        truth: where true labels come from: None (a person answers), ``subfolder``, a folder, or a CSV file.
        labels: label schema of the template; empty means: those of the truth, or else the labels that were seen.
        pace: seconds of wall clock that one annotator spends on one task.
        annotators: how many annotators work side by side.
        refusal_rate: share of images that annotators refuse as unusable, 0 to 1.
        accuracy: share of answers that carry the true label, 0 to 1: one for all annotators, or one for each.
        box_jitter: how far each edge of an annotator's box may lie beside the true one, as a share of the box's
            side, 0 to 0.5.
        seed: seed of refusals and mistakes.
        requests_per_minute: requests a user may send within 60 s.
        burst_per_second: requests a user may send within 1 s.
        anonymous_per_minute: requests without a valid key that one address may send within 60 s.
        concurrent_exports: exports of one user that may be unfinished at a time.
        official_uploads: folder for what the official client needs to upload files here; None: no such way. Presigned
            upload URLs then name hosts that only the proxy of this sandbox leads to.
        upload_method: what a presign answers. ``auto``: PUT for upload protocol 2, else a form POST.
        part_size: bytes of one part of a multipart upload, 5 MiB to 128 MiB.
        quota_bytes: bytes one user or organization may hold.
        creating_reads: reads that still show a new dataset as ``creating``.
        export_reads: reads that still show a new export as ``processing``.
        failing_exports: how many exports, the first ones that the state ever holds, end as ``failed``.
        export_kind: what an export's download is: a ZIP archive or the bare JSON.
        strict_exports: refuse an export request that lacks a documented field (name, format, datasets,
            projects, slices).
        strict_data_type: refuse ``images`` as a spelling of ``image``.
        url_lifetime_s: seconds that a presigned upload or download URL lives.
        webhook_pause_s: seconds until a webhook's delivery that failed is tried again; each further attempt waits
            twice as long, and the fifth is the last.
        page_size: page size of cursor lists when the request names no ``limit``.
        template_uid: uid of the image template project.
        lidar_template_uid: uid of the point-cloud template project.
        admin_from_anywhere: let addresses other than loopback use ``/_sandbox/`` (a container's published
            port).
        dialect: which set of answers is given where Avala's documents and clients disagree: it decides every
            switch below that is left out.
        export_final: status of an export that is done.
        manual_upload: what a list of ``files`` in a call of ``/datasets/manual-upload/`` means: nothing, or that
            the answer brings a URL for a PUT of each file.
        every_project: who may list ``/projects/``: staff alone, or everybody, who then sees their own.
        project_tasks: whether ``/projects/{uid}/tasks/`` exists; if so, its tasks bring their annotations.
        owner_field: whether a dataset names its owner as ``owner_name`` alone, or as ``owner`` too.
        member_shape: whether a member and an invitation are flat, or also bring ``user`` and ``email``.
        webhook_body: what a webhook is sent: the bare resource, or an envelope of event, timestamp and data.
        export_first: status of an export nobody has read yet.
        export_url: whether a download URL points at the storage, or at the API (then it needs the key).
        error_shape: where the messages about fields lie: at the top, under ``detail``, or under ``error`` with
            status 422.
        taken_name_status: status of the answer to a name that is taken.
        retry_after: what ``Retry-After`` holds when a request is throttled.
    """

    state: Path
    host: str = "127.0.0.1"
    port: int = 0
    api_key: str = "avk_sandbox"
    username: str = "sandbox-team"
    plan: Plan = "PRO"
    truth: str | None = None
    labels: tuple[str, ...] = ()
    pace: float = 0.05
    annotators: int = 1
    refusal_rate: float = 0.0
    accuracy: float | tuple[float, ...] = 1.0
    box_jitter: float = 0.02
    seed: int = 0
    requests_per_minute: int = 100
    burst_per_second: int = 20
    anonymous_per_minute: int = 30
    concurrent_exports: int = 5
    official_uploads: str | None = None
    upload_method: UploadMethod = "auto"
    part_size: int = 5 * MIB
    quota_bytes: int = 50 * 1024 * MIB
    creating_reads: int = 1
    export_reads: int = 1
    failing_exports: int = 0
    export_kind: Literal["zip", "json"] = "zip"
    strict_exports: bool = False
    strict_data_type: bool = False
    url_lifetime_s: float = 3600.0
    webhook_pause_s: float = 1.0
    page_size: int = 100
    template_uid: str = "00000000-0000-4000-8000-000000000001"
    lidar_template_uid: str = "00000000-0000-4000-8000-000000000002"
    admin_from_anywhere: bool = False
    dialect: Dialect = "sdk"
    export_final: ExportFinal | None = None
    manual_upload: ManualUpload | None = None
    every_project: EveryProject | None = None
    project_tasks: ProjectTasks | None = None
    owner_field: OwnerField | None = None
    member_shape: MemberShape | None = None
    webhook_body: WebhookBody | None = None
    export_first: Literal["requested", "pending"] = "requested"
    export_url: ExportUrl = "storage"
    error_shape: ErrorShape = "fields"
    taken_name_status: Literal[400, 409] = 400
    retry_after: RetryAfter = "seconds"

    def __post_init__(self) -> None:
        """Fills in what the dialect decides, and refuses values that no server could obey.

        Raises:
            SandboxError: naming the setting and its range.
        """
        for name, word in SWITCHES[self.dialect].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, word)
        for name, share in (("refusal_rate", self.refusal_rate), *(("accuracy", share) for share in self.accuracies)):
            if not 0.0 <= share <= 1.0:
                raise SandboxError(f"{name} is a share: give a number from 0 to 1, not {share}.")
        if not 0.0 <= self.box_jitter <= 0.5:
            raise SandboxError(f"box_jitter is a share of a box's side: give 0 to 0.5, not {self.box_jitter}.")
        for name in ("pace", "url_lifetime_s", "webhook_pause_s"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise SandboxError(f"{name} counts seconds: give 0 or more, not {getattr(self, name)}.")
        for name in (
            "annotators",
            "requests_per_minute",
            "burst_per_second",
            "anonymous_per_minute",
            "page_size",
            "concurrent_exports",
            "quota_bytes",
        ):
            if getattr(self, name) < 1:
                raise SandboxError(f"{name} must be 1 or more, not {getattr(self, name)}.")
        if len(self.accuracies) != self.annotators:
            raise SandboxError(
                f"accuracy names {len(self.accuracies)} annotators, but there are {self.annotators}: give one share for "
                "all, or one for each."
            )
        for name in ("creating_reads", "export_reads", "failing_exports"):
            if getattr(self, name) < 0:
                raise SandboxError(f"{name} must be 0 or more, not {getattr(self, name)}.")
        if not 5 * MIB <= self.part_size <= 128 * MIB:
            raise SandboxError("part_size must lie between 5 MiB and 128 MiB: clients refuse anything else.")
        for name, value in (("api_key", self.api_key), ("username", self.username)):
            if not value or not value.isascii() or any(c.isspace() or c == "/" for c in value):
                raise SandboxError(f"{name} must be plain text without spaces or slashes.")

    @property
    def accuracies(self) -> tuple[float, ...]:
        """The share of true answers of each annotator."""
        return self.accuracy if isinstance(self.accuracy, tuple) else (self.accuracy,) * self.annotators
