"""Client and label reading against the real local server, over real HTTP."""

import io
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from pydantic import SecretStr

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.errors import (
    Forbidden,
    NameTaken,
    NotFound,
    RateLimited,
    StorageRefused,
    Unauthorized,
    ValidationFailed,
)
from alaas_pipeline.avala.models import FormPost, Multipart, Put
from alaas_pipeline.avala.retry import RetryPolicy
from alaas_pipeline.avala.writes import AvalaWrites
from alaas_pipeline.labels.read import read_export
from alaas_pipeline_tests.sandbox_process import API_KEY, LIDAR_TEMPLATE_UID, TEMPLATE_UID, SandboxProcess

OWNER = "sandbox-team"
NAMES = [f"{label}__bild ü{number}__{number:016x}.png" for number, label in enumerate(("cats", "dogs", "cats"))]


def picture(seed: int, side: int = 24, format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (seed, 2 * seed, 3 * seed)).save(buffer, format)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        process.start(tmp_path_factory.mktemp("sandbox"), truth="subfolder", pace=0)
        yield process


def connect(sandbox: SandboxProcess, key: str = API_KEY, retry: RetryPolicy | None = None) -> AvalaClient:
    return AvalaClient(sandbox.base_url, SecretStr(key), allow_insecure_loopback=True, retry=retry)


@pytest.fixture
def client(sandbox: SandboxProcess) -> Iterator[AvalaClient]:
    with connect(sandbox) as client:
        yield client


def upload(writes: AvalaWrites, name: str, batch: str, file: str, data: bytes) -> type:
    slot = writes.presign(name, file, len(data), batch)
    writes.send_file(slot, data, file, "image/png")
    if not isinstance(slot, FormPost):
        writes.complete_upload(slot.upload_uid)
    return type(slot)


def finalise(client: AvalaClient, name: str, batch: str) -> str:
    """Finalise and wait, by reading, until all is indexed."""
    uid = AvalaWrites(client).finalise(name, name, "image", batch).uid
    while client.dataset(uid).state == "creating":
        pass
    return uid


def push(client: AvalaClient, name: str) -> str:
    batch, writes = str(uuid.uuid4()), AvalaWrites(client)
    for number, file in enumerate(NAMES):
        assert upload(writes, name, batch, file, picture(number)) is Put
    return finalise(client, name, batch)


def test_one_round_from_upload_to_labels(sandbox: SandboxProcess, client: AvalaClient, tmp_path: Path) -> None:
    writes = AvalaWrites(client)
    assert client.me().username == OWNER
    assert client.find_dataset(OWNER, "round-1") is None

    dataset_uid = push(client, "round-1")
    found = client.find_dataset(OWNER, "round-1")
    assert found is not None
    assert (found.uid, found.state, found.item_count) == (dataset_uid, "created", 3)
    items = list(client.dataset_items(OWNER, "round-1"))
    assert sorted(item.file_name for item in items) == sorted(NAMES)
    assert {(item.width, item.height) for item in items} == {(24, 24)}
    assert client.dataset_health(OWNER, "round-1")["item_count"] == 3
    with pytest.raises(NameTaken):
        writes.finalise("round-1", "round-1", "image", str(uuid.uuid4()))

    assert client.find_projects("round 1", OWNER) == []
    clone = writes.clone(TEMPLATE_UID, "round 1", dataset_uid)
    assert clone.status == "pending-approval"
    assert [project.uid for project in client.find_projects("round 1", OWNER)] == [clone.uid]
    with pytest.raises(NameTaken):
        writes.clone(TEMPLATE_UID, "round 1", dataset_uid)

    assert writes.approve(clone.uid).status == "active"
    with pytest.raises(ValidationFailed) as caught:
        writes.approve(clone.uid)
    assert not caught.value.may_have_taken_effect
    sandbox.finish(clone.uid)
    assert client.progress(clone.uid).done
    assert client.project(clone.uid).status == "completed"

    export = writes.create_export("round 1 export", clone.uid)
    assert [one.uid for one in client.find_exports("round 1 export")] == [export.uid]
    while export.state == "running":
        export = client.export(export.uid)
    target = tmp_path / "export.zip"
    digest = client.download_export(export, target, max_bytes=10**6)
    content = read_export(target)
    assert content.digest == digest
    assert content.quarantined == []
    assert {record.key: record.labels for record in content.records} == {file: [file.split("__")[0]] for file in NAMES}
    assert writes.change_status(clone.uid, "archive").status == "archived"
    kinds = [effect["kind"] for effect in sandbox.effects() if effect["kind"] in ("finalise", "clone", "approve")]
    assert kinds == ["finalise", "clone", "approve"]


