"""What can go wrong: at the start of the server (for the person who starts it) and in one request."""

import time
from email.utils import formatdate
from typing import Any

from starlette.exceptions import HTTPException

from alaas_pipeline.sandbox.dialects import ErrorShape, RetryAfter

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


def name_taken(status: int, **fields: str) -> ApiError:
    """A name that exists: 400 with a message for each field, or 409 about the request as a whole."""
    return bad_fields(**fields) if status == 400 else ApiError(status, {"detail": " ".join(fields.values())})


def throttled(seconds: int, retry_after: RetryAfter) -> ApiError:
    """429, with ``Retry-After`` as whole seconds, as an HTTP date, or without it."""
    values = {"seconds": str(seconds), "date": formatdate(time.time() + seconds, usegmt=True)}
    return ApiError(
        429,
        {"detail": f"Request was throttled. Expected available in {seconds} seconds."},
        {"Retry-After": values[retry_after]} if retry_after in values else None,
    )


def in_shape(shape: ErrorShape, status: int, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and body of an error, its messages about fields moved to where one of Avala's documents has them.

    Args:
        shape: ``fields`` (at the top), ``detail`` or ``error``.
        status: status of the answer.
        body: its body; one that holds other things than messages about fields stays as it is.
    """
    if shape == "fields" or status != 400 or not all(isinstance(value, list) for value in body.values()):
        return status, body
    if shape == "detail":
        return status, {"detail": body}
    return 422, {"error": {"code": "validation_error", "message": "Invalid input.", "details": body}}
