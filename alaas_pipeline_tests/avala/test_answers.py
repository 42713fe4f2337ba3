"""Every status and every shape of error body ends in the one right error."""

import orjson
import pytest

from alaas_pipeline.avala.answers import error_from, read_json
from alaas_pipeline.avala.errors import (
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
from alaas_pipeline.errors import UserError

CALL = "POST /projects/create-from-existing/"


def build(status: int, body: object, **more: object) -> AvalaError:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return error_from(CALL, status, raw, **more)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        (401, {"detail": "Invalid API key."}, Unauthorized, "AVALA_API_KEY"),
        (403, {"detail": "No.", "code": "plan_insufficient", "doc_url": "x"}, Forbidden, "PRO or ENTERPRISE"),
        (403, {"detail": "No.", "code": "scope_required"}, Forbidden, "projects.write"),
        (403, {"detail": "No."}, Forbidden, "account may do this"),
        (404, {"detail": "Not found."}, NotFound, "does not exist or does not belong"),
        (400, {"image_dataset_uid": ["Wrong type."]}, ValidationFailed, "Wrong type."),
        (422, {"error": {"code": "bad", "message": "Bad input."}}, ValidationFailed, "Bad input."),
        (409, {"detail": "Conflict."}, NameTaken, "name is taken"),
        (413, {"detail": "Too big."}, AvalaError, "smaller files"),
        (429, {"detail": "Request was throttled."}, RateLimited, "60 s"),
        (500, {"detail": "Oops."}, ServerError, "run again later"),
        (503, b"<html>down</html>", ServerError, "run again later"),
        (524, b"", ServerError, "run again later"),
        (301, b"", UnexpectedAnswer, "base URL"),
        (302, b"", UnexpectedAnswer, "never followed"),
        (405, {"detail": "Method not allowed."}, AvalaError, "base URL"),
        (418, b"\xff\xfe", AvalaError, "418"),
    ],
)
def test_statuses(status: int, body: object, kind: type[AvalaError], told: str) -> None:
    error = build(status, body)
    assert type(error) is kind
    assert isinstance(error, UserError)
    assert error.status == status
    assert error.call == CALL
    assert CALL in str(error)
    assert told in str(error)


@pytest.mark.parametrize(
    "body",
    [
        {"name": ["Too long."], "slug": ["Bad."]},
        {"detail": {"name": ["Too long."], "slug": ["Bad."]}},
        {"error": {"code": "invalid", "message": "m", "details": {"name": ["Too long."], "slug": "Bad."}}},
    ],
)
def test_all_three_shapes_of_field_errors_are_flattened(body: object) -> None:
    error = build(400, body)
    assert type(error) is ValidationFailed
    assert error.fields == {"name": ["Too long."], "slug": ["Bad."]}


def test_nested_and_listed_field_errors_are_flattened() -> None:
    assert build(400, {"a": {"b": ["x"]}, "c": [{"d": ["y"]}]}).fields == {"a.b": ["x"], "c.0.d": ["y"]}
    assert build(400, ["plain"]).fields == {"non_field_errors": ["plain"]}
    assert build(400, "plain").detail == "plain"
    assert build(400, 7).detail == "7"


@pytest.mark.parametrize(
    "body",
    [
        {"name": ["A project with this name already exists."]},
        {"slug": ["This field must be unique."]},
        {"detail": {"name": ["dataset with this name already exists."]}},
        {"detail": "A project with this name already exists."},
        {"non_field_errors": ["The fields owner, name must make a unique set."]},
        {"error": {"code": "x", "message": "Name already taken.", "details": None}},
    ],
)
def test_a_taken_name_is_recognised(body: object) -> None:
    assert type(build(400, body)) is NameTaken


@pytest.mark.parametrize(
    "body",
    [
        {"name": ["This field may not be blank."]},
        {"source_project_uid": ["exists twice"]},
        {"name": ["The template does not exist."]},
        {"detail": "Dataset already exists in this state."},
    ],
)
def test_other_refusals_are_not_taken_names(body: object) -> None:
    assert type(build(400, body)) is ValidationFailed


def test_a_quota_tells_its_numbers() -> None:
    error = build(413, {"detail": "Quota.", "limit": 1000, "used": 990})
    assert isinstance(error, QuotaExceeded)
    assert (error.limit, error.used) == (1000, 990)
    assert "990 of 1,000 bytes" in str(error)


def test_a_rate_limit_carries_what_was_asked_for() -> None:
    error = build(429, {}, retry_after=12.5)
    assert isinstance(error, RateLimited)
    assert error.retry_after == 12.5


@pytest.mark.parametrize(
    ("status", "open_question"),
    [(400, False), (403, False), (429, False), (302, False), (408, True), (502, True)],
)
def test_which_failures_may_have_taken_effect(status: int, open_question: bool) -> None:
    assert build(status, {}).may_have_taken_effect is open_question


def test_secrets_in_error_bodies_are_redacted_everywhere() -> None:
    body = {
        "detail": "avk_LEAK1 at https://h.test/a?sig=LEAK2",
        "name": ["my-opaque-LEAK3"],
        "upload": {"policy": "LEAK4", "signature": "LEAK5"},
    }
    for status in (400, 401, 403, 404, 409, 413, 500):
        error = build(status, body, known=["my-opaque-LEAK3"])
        shown = f"{error} {error!r} {error.detail} {error.fields} {vars(error)}"
        assert "LEAK" not in shown


def test_long_and_deep_bodies_are_bounded() -> None:
    assert len(str(build(400, {"detail": "x" * 100_000}))) < 1_000
    deep = b"[" * 1_000 + b"]" * 1_000
    assert type(build(400, deep)) is ValidationFailed


@pytest.mark.parametrize("body", [b"<html>", b"", b"NaN", b"[" * 100_000, b'{"a": Infinity}'])
def test_a_success_that_is_no_json_is_unexpected(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer, match="not JSON") as caught:
        read_json(CALL, 200, body)
    assert caught.value.__context__ is None


def test_an_empty_success_is_none() -> None:
    assert read_json(CALL, 204, b"") is None
    assert read_json(CALL, 202, b" ") is None
    assert read_json(CALL, 201, b'{"uid": "a"}') == {"uid": "a"}
