"""What S3 does to a reader on a bad day: asks for less, loses and changes objects, breaks off, ends credentials."""

from collections.abc import Iterator
from typing import Any
from zlib import crc32

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.remote.s3 import Bucket
from alaas_pipeline.sources import S3Source, SourceFile, UnreadableFile
from alaas_pipeline_tests.s3_servers import Fault, FaultyS3, connect, faulty, moto, use

LIMIT = 1000


@pytest.fixture(scope="module")
def behind() -> Iterator[str]:
    with moto() as address:
        yield address


@pytest.fixture(scope="module")
def proxy(behind: str) -> Iterator[FaultyS3]:
    with faulty(behind) as server:
        yield server


@pytest.fixture
def s3(proxy: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> FaultyS3:
    use(proxy.endpoint, monkeypatch)
    proxy.faults, proxy.seen = [], []
    return proxy


@pytest.fixture(scope="module")
def owner(behind: str) -> Any:
    """A client that goes past the proxy."""
    return connect(behind)


@pytest.fixture(scope="module")
def client(proxy: FaultyS3) -> Any:
    return connect(proxy.endpoint)


@pytest.fixture
def bucket(owner: Any, request: pytest.FixtureRequest) -> str:
    name = f"bucket-{crc32(request.node.nodeid.encode())}"
    owner.create_bucket(Bucket=name)
    for key in ("a.jpg", "b.jpg"):
        owner.put_object(Bucket=name, Key=key, Body=key.encode())
    return name


def refusal(source: S3Source, file: SourceFile) -> str:
    with pytest.raises(UnreadableFile) as caught:
        source.read(file.path, LIMIT, file.version)
    return caught.value.reason


def test_throttling_is_waited_for(s3: FaultyS3, bucket: str) -> None:
    source = S3Source(connect(s3.endpoint, attempts=3), bucket)
    s3.faults = [Fault("SlowDown", 503, where="list-type"), Fault("SlowDown", 503, where="a.jpg")]
    assert [source.read(file.path, LIMIT) for file in source.list()] == [b"a.jpg", b"b.jpg"]
    assert (s3.count("GET", "list-type"), s3.count("GET", "a.jpg"), s3.count("GET", "b.jpg")) == (2, 2, 1)


def test_throttling_without_end_is_one_message_and_no_fault_of_an_object(
    s3: FaultyS3, client: Any, bucket: str
) -> None:
    source = S3Source(client, bucket)
    s3.faults = [Fault("SlowDown", 503, times=float("inf"))]
    for call in (lambda: list(source.list()), lambda: source.read("a.jpg", LIMIT)):
        with pytest.raises(UserError, match="too many requests; run again later") as caught:
            call()
        assert not isinstance(caught.value, UnreadableFile)


def test_an_object_that_is_gone_since_the_listing_is_named_and_the_others_are_read(
    s3: FaultyS3, client: Any, owner: Any, bucket: str
) -> None:
    source = S3Source(client, bucket)
    first, second = source.list()
    owner.delete_object(Bucket=bucket, Key="a.jpg")
    assert refusal(source, first) == "missing"
    assert source.read(second.path, LIMIT, second.version) == b"b.jpg"


def test_an_object_that_changed_since_the_listing_is_not_taken_for_the_listed_one(
    s3: FaultyS3, client: Any, owner: Any, bucket: str
) -> None:
    source = S3Source(client, bucket)
    first, _ = source.list()
    owner.put_object(Bucket=bucket, Key="a.jpg", Body=b"other")
    assert refusal(source, first) == "changed_while_reading"
    again, _ = source.list()
    assert source.read(again.path, LIMIT, again.version) == b"other"
    assert source.read("a.jpg", LIMIT) == b"other"


def test_an_answer_that_breaks_off_is_asked_for_again(s3: FaultyS3, client: Any, bucket: str) -> None:
    source = S3Source(client, bucket)
    s3.faults = [Fault(where="a.jpg", times=2)]
    assert source.read("a.jpg", LIMIT) == b"a.jpg"
    assert s3.count("GET", "a.jpg") == 3
    s3.faults = [Fault(where="a.jpg", times=3)]
    with pytest.raises(UserError, match="the service cannot be reached"):
        source.read("a.jpg", LIMIT)


def test_expired_credentials_are_one_message_without_them(s3: FaultyS3, bucket: str) -> None:
    client = connect(s3.endpoint, "AKIAKEY", "verysecret")
    source, bare = S3Source(client, bucket), Bucket(lambda: client, bucket)
    s3.faults = [Fault("ExpiredToken", times=float("inf"))]
    for call in (
        lambda: list(source.list()),
        lambda: source.read("a.jpg", LIMIT),
        lambda: bare.look("a.jpg"),
        lambda: bare.write("c.jpg", b"c"),
    ):
        with pytest.raises(
            UserError, match=r"cannot be (read|written): the credentials have expired; renew them"
        ) as caught:
            call()
        told = f"{caught.value!r} {caught.value.__cause__!r}"
        assert not any(secret in told for secret in ("AKIAKEY", "verysecret", "Signature", "the key is in here"))
        assert caught.value.__suppress_context__


def test_a_look_tells_what_a_read_would(s3: FaultyS3, client: Any, owner: Any, bucket: str) -> None:
    bare = Bucket(lambda: client, bucket)
    (found, _) = bare.list()
    assert bare.look("a.jpg") == found
    owner.put_object(Bucket=bucket, Key="cold.jpg", Body=b"x", StorageClass="GLACIER")
    assert bare.look("cold.jpg").bytes == 1


def test_a_profile_that_does_not_exist_is_said(s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    from alaas_pipeline.sources import open_source

    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(UserError, match="AWS_PROFILE names a profile that does not exist"):
        next(open_source("s3://bucket/x", Path("/")).list())
