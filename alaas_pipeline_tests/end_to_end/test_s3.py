"""A pool whose photographs are in a bucket: moto's real server, reached through the Sources that the definitions wire."""

import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from alaas_pipeline_tests.end_to_end.world import World, failure, paint, pool_entry

SECRET = "not-the-secret-of-this-bucket"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(world: World, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the bucket's owner; pipeline and client read the endpoint and keys from the environment."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    return boto3.client("s3")


def fill(world: World, client: Any, bucket: str, prefix: str) -> None:
    paint(world.root / "photos", {"cats": 6, "été chaud": 5})
    client.create_bucket(Bucket=bucket)
    for photo in sorted((world.root / "photos").rglob("*.png")):
        key = f"{prefix}/{photo.relative_to(world.root / 'photos').as_posix()}"
        client.put_object(Bucket=bucket, Key=key, Body=photo.read_bytes())
    client.put_object(Bucket=bucket, Key=f"{prefix}/torn.png", Body=b"\x89PNG torn")
    client.put_object(Bucket=bucket, Key="another place/photo.png", Body=b"never read")


def test_a_round_lands_from_a_bucket(world: World, client: Any) -> None:
    fill(world, client, "photos", "2024/été")
    world.declare(pool_entry("Pets", "s3://photos/2024/été", images_per_round=5))
    world.start_sandbox()
    with world.instance() as instance:
        world.land_rounds(instance, "pets", 1)
        first = world.status("pets")
        # Nothing new in the bucket: nothing is read, embedded or charged again.
        again = world.run(instance, "pets", "prepare_pool")
    assert world.status("pets") == first
    (images,) = again.asset_materializations_for_node("pets__images")
    shown = {name: images.metadata[name].value for name in ("files_listed", "files_read", "refused")}
    assert shown == {"files_listed": 12, "files_read": 0, "refused": 1}
    assert first["counts"]["embedded"] == 11
    (landed,) = first["rounds"]
    assert (landed["uploaded"], landed["labelled"], landed["pending"]) == (5, 5, 0)
    assert {picked.split("/")[0] for picked in landed["picked"]} == {"cats", "été chaud"}


def test_a_missing_bucket_is_one_message(world: World, client: Any) -> None:
    world.declare(pool_entry("Pets", "s3://no-such-bucket/cats"))
    with world.instance() as instance:
        result = world.run(instance, "pets", "prepare_pool")
    assert not result.success
    told = "s3://no-such-bucket/cats/ cannot be read: the bucket does not exist; mend the pool's source or create it."
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
