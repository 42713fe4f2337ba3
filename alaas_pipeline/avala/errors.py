"""Everything that can go wrong between us and Avala, each with one clear sentence and a remedy.

No message, ``detail`` or ``repr`` holds a key, a URL query or a signed link: they are redacted before they
get here.
"""

import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from alaas_pipeline.errors import UserError

PIPELINE_SCOPES = "datasets.read datasets.write projects.read projects.write tasks.read exports.create exports.read"


class AvalaError(UserError):
    """An answer of Avala (or the lack of one) that is not a success.

    Attributes:
        call: what was called, as ``METHOD /path/`` without host and query.
        status: the HTTP status, or ``None`` when there was no answer.
        code: Avala's own error code, such as ``plan_insufficient``.
        fields: messages per field for refused input.
        detail: Avala's text, redacted.
    """

    def __init__(
        self,
        message: str,
        *,
        call: str = "",
        status: int | None = None,
        code: str | None = None,
        fields: Mapping[str, Sequence[str]] | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.call = call
        self.status = status
        self.code = code
        self.fields = {name: list(messages) for name, messages in (fields or {}).items()}
        self.detail = detail

    @property
    def may_have_taken_effect(self) -> bool:
        """Whether a state-changing call that ended like this may nevertheless have changed something."""
        return self.status == 408


class Unauthorized(AvalaError):
    """401: the key is missing, wrong or expired."""


class Forbidden(AvalaError):
    """403: ``code`` is ``plan_insufficient``, ``scope_required`` or ``None``."""


class NotFound(AvalaError):
    """404: it does not exist, or not for this key's owner."""


class ValidationFailed(AvalaError):
    """400 or 422: the input was refused; ``fields`` says which."""


class NameTaken(ValidationFailed):
    """409, or 400 on a name or slug that exists: ours from an earlier attempt, or somebody else's."""


class QuotaExceeded(AvalaError):
    """413 with numbers: the upload quota is used up. ``limit`` and ``used`` are bytes."""

    def __init__(self, message: str, *, limit: int, used: int, call: str = "", detail: str = "") -> None:
        super().__init__(message, call=call, status=413, detail=detail)
        self.limit = limit
        self.used = used


class RateLimited(AvalaError):
    """A limit on calls that was not waited out, whether the server said so or we hold back ourselves.

    Nothing was changed. Come back after ``retry_after`` seconds; the message says when that is, counted from
    ``now`` (Unix seconds, by default the present).
    """

    def __init__(
        self, message: str, *, retry_after: float, call: str = "", detail: str = "", now: float | None = None
    ) -> None:
        again = math.ceil((time.time() if now is None else now) + retry_after)
        clock = datetime.fromtimestamp(again, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        super().__init__(f"{message} Come back at {clock}.", call=call, status=429, detail=detail)
        self.retry_after = retry_after


class ServerError(AvalaError):
    """5xx: whether a state-changing call took effect is unknown."""

    @property
    def may_have_taken_effect(self) -> bool:
        """Always: servers have been seen to commit and then fail."""
        return True


class TransportFailure(AvalaError):
    """No answer came.

    ``sent`` is False when no byte can have reached the server (name resolution, connect, TLS, no free
    connection in time), True when the request had been written, ``None`` when that is unknown.
    """

    def __init__(self, message: str, *, sent: bool | None, call: str = "") -> None:
        super().__init__(message, call=call)
        self.sent = sent

    @property
    def may_have_taken_effect(self) -> bool:
        """Unless nothing can have been sent."""
        return self.sent is not False


class UnexpectedAnswer(AvalaError):
    """An answer outside the contract: a redirect, not JSON, a missing uid, a page that leads elsewhere."""

    @property
    def may_have_taken_effect(self) -> bool:
        """A success that cannot be read may be one; a redirect is not followed, so it is not."""
        return self.status is None or not 300 <= self.status < 400


class StorageRefused(AvalaError):
    """The file storage behind a signed link refused it, most often because the link has expired."""


class DownloadTooLarge(AvalaError):
    """A download exceeded the size that was allowed for it; nothing was kept."""
