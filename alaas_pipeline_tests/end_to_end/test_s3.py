"""A pool whose photographs, and then all its outputs too, are in a bucket: moto's real server, through the real definitions."""

import hashlib
import io
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import polars as pl
import pytest

from alaas_pipeline_tests.end_to_end.world import World, complaint, failure, paint, pool_entry
from alaas_pipeline_tests.s3_servers import Fault, FaultyS3, faulty, moto, use

SECRET = "not-the-secret-of-this-bucket"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto() as address:
        yield address


@pytest.fixture
def client(world: World, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the bucket's owner; pipeline and client read the endpoint and keys from the environment."""
    use(endpoint, monkeypatch)
    return boto3.client("s3")


def fill(world: World, client: Any, bucket: str, prefix: str) -> None:
    paint(world.root / "photos", {"cats": 6, "été chaud": 5})
    client.create_bucket(Bucket=bucket)
    for photo in sorted((world.root / "photos").rglob("*.png")):
        key = f"{prefix}/{photo.relative_to(world.root / 'photos').as_posix()}"
        client.put_object(Bucket=bucket, Key=key, Body=photo.read_bytes())
    client.put_object(Bucket=bucket, Key=f"{prefix}/torn.png", Body=b"\x89PNG torn")
    client.put_object(Bucket=bucket, Key="another place/photo.png", Body=b"never read")


def keys_of(client: Any, bucket: str) -> set[str]:
    return {item["Key"] for item in client.list_objects_v2(Bucket=bucket).get("Contents", ())}


def test_two_rounds_land_with_all_outputs_on_s3(world: World, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(world, client, "pets", "2024/été")
    copied = client.get_object(Bucket="pets", Key="2024/été/cats/photo 0.png")["Body"].read()
    client.put_object(Bucket="pets", Key="2024/été/dogs/copy.png", Body=copied)
    monkeypatch.setenv("ALAAS_FILES", "s3://pets/out/here/")
    world.declare(pool_entry("Pets", "s3://pets/2024/été", images_per_round=3))
    world.start_sandbox()
    with world.instance() as instance:
        shown = _images(world.run(instance, "pets", "prepare_pool"))
        assert (shown["files_listed"], shown["files_read"], shown["refused"]) == (13, 13, 1)
        # Two names of the same bytes: both named, one vector, one charge.
        assert shown["duplicate_files"] == [{"path": "dogs/copy.png", "same_bytes_as": "cats/photo 0.png"}]
        assert world.status("pets")["credits"]["spent"] == 11 * 5
        world.land_rounds(instance, "pets", 1)
        picked = world.status("pets")["rounds"][0]["picked"]
        assert {path.split("/")[0] for path in picked} <= {"cats", "été chaud"}
        spare = next(name for n in range(1, 6) if (name := f"cats/photo {n}.png") not in picked)
        old = client.get_object(Bucket="pets", Key=f"2024/été/{spare}")["Body"].read()
        new = (
            client.get_object(Bucket="pets", Key="2024/été/été chaud/photo 0.png")["Body"].read()
            + b"a comment of the camera"
        )
        client.put_object(Bucket="pets", Key=f"2024/été/{spare}", Body=new)
        shown = _images(world.run(instance, "pets", "prepare_pool"))
        # A name with new bytes: one object is read, the old image is retired, and it is said.
        assert (shown["files_read"], shown["files_replaced"]) == (1, 1)
        assert shown["replaced_files"] == [
            {"path": spare, "new_image": _digest(new), "old_image": _digest(old), "the_old_one": "retired"}
        ]
        assert world.status("pets")["credits"]["spent"] == 12 * 5 + (10 + 25 * 3)
        world.land_rounds(instance, "pets", 2)
    rounds = world.status("pets")["rounds"]
    assert [entry["labelled"] for entry in rounds] == [3, 3]
    assert [path for path in world.home.files.rglob("*") if path.is_file()] == []
    written = {
        key.removeprefix("out/here/pools/pets/") for key in keys_of(client, "pets") if key.startswith("out/here/")
    }
    current = json.loads(
        client.get_object(Bucket="pets", Key="out/here/pools/pets/training_set/current.json")["Body"].read()
    )
    version = f"training_set/{current['version']}"
    assert {
        "report.html", "training_set/current.json", f"{version}/manifest.json", f"{version}/labels.parquet",
        *(f"rounds/{entry['round']}/contact_sheet.jpg" for entry in rounds),
    } <= written  # fmt: skip
    assert len([key for key in written if key.startswith("embeddings/")]) == 2
    assert len([key for key in written if "/export-" in key]) == 2
    table = client.get_object(Bucket="pets", Key=f"out/here/pools/pets/{version}/labels.parquet")["Body"].read()
    assert pl.read_parquet(io.BytesIO(table)).height == 6
    assert all(
        key.startswith(("2024/été/", "out/here/pools/pets/", "another place/")) for key in keys_of(client, "pets")
    )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _images(result: Any) -> dict[str, Any]:
    """The metadata of `images` as plain values; of tables the rows."""
    assert result.success, failure(result)
    (event,) = result.asset_materializations_for_node("pets__images")
    shown = {}
    for name, value in event.metadata.items():
        shown[name] = [record.data for record in value.records] if hasattr(value, "records") else value.value
    return shown


@pytest.fixture
def bad_day(client: Any, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    """The pipeline reaches the server through a proxy that makes faults; `client` does not."""
    with faulty(endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        yield proxy


def test_credentials_that_expire_under_way_lose_nothing(
    world: World, client: Any, bad_day: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(world, client, "expiring", "in")
    monkeypatch.setenv("ALAAS_FILES", "s3://expiring/out")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    world.declare(pool_entry("Pets", "s3://expiring/in"))
    told = "the credentials have expired; renew them."
    with world.instance() as instance:
        # While images are looked at, while they are read to be embedded, and when their vectors are to be written.
        for fault in (
            Fault("ExpiredToken", method="GET", where="photo", skip=5, times=1e9),
            Fault("ExpiredToken", method="GET", where="photo", skip=11 + 6, times=1e9),
            Fault("ExpiredToken", method="PUT", times=1e9),
        ):
            bad_day.faults = [fault]
            result = world.run(instance, "pets", "prepare_pool")
            assert complaint(result) in (
                f"s3://expiring/in/ cannot be read: {told}", f"s3://expiring/out cannot be written: {told}",
            )  # fmt: skip
            spent = world.status("pets")["credits"]
            assert (spent["spent"], spent["reserved"]) == (0, 0)
        bad_day.faults, bad_day.seen = [], []
        assert world.run(instance, "pets", "prepare_pool").success
    assert world.status("pets")["counts"]["embedded"] == 11
    assert world.status("pets")["credits"]["spent"] == 11 * 5
    # What was looked at before is not looked at again: each image is read to be embedded, and no more.
    assert bad_day.count("GET", "photo") == 11
    assert world.leaks(SECRET) == []


def test_a_missing_bucket_is_one_message(world: World, client: Any) -> None:
    world.declare(pool_entry("Pets", "s3://no-such-bucket/cats"))
    with world.instance() as instance:
        result = world.run(instance, "pets", "prepare_pool")
    assert not result.success
    told = "s3://no-such-bucket/cats/ cannot be read: the bucket does not exist; correct its name or create it."
    assert failure(result).splitlines()[0] == told
    assert world.status("pets")["credits"]["spent"] == 0


@pytest.fixture
def keys_checked(endpoint: str, client: Any) -> Iterator[None]:
    """The server checks signatures from now on; by default moto lets everybody in."""

    def free_calls(count: str) -> None:
        headers = {"Content-Type": "text/plain"}
        urllib.request.urlopen(
            urllib.request.Request(f"{endpoint}/moto-api/reset-auth", count.encode(), headers)
        ).close()

    client.create_bucket(Bucket="guarded")
    free_calls("0")
    yield
    free_calls("inf")


@pytest.mark.usefixtures("keys_checked")
def test_wrong_credentials_are_one_message_without_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    world.declare(pool_entry("Pets", "s3://guarded/cats"))
    with world.instance() as instance:
        result = world.run(instance, "pets", "prepare_pool")
        logged = "".join(entry.message for entry in instance.all_logs(result.run_id))
    assert not result.success
    told = (
        "s3://guarded/cats/ cannot be read: the access key is not known there; check the credentials and the endpoint."
    )
    assert failure(result).splitlines()[0] == told
    assert SECRET not in logged + failure(result)
    assert "AKIAUNKNOWN" not in failure(result)


def test_no_credentials_at_all_are_one_message(world: World, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    world.declare(pool_entry("Pets", "s3://photos/cats"))
    with world.instance() as instance:
        result = world.run(instance, "pets", "prepare_pool")
    assert not result.success
    assert "there are no usable AWS credentials; set AWS_PROFILE" in failure(result).splitlines()[0]
