"""No secret survives, and ordinary text does."""

import pytest

from alaas_pipeline.avala.redact import MASK, redact, redact_tree

CANARY = "CANARYq8Zt0"


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