def test_wrong_keys_plans_and_scopes_are_told_apart(sandbox: SandboxProcess, client: AvalaClient) -> None:
    with connect(sandbox, "avk_wrong") as wrong, pytest.raises(Unauthorized, match="AVALA_API_KEY"):
        wrong.me()
    clone = AvalaWrites(client).clone(TEMPLATE_UID, "guarded", push(client, "guarded"))
    sandbox.add_key("avk_basic", username=OWNER, plan="BASIC")
    sandbox.add_key("avk_scoped", username=OWNER, scopes=["projects.read"])
    for key, code, told in (
        ("avk_basic", "plan_insufficient", "PRO or ENTERPRISE"),
        ("avk_scoped", "scope_required", "lacks a scope"),
    ):
        with connect(sandbox, key) as other, pytest.raises(Forbidden, match=told) as caught:
            AvalaWrites(other).approve(clone.uid)
        assert caught.value.code == code
    assert client.project(clone.uid).status == "pending-approval"


def test_wrong_templates_and_datasets_are_refused(client: AvalaClient) -> None:
    writes = AvalaWrites(client)
    dataset_uid = push(client, "wrong-template")
    with pytest.raises(NotFound):
        writes.clone(str(uuid.uuid4()), "x1", dataset_uid)
    with pytest.raises(ValidationFailed):
        writes.clone(TEMPLATE_UID, "x2", str(uuid.uuid4()))
    with pytest.raises(ValidationFailed):
        writes.clone(LIDAR_TEMPLATE_UID, "x3", dataset_uid)
    with pytest.raises(NotFound):
        client.project(str(uuid.uuid4()))


@pytest.mark.parametrize(("method", "kind"), [("post", FormPost), ("multipart", Multipart)])
def test_the_other_ways_of_uploading(tmp_path: Path, method: str, kind: type) -> None:
    with SandboxProcess() as process:
        process.start(tmp_path / "state", upload_method=method)
        with connect(process) as client:
            writes, batch = AvalaWrites(client), str(uuid.uuid4())
            large = picture(1, side=1_400, format="BMP")
            assert len(large) > 5 << 20, "two parts"
            assert upload(writes, "other", batch, "large.bmp", large) is kind
            assert upload(writes, "other", batch, "small.png", picture(2)) is kind
            finalise(client, "other", batch)
            assert {item.file_name for item in client.dataset_items(OWNER, "other")} == {
                "large.bmp",
                "small.png",
            }


def test_expired_links_and_rate_limits(tmp_path: Path) -> None:
    with SandboxProcess() as process:
        process.start(tmp_path / "state", url_lifetime_s=0, requests_per_minute=12, truth="subfolder")
        with connect(process, retry=RetryPolicy(attempts=1, longest_wait_s=0)) as client:
            writes = AvalaWrites(client)
            data = picture(1)
            slot = writes.presign("late", "a.png", len(data), str(uuid.uuid4()))
            with pytest.raises(StorageRefused, match="expired"):
                writes.send_file(slot, data, "a.png", "image/png")
            # A client of another installation knows nothing of this one's calls.
            for _ in range(11):
                with connect(process) as other:
                    other.me()
            with pytest.raises(RateLimited) as caught:
                client.me()
            assert 0 < caught.value.retry_after <= 61


def test_listings_are_followed_over_real_pages(client: AvalaClient, monkeypatch: pytest.MonkeyPatch) -> None:
    push(client, "paged")
    monkeypatch.setattr("alaas_pipeline.avala.paging.PAGE_SIZE", 2)
    assert sorted(item.file_name for item in client.dataset_items(OWNER, "paged")) == sorted(NAMES)
    assert [organization["plan"] for organization in client.organizations()]
