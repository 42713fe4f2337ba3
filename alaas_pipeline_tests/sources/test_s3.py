import unicodedata
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from zlib import crc32

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.sources import S3Source, UnreadableFile
from alaas_pipeline_tests.s3_servers import connect, moto, use

LIMIT = 1000
NFC = "café.jpg"
NFD = unicodedata.normalize("NFD", NFC)
MIXED = f"{NFC}/{NFD}"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto() as address:
        yield address


@pytest.fixture(autouse=True)
def no_other_credentials(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(endpoint, monkeypatch)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def client(endpoint: str) -> Any:
    return connect(endpoint)


@pytest.fixture
def bucket(client: Any, request: pytest.FixtureRequest) -> str:
    name = f"bucket-{crc32(request.node.nodeid.encode())}"
    client.create_bucket(Bucket=name)
    return name


def put(client: Any, bucket: str, *keys: str) -> None:
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())


def reason(source: S3Source, path: str, limit: int = LIMIT) -> str:
    with pytest.raises(UnreadableFile) as caught:
        source.read(path, limit)
    assert str(caught.value).endswith(".")
    return caught.value.reason


def test_lists_and_reads_below_the_prefix_alone(client: Any, bucket: str) -> None:
    keys = (
        "cats/b.jpg",
        "cats/a b/ü 猫.png",
        "cats/notes.txt",
        "cats/.hidden/x.jpg",
        "cats2/c.jpg",
        "d.jpg",
        "cats/",
    )
    put(client, bucket, *keys)
    source = S3Source(client, bucket, "cats")
    assert source.name == f"s3://{bucket}/cats/"
    files = list(source.list())
    assert [file.path for file in files] == ["a b/ü 猫.png", "b.jpg"]
    for file in files:
        assert source.read(file.path, LIMIT) == f"cats/{file.path}".encode()
        assert file.bytes == len(f"cats/{file.path}".encode())
    everything = {file.path for file in S3Source(client, bucket).list()}
    assert everything == {"cats/a b/ü 猫.png", "cats/b.jpg", "cats2/c.jpg", "d.jpg"}


def test_new_content_is_a_new_version(client: Any, bucket: str) -> None:
    versions = set()
    for body in (b"one", b"two", b"two"):
        client.put_object(Bucket=bucket, Key="a.jpg", Body=body)
        versions |= {file.version for file in S3Source(client, bucket).list()}
    assert len(versions) == 2
    assert not any('"' in version for version in versions)


def test_listing_goes_on_after_the_first_page(endpoint: str, bucket: str) -> None:
    client = connect(endpoint)
    put(client, bucket, *(f"{n:02}.jpg" for n in range(7)))
    pages = []

    def small_pages(params: dict[str, Any], **_: Any) -> None:
        params["MaxKeys"] = 3
        pages.append(params)

    client.meta.events.register("provide-client-params.s3.ListObjectsV2", small_pages)
    assert [file.path for file in S3Source(client, bucket).list()] == [f"{n:02}.jpg" for n in range(7)]
    assert len(pages) == 3


def test_decomposed_keys_are_listed_composed_and_readable_without_a_listing(client: Any, bucket: str) -> None:
    put(client, bucket, f"p/{MIXED}", "p/z.jpg")
    assert [file.path for file in S3Source(client, bucket, "p").list()] == ["z.jpg", f"{NFC}/{NFC}"]
    assert S3Source(client, bucket, "p").read(f"{NFC}/{NFC}", LIMIT) == f"p/{MIXED}".encode()
    assert reason(S3Source(client, bucket, "p"), f"{NFC}/other.jpg") == "missing"


def test_of_two_spellings_the_composed_one_wins_and_the_other_is_named(client: Any, bucket: str) -> None:
    put(client, bucket, NFD, NFC)
    winner, loser = S3Source(client, bucket).list()
    assert (winner.path, winner.refused, loser.refused) == (NFC, "", "name_clash")
    assert S3Source(client, bucket).read(NFC, LIMIT) == NFC.encode()
    assert reason(S3Source(client, bucket), loser.path) == "name_clash"


def test_keys_that_are_no_relative_paths_are_listed_as_refused(client: Any, bucket: str) -> None:
    put(client, bucket, "p/a//b.jpg", "p//c.jpg", "p/ok.jpg")
    source = S3Source(client, bucket, "p")
    assert {file.path: file.refused for file in source.list()} == {
        "/c.jpg": "name_unsafe",
        "a//b.jpg": "name_unsafe",
        "ok.jpg": "",
    }
    assert reason(source, "a//b.jpg") == "name_unsafe"


def test_size_limit_and_missing_object(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="a.jpg", Body=b"12345")
    source = S3Source(client, bucket)
    assert source.read("a.jpg", 5) == b"12345"
    assert reason(source, "a.jpg", 4) == "too_large"
    assert reason(source, "gone.jpg") == "missing"


def test_an_object_in_cold_storage_is_one_refused_file(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="cold.jpg", Body=b"x", StorageClass="GLACIER")
    assert reason(S3Source(client, bucket), "cold.jpg") == "archived"


def both(source: S3Source) -> list[Callable[[], Any]]:
    return [lambda: list(source.list()), lambda: source.read("a.jpg", LIMIT)]


def test_a_missing_bucket_is_named(client: Any) -> None:
    for call in both(S3Source(client, "no-such-bucket", "cats")):
        with pytest.raises(UserError, match=r"s3://no-such-bucket/cats/ .*bucket does not exist"):
            call()


def test_an_empty_prefix_is_named_and_an_empty_bucket_is_just_empty(client: Any, bucket: str) -> None:
    with pytest.raises(UserError, match=rf"nothing at s3://{bucket}/typo/"):
        list(S3Source(client, bucket, "typo").list())
    assert list(S3Source(client, bucket).list()) == []


def test_missing_credentials_are_said(endpoint: str, bucket: str) -> None:
    bare = connect(endpoint, key=None, secret=None)
    for call in both(S3Source(bare, bucket)):
        with pytest.raises(UserError, match="no usable AWS credentials"):
            call()


def test_a_service_that_cannot_be_reached_is_said() -> None:
    for call in both(S3Source(connect("http://127.0.0.1:1"), "bucket")):
        with pytest.raises(UserError, match=r"cannot be reached \(EndpointConnectionError\)"):
            call()


@pytest.fixture
def rights_checked(endpoint: str) -> Iterator[Callable[[], None]]:
    def set_free_calls(count: str) -> None:
        headers = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{endpoint}/moto-api/reset-auth", count.encode(), headers)
        urllib.request.urlopen(request).close()

    yield lambda: set_free_calls("0")
    set_free_calls("inf")


def test_denied_access_and_unknown_keys(
    endpoint: str, client: Any, bucket: str, rights_checked: Callable[[], None]
) -> None:
    import boto3

    put(client, bucket, "a.jpg")
    admin = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
    iam = boto3.client("iam", endpoint_url=endpoint, **admin)
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    rights_checked()
    denied = S3Source(connect(endpoint, key["AccessKeyId"], key["SecretAccessKey"]), bucket)
    with pytest.raises(UserError, match=r"grant s3:ListBucket and s3:GetObject"):
        list(denied.list())
    assert reason(denied, "a.jpg") == "access_denied"
    unknown = S3Source(connect(endpoint, "AKIAUNKNOWN"), bucket)
    for call in both(unknown):
        with pytest.raises(UserError, match="access key is not known") as caught:
            call()
        assert "AKIAUNKNOWN" not in str(caught.value)
