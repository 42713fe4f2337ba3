"""Take secrets out of text: first the values we know, then everything that looks like one.

Patterns alone are not enough (keys are opaque) and known values alone are not either (storage mints its own
signatures), so both run, in that order.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "[redacted]"

_SENSITIVE_FIELDS = (
    r"x-amz-(?:signature|security-token|credential)|x-goog-(?:signature|credential)|x-avala-api-key|signature|sig"
    r"|awsaccesskeyid|googleaccessid|policy|api[_-]?key|access[_-]?key(?:[_-]?id)?|secret(?:[_-]?access[_-]?key)?"
    r"|(?:client[_-]?)?secret|password|passwd|authorization|(?:access|refresh|id|session|security)?[_-]?token"
)
_SECRET_NAME = re.compile(rf"(?:{_SENSITIVE_FIELDS}|(?:\w+_)?url)", re.IGNORECASE)

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # A link keeps its host and path, so that a message stays useful, and loses user-info, query and fragment.
    (re.compile(r"(https?://)[^\s/@\"'<>]+@", re.IGNORECASE), r"\1"),
    (re.compile(r"(https?://[^\s?#\"'<>]+)[?#][^\s\"'<>]*", re.IGNORECASE), rf"\1?{MASK}"),
    (re.compile(r"\b(?:avk_|avala_sk_|alaas_(?:live|test)_)[A-Za-z0-9_\-]+"), MASK),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=\-]{6,}", re.IGNORECASE), rf"\1 {MASK}"),
    (
        re.compile(
            rf"""(?<![\w-])({_SENSITIVE_FIELDS})(["']?\s*[=:]\s*["']?)(?!\[redacted)[^\s"'&,;}}\]<>]+""",
            re.IGNORECASE,
        ),
        rf"\1\2{MASK}",
    ),
    # As XML, which storage services answer in.
    (
        re.compile(rf"<({_SENSITIVE_FIELDS}|StringToSign\w*|\w*AccessKeyId)>[^<]*<", re.IGNORECASE),
        rf"<\1>{MASK}<",
    ),
    (re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{40}(?![0-9A-Za-z])", re.IGNORECASE), MASK),
)


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Replace secrets in ``text``.

    Args:
        text: any text, possibly of foreign origin.
        known: secret values in use, such as the API key; values shorter than 4 characters are not searched
            for.
    """
    for value in sorted((value for value in known if len(value) >= 4), key=len, reverse=True):
        text = text.replace(value, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_tree(value: Any, known: Iterable[str] = (), *, max_depth: int = 20) -> Any:
    """Redact parsed JSON: values of secret-sounding fields whole, all other text by ``redact``.

    What lies deeper than ``max_depth`` levels is left out, so that no input can exhaust the stack.
    """
    secrets = tuple(known)
    if isinstance(value, Mapping | list) and max_depth <= 0:
        return "…"
    if isinstance(value, Mapping):
        return {
            redact(str(name), secrets): MASK
            if isinstance(entry, str) and entry and _SECRET_NAME.fullmatch(str(name))
            else redact_tree(entry, secrets, max_depth=max_depth - 1)
            for name, entry in value.items()
        }
    if isinstance(value, list):
        return [redact_tree(entry, secrets, max_depth=max_depth - 1) for entry in value]
    return redact(value, secrets) if isinstance(value, str) else value
