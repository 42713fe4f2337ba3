"""Ids and names in paths."""

import pytest

from alaas_pipeline.avala.ids import name_segment, same_uid, uid_segment
from alaas_pipeline.errors import UserError


@pytest.mark.parametrize("uid", ["6f1c0d3e-74a7-4c1e-9a44-0b6d2f0f9c11", "project_abc123", "74g7", "a" * 64])
def test_opaque_ids_pass(uid: str) -> None:
    assert uid_segment(uid) == uid


@pytest.mark.parametrize("uid", ["", "..", "a/b", "a%2fb", "a b", "a?x=1", "a" * 65, "ü", "a\n", "https:"])
def test_unsafe_ids_are_refused(uid: str) -> None:
    with pytest.raises(UserError, match="not an Avala id"):
        uid_segment(uid)


@pytest.mark.parametrize(
    ("name", "segment"),
    [("acme", "acme"), ("dev@acme.com", "dev%40acme.com"), ("röntgen-1", "r%C3%B6ntgen-1"), ("a.b", "a.b")],
)
def test_names_are_encoded(name: str, segment: str) -> None:
    assert name_segment(name) == segment


@pytest.mark.parametrize("name", ["", ".", "..", "...", "a/b", "a\\b", "%2e%2e", "http:", "a\x00", "a\nb", "a" * 201])
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="owner or slug"):
        name_segment(name)


def test_ids_compare_as_uuids_when_both_are() -> None:
    assert same_uid("6F1C0D3E-74A7-4C1E-9A44-0B6D2F0F9C11", "6f1c0d3e74a74c1e9a440b6d2f0f9c11")
    assert not same_uid("abc", "ABC")
    assert same_uid("abc", "abc")
