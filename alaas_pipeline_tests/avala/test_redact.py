"""No secret survives, and ordinary text does."""

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alaas_pipeline.avala.redact import MASK, redact, redact_tree
from alaas_pipeline_tests.builders import STEADY

CANARY = "CANARYq8Zt0"
# The same by trying everything on every text: slow, and what the quick way is held against.
SENSITIVE = (
    r"x-amz-(?:signature|security-token|credential)|x-goog-(?:signature|credential)|x-avala-api-key|signature|sig"
    r"|awsaccesskeyid|googleaccessid|policy|api[_-]?key|access[_-]?key(?:[_-]?id)?|secret(?:[_-]?access[_-]?key)?"
    r"|(?:client[_-]?)?secret|password|passwd|authorization|(?:access|refresh|id|session|security)?[_-]?token"
)
EVERY_PATTERN = (
    # A link keeps its host and path, so that a message stays useful, and loses user-info, query and fragment.
    (re.compile(r"(https?://)[^\s/@\"'<>]+@", re.IGNORECASE), r"\1"),
    (re.compile(r"(https?://[^\s?#\"'<>]+)[?#][^\s\"'<>]*", re.IGNORECASE), rf"\1?{MASK}"),
    (re.compile(r"\b(?:avk_|avala_sk_|alaas_(?:live|test)_)[A-Za-z0-9_\-]+"), MASK),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=\-]{6,}", re.IGNORECASE), rf"\1 {MASK}"),
    (
        re.compile(
            rf"""(?<![\w-])({SENSITIVE})(["']?\s*[=:]\s*["']?)(?!\[redacted)[^\s"'&,;}}\]<>]+""",
            re.IGNORECASE,
        ),
        rf"\1\2{MASK}",
    ),
    # As XML, which storage services answer in.
    (
        re.compile(rf"<({SENSITIVE}|StringToSign\w*|\w*AccessKeyId)>[^<]*<", re.IGNORECASE),
        rf"<\1>{MASK}<",
    ),
    (re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{40}(?![0-9A-Za-z])", re.IGNORECASE), MASK),
)
FRAGMENTS = [
    "avk_", "avala_sk_", "alaas_live_", "alaas_test_", "http://", "HTTPS://", "user:pw@", "?a=b", "#frag", "host.test", "Bearer",
    "basic", "Baſic", "\u00a0", "\t", "\n", " ", "=", ":", "<", ">", "/", '"', "'", "_", "-", ",", ";", "]", "&", ".", "sig", "ſig",
    "Signature", "x-amz-signature", "POLICY", "api_key", "apiKey", "secret", "password", "to\u212aen", "token", "<AWSAccessKeyId>",
    "</AWSAccessKeyId>", "<StringToSignBytes>", "a" * 40, "F" * 39, "0" * 64, "é", MASK, "abc123", CANARY, "download_url", "url",
    "access-key-id", "label", "known-secret", "known", "abc",
]  # fmt: skip
TEXTS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4)), max_size=10).map("".join)
TREES = st.recursive(
    st.one_of(TEXTS, st.none(), st.integers()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
KNOWN = ["known", "known-secret", "abc"]


def by_every_pattern(text: str) -> str:
    for value in ("known-secret", "known"):
        text = text.replace(value, MASK)
    for pattern, replacement in EVERY_PATTERN:
        text = pattern.sub(replacement, text)
    return text


def tree_by_every_pattern(value: Any, depth: int) -> Any:
    if isinstance(value, dict | list) and depth <= 0:
        return "…"
    if isinstance(value, dict):
        secret = re.compile(rf"(?:{SENSITIVE}|(?:\w+_)?url)", re.IGNORECASE)
        return {
            by_every_pattern(name): MASK
            if isinstance(entry, str) and entry and secret.fullmatch(name)
            else tree_by_every_pattern(entry, depth - 1)
            for name, entry in value.items()
        }
    if isinstance(value, list):
        return [tree_by_every_pattern(entry, depth - 1) for entry in value]
    return by_every_pattern(value) if isinstance(value, str) else value


@settings(STEADY, max_examples=300)
@given(TEXTS)
@example("Bearer\u00a0abcdef")
@example("avk_x")
@example("a" * 40)
def test_the_quick_way_masks_what_every_pattern_masks(text: str) -> None:
    assert redact(text, KNOWN) == by_every_pattern(text)


@settings(STEADY, max_examples=100)
@given(TREES, st.integers(min_value=0, max_value=4))
def test_so_it_does_in_trees(tree: Any, depth: int) -> None:
    assert redact_tree(tree, KNOWN, max_depth=depth) == tree_by_every_pattern(tree, depth)


@pytest.mark.parametrize(
    "text",
    [
        f"key avk_{CANARY} was used",
        f"avala_sk_{CANARY}",
        f"alaas_live_{CANARY}.",
        f"https://b.s3.amazonaws.com/a?X-Amz-Signature={CANARY}&x=1",
        f"X-Amz-Security-Token: {CANARY}",
        f"x-amz-credential={CANARY}/20260101/eu",
        f"https://acct.blob.core.windows.net/a?sv=1&sig={CANARY}",
        f"sig={CANARY}",
        f"https://user:{CANARY}@host.test/path",
        f"https://host.test/path#{CANARY}",
        f'{{"policy": "{CANARY}"}}',
        f"'signature': '{CANARY}'",
        f"Authorization: Bearer {CANARY}",
        f"X-Avala-Api-Key: {CANARY}",
        f"AWSAccessKeyId={CANARY}",
        f"<AWSAccessKeyId>{CANARY}</AWSAccessKeyId>",
        f"<StringToSign>GET {CANARY}</StringToSign>",
        f"client_secret={CANARY}",
        f"access_token={CANARY}",
        f"api_key={CANARY}",
    ],
)
def test_secrets_are_taken_out_by_pattern(text: str) -> None:
    assert CANARY not in redact(text)


def test_forty_hex_digits_are_a_key_but_a_sha256_is_not() -> None:
    assert redact("a" * 40) == MASK
    assert redact("a" * 64) == "a" * 64


def test_known_values_go_first_and_longest_first() -> None:
    assert redact("token-longer and token", ["token", "token-longer"]) == f"{MASK} and {MASK}"
    assert redact("abc", ["abc"]) == "abc", "too short to search for"


def test_ordinary_text_stays() -> None:
    text = "A project named 'cats r0001' exists. See https://docs.avala.ai/api/errors for its policy."
    assert redact(text) == text


def test_redacting_twice_changes_nothing_more() -> None:
    once = redact("sig=abcdef and https://h.test/a?b=c and avk_12345678")
    assert redact(once) == once


def test_trees_are_redacted_by_field_name_too() -> None:
    tree = {
        "download_url": "https://h.test/a",
        "fields": {"policy": "p", "key": "a.jpg"},
        "n": [1, None, "avk_x1"],
    }
    assert redact_tree(tree) == {
        "download_url": MASK,
        "fields": {"policy": MASK, "key": "a.jpg"},
        "n": [1, None, MASK],
    }


def test_deep_trees_do_not_exhaust_the_stack() -> None:
    tree: list[object] = []
    for _ in range(100_000):
        tree = [tree]
    assert "…" in str(redact_tree(tree))
