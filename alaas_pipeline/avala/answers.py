"""From a raw HTTP answer to parsed JSON or to the one right error.

Error bodies come in several shapes: ``{"detail": text}``, ``{"detail", "code", "doc_url"}``, ``{field:
[text]}``, ``{"detail": {field: [text]}}`` and ``{"error": {"code", "message", "details"}}``. All are read.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from alaas_pipeline.avala.errors import (
    PIPELINE_SCOPES,
    AvalaError,
    Forbidden,
    NameTaken,
    NotFound,
    QuotaExceeded,
    RateLimited,
    ServerError,
    Unauthorized,
    UnexpectedAnswer,
    ValidationFailed,
)
from alaas_pipeline.avala.redact import redact, redact_tree

_TAKEN = re.compile(r"\b(already (exists?|in use|taken)|exists|unique|taken|duplicate)\b", re.IGNORECASE)
_NAMING = re.compile(r"\b(name|slug)\b", re.IGNORECASE)
_LONGEST_DETAIL = 500


def read_json(call: str, status: int, body: bytes) -> Any:
    """Parse the body of a 2xx answer; an empty 204 is ``None``.

    Raises:
        UnexpectedAnswer: if the body is not JSON (``NaN`` and very deep nesting are not).
    """
    if status == 204 or (not body.strip() and status != 200):
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        message = f"Avala's answer to {call} is not JSON ({len(body)} bytes, status {status}). {_CHECK_URL}"
    raise UnexpectedAnswer(message, call=call, status=status)


_CHECK_URL = "Check the base URL: it must be the API's own address, such as https://api.avala.ai/api/v1."


def error_from(
    call: str, status: int, body: bytes, *, retry_after: float | None = None, known: Iterable[str] = ()
) -> AvalaError:
    """Build the error that a non-2xx answer stands for.

    Args:
        call: what was called, as ``METHOD /path/``.
        status: the HTTP status.
        body: the body as received; anything unreadable counts as no detail.
        retry_after: seconds to wait, used for 429.
        known: secret values to redact from everything that is kept.
    """
    detail, code, fields, raw = _read_body(body, tuple(known))
    said = f": {detail}" if detail else ""
    common: dict[str, Any] = {
        "call": call,
        "status": status,
        "code": code,
        "fields": fields,
        "detail": detail,
    }
    refused = f"Avala refused {call} ({status}{f', {code}' if code else ''}){_sentence(said)}"

    if status == 401:
        return Unauthorized(f"{refused} Set AVALA_API_KEY to a valid key of this account.", **common)
    if status == 403:
        return Forbidden(f"{refused} {_forbidden_remedy(code)}", **common)
    if status == 404:
        return NotFound(
            f"Avala does not know what {call} names (404){_sentence(said)} It does not exist or does not "
            "belong to the owner of this API key: check uid, owner and key.",
            **common,
        )
    if status == 409 or (status == 400 and _is_name_clash(detail, fields)):
        return NameTaken(f"{refused} The name is taken: rename it, or use what exists under it.", **common)
    if status in (400, 422):
        return ValidationFailed(f"{refused} Correct what it names and run again.", **common)
    if status == 413:
        return _too_large(refused, call, raw, common)
    if status == 429:
        wait = 60.0 if retry_after is None else retry_after
        return RateLimited(
            f"Avala's rate limit is reached at {call}: go on in {wait:.0f} s, with fewer calls at a time.",
            retry_after=wait,
            call=call,
            detail=detail,
        )
    if status >= 500:
        return ServerError(
            f"Avala failed at {call} ({status}){_sentence(said)} This is on Avala's side: run again later.",
            **common,
        )
    if 300 <= status < 400:
        return UnexpectedAnswer(
            f"Avala answered {call} with a redirect ({status}), which is never followed. {_CHECK_URL}",
            **common,
        )
    return AvalaError(f"{refused} {_CHECK_URL}", **common)


def _sentence(said: str) -> str:
    return said if said.endswith((".", "!", "?")) else f"{said}."


def _forbidden_remedy(code: str | None) -> str:
    if code == "plan_insufficient":
        return "The organization's plan does not include this: approving needs PRO or ENTERPRISE."
    if code == "scope_required":
        return f"The API key lacks a scope: create one with {PIPELINE_SCOPES}."
    return "Use an API key whose account may do this for this owner."


def _too_large(refused: str, call: str, raw: Mapping[str, Any], common: dict[str, Any]) -> AvalaError:
    limit, used = raw.get("limit"), raw.get("used")
    if isinstance(limit, int) and isinstance(used, int):
        return QuotaExceeded(
            f"Avala's upload quota is used up at {call}: {used:,} of {limit:,} bytes are used. "
            "Delete datasets on Avala or ask for more quota.",
            limit=limit,
            used=used,
            call=call,
            detail=common["detail"],
        )
    return AvalaError(f"{refused} The request is too large: send smaller files.", **common)


def _is_name_clash(detail: str, fields: Mapping[str, list[str]]) -> bool:
    texts = [text for name in ("name", "slug") for text in fields.get(name, ())]
    texts += [text for text in (detail, *fields.get("non_field_errors", ())) if _NAMING.search(text)]
    return any(_TAKEN.search(text) and "not exist" not in text for text in texts)


def _read_body(body: bytes, known: tuple[str, ...]) -> tuple[str, str | None, dict[str, list[str]], Mapping[str, Any]]:
    """Read an error body into (detail, code, fields, the object itself)."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", None, {}, {}
    raw = redact_tree(parsed, known)
    if isinstance(raw, list):
        raw = {"non_field_errors": raw}
    if not isinstance(raw, dict):
        return _clip(str(raw)), None, {}, {}

    inner = raw.get("error")
    if isinstance(inner, dict):
        detail, code, fields = inner.get("message"), inner.get("code"), _flatten(inner.get("details"))
    else:
        detail, code = raw.get("detail", inner), raw.get("code")
        fields = _flatten(detail) if isinstance(detail, dict | list) else {}
        if not fields and "detail" not in raw and inner is None:
            fields = _flatten(raw)
    text = detail if isinstance(detail, str) else "; ".join(f"{name}: {' '.join(v)}" for name, v in fields.items())
    return _clip(text), code if isinstance(code, str) else None, fields, raw


def _flatten(value: Any, prefix: str = "") -> dict[str, list[str]]:
    """Nested field errors as ``{"outer.inner": [messages]}``; texts alone as ``non_field_errors``."""
    if value is None:
        return {}
    if isinstance(value, dict):
        flat: dict[str, list[str]] = {}
        for name, entry in value.items():
            flat.update(_flatten(entry, f"{prefix}.{name}" if prefix else str(name)))
        return flat
    entries = value if isinstance(value, list) else [value]
    flat = {}
    for index, entry in enumerate(entries):
        if isinstance(entry, dict | list):
            flat.update(_flatten(entry, f"{prefix}.{index}" if prefix else str(index)))
        else:
            flat.setdefault(prefix or "non_field_errors", []).append(_clip(str(entry)))
    return flat


def _clip(text: str) -> str:
    text = " ".join(redact(text).split())
    return text if len(text) <= _LONGEST_DETAIL else f"{text[:_LONGEST_DETAIL]}…"
