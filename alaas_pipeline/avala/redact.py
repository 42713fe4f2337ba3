"""Take secrets out of text: first the values we know, then everything that looks like one.

Patterns alone are not enough (keys are opaque) and known values alone are not either (storage mints its own
signatures), so both run, in that order.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

MASK = "[redacted]"

_SENSITIVE_FIELDS = (
    r"x-amz-(?:signature|security-token|credential)|x-goog-(?:signature|credential)|x-avala-api-key|signature|sig"
    r"|awsaccesskeyid|googleaccessid|policy|api[_-]?key|access[_-]?key(?:[_-]?id)?|secret(?:[_-]?access[_-]?key)?"
    r"|(?:client[_-]?)?secret|password|passwd|authorization|(?:access|refresh|id|session|security)?[_-]?token"
)
_SECRET_NAME = re.compile(rf"(?:{_SENSITIVE_FIELDS}|(?:\w+_)?url)", re.IGNORECASE)

# Each with texts of which one must be there, or it cannot match: most names and values of an export have none of them.
_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    # A link keeps its host and path, so that a message stays useful, and loses user-info, query and fragment.
    (("://",), re.compile(r"(https?://)[^\s/@\"'<>]+@", re.IGNORECASE), r"\1"),
    (("://",), re.compile(r"(https?://[^\s?#\"'<>]+)[?#][^\s\"'<>]*", re.IGNORECASE), rf"\1?{MASK}"),
    (("avk_", "_sk_", "alaas_"), re.compile(r"\b(?:avk_|avala_sk_|alaas_(?:live|test)_)[A-Za-z0-9_\-]+"), MASK),
    # Written in any case, after any kind of space: this one is cheap enough to be always tried.
    (("",), re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=\-]{6,}", re.IGNORECASE), rf"\1 {MASK}"),
    (
        ("=", ":"),
        re.compile(
            rf"""(?<![\w-])({_SENSITIVE_FIELDS})(["']?\s*[=:]\s*["']?)(?!\[redacted)[^\s"'&,;}}\]<>]+""",
            re.IGNORECASE,
        ),
        rf"\1\2{MASK}",
    ),
    # As XML, which storage services answer in.
    (
        ("<",),
        re.compile(rf"<({_SENSITIVE_FIELDS}|StringToSign\w*|\w*AccessKeyId)>[^<]*<", re.IGNORECASE),
        rf"<\1>{MASK}<",
    ),
)
_KEY_DIGITS = 40
_LONGEST_REMEMBERED = 64
_HEX_KEY = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{40}(?![0-9A-Za-z])", re.IGNORECASE)


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Replace secrets in ``text``.

    Args:
        text: any text, possibly of foreign origin.
        known: secret values in use, such as the API key; values shorter than 4 characters are not searched
            for.
    """
    return _redact(text, _longest_first(known))


def redact_tree(value: Any, known: Iterable[str] = (), *, max_depth: int = 20) -> Any:
    """Redact parsed JSON: values of secret-sounding fields whole, all other text by ``redact``.

    What lies deeper than ``max_depth`` levels is left out, so that no input can exhaust the stack.
    """
    return _redact_tree(value, _longest_first(known), max_depth)


def _longest_first(known: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted((value for value in known if len(value) >= 4), key=len, reverse=True))


def _redact(text: str, secrets: tuple[str, ...]) -> str:
    for value in secrets:
        text = text.replace(value, MASK)
    for signs, pattern, replacement in _PATTERNS:
        for sign in signs:
            if sign in text:
                text = pattern.sub(replacement, text)
                break
    return _HEX_KEY.sub(MASK, text) if len(text) >= _KEY_DIGITS else text


def _redact_name(name: str, secrets: tuple[str, ...]) -> tuple[str, bool]:
    """A field's name without secrets, and whether its value is one."""
    return _redact(name, secrets), _SECRET_NAME.fullmatch(name) is not None


# An export repeats a few names a hundred thousand times. Names alone are remembered: values may be secrets.
_remembered_name = lru_cache(maxsize=1024)(_redact_name)


def _redact_tree(value: Any, secrets: tuple[str, ...], max_depth: int) -> Any:
    if isinstance(value, str):
        return _redact(value, secrets)
    if not isinstance(value, Mapping | list):
        return value
    if max_depth <= 0:
        return "…"
    if isinstance(value, list):
        return [_redact_tree(entry, secrets, max_depth - 1) for entry in value]
    told = {}
    for given, entry in value.items():
        name = str(given)
        shown, secret = (_remembered_name if len(name) <= _LONGEST_REMEMBERED else _redact_name)(name, secrets)
        told[shown] = (
            MASK if secret and isinstance(entry, str) and entry else _redact_tree(entry, secrets, max_depth - 1)
        )
    return told
