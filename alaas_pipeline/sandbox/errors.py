"""What can go wrong: at the start of the server (for the person who starts it) and in one request."""

from typing import Any

from starlette.exceptions import HTTPException

DOC_URL = "https://docs.avala.ai/api/errors#"


class SandboxError(Exception):
    """The server cannot start. The message is one clear sentence or two, and names the remedy."""


class ApiError(HTTPException):
    """An answer other than success, with the JSON body that Avala gives.

    Args:
        status: HTTP status code.
        body: the JSON body.
        headers: further response headers.
    """

    def __init__(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__(status_code=status, detail=str(body), headers=headers)
        self.body = body


def not_found() -> ApiError:
    """404: it does not exist, or it belongs to somebody else."""
    return ApiError(404, {"detail": "Not found."})


def bad_fields(**fields: str) -> ApiError:
    """400 with one message for each field, as Django REST framework words it."""
    return ApiError(400, {name: [message] for name, message in fields.items()})


def bad_request(detail: str) -> ApiError:
    """400 about the request as a whole, such as a change of status that is not allowed."""
    return ApiError(400, {"detail": detail})


def forbidden(detail: str = "You do not have permission to perform this action.", code: str | None = None) -> ApiError:
    """403, with a machine-readable code where Avala documents one."""
    body = {"detail": detail}
    if code is not None:
        body |= {"code": code, "doc_url": DOC_URL + code}
    return ApiError(403, body)


def throttled(seconds: int) -> ApiError:
    """429 with ``Retry-After`` in whole seconds."""
    return ApiError(
        429,
        {"detail": f"Request was throttled. Expected available in {seconds} seconds."},
        {"Retry-After": str(seconds)},
    )
