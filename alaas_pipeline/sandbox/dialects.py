"""Where Avala's own documents and clients disagree: named sets of the switches that decide.

``sdk`` answers as the released Python client expects. ``published`` answers as the examples of the REST guide
and of the examples page expect, and keeps to both wherever both fit into one answer.
"""

from collections.abc import Mapping
from typing import Literal

Dialect = Literal["sdk", "published"]
ErrorShape = Literal["fields", "detail", "error"]
RetryAfter = Literal["seconds", "date", "absent"]
ExportUrl = Literal["storage", "api"]

ExportFinal = Literal["exported", "completed"]
ManualUpload = Literal["finalise", "files"]
EveryProject = Literal["staff", "mine"]
ProjectTasks = Literal["absent", "annotations"]
OwnerField = Literal["owner_name", "both"]
MemberShape = Literal["flat", "nested"]
WebhookBody = Literal["resource", "envelope"]

# What a switch means that nobody has set.
SWITCHES: Mapping[Dialect, Mapping[str, str]] = {
    "sdk": {
        "export_final": "exported",
        "manual_upload": "finalise",
        "every_project": "staff",
        "project_tasks": "absent",
        "owner_field": "owner_name",
        "member_shape": "flat",
        "webhook_body": "resource",
    },
    "published": {
        "export_final": "completed",
        "manual_upload": "files",
        "every_project": "mine",
        "project_tasks": "annotations",
        "owner_field": "both",
        "member_shape": "nested",
        "webhook_body": "envelope",
    },
}
