"""The official client, unmodified, against the sandbox: its command line and its Python SDK."""

import hashlib
import hmac
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline_tests.clients.official import COMMAND, runner
from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox.receiver import listening
from alaas_pipeline_tests.sandbox_process import TEMPLATE_UID, SandboxProcess

IMAGES = {"cats/a.png": picture(1), "dogs/b.png": picture(2)}
# Run in a process of its own, as the command line is: the client asks the environment about plain HTTP, and
# remembers things in the home directory.
SDK_PAGES = """
import json
from avala import Client

client = Client()
seen, sizes, cursor = [], [], None
while True:
    page = client.datasets.list(limit=2, cursor=cursor)
    sizes.append(len(page))
    seen += [dataset.name for dataset in page]
    cursor = page.next_cursor
    if not page.has_more:
        break
print(json.dumps({"seen": seen, "sizes": sizes, "remaining": client.rate_limit_info["remaining"]}))
"""
SDK_REST = """
import json
from avala import Client

client = Client()
organization = client.organizations.list().items[0]
invitation = client.organizations.create_invitation(organization.slug, email="new@example.com", role="member")
made = client.slices.create(
    name="Night drives", visibility="private", sub_slices=[{"type": "dataset", "dataset_uid": DATASET}]
)
owner = made.owner_name
items = client.slices.list_items(owner, made.slug).items
print(json.dumps({
    "plan": organization.plan,
    "members": [member.username for member in client.organizations.list_members(organization.slug)],
    "invited": [row.invited_email for row in client.organizations.list_invitations(organization.slug)],
    "invitation": invitation.invited_email,
    "slices": [row.uid for row in client.slices.list(owner)] == [client.slices.get(owner, made.slug).uid] == [made.uid],
    "count": made.item_count,
    "keys": sorted(item.key for item in items),
    "one": client.slices.get_item(owner, made.slug, items[0].uid).uid == items[0].uid,
    "projects": [project.name for project in client.projects.list(limit=50)],
    "label": client.datasets.list_items(owner, "round-1").items[0].annotations["label"],
}))
"""
SDK_WEBHOOKS = """
import json
from avala import Client

client = Client()
made = client.webhooks.create(target_url=TARGET, events=["export.completed"], secret="a-long-secret")
changed = client.webhooks.update(made.uid, events=["task.completed"])
tested = client.webhooks.test(made.uid)
delivery = client.webhook_deliveries.list(limit=1).items[0]
again = client.webhook_deliveries.get(delivery.uid)
listed = client.webhooks.list(limit=5)
told = {
    "secrets": [made.secret, changed.secret, client.webhooks.get(made.uid).secret, *(one.secret for one in listed)],
    "events": changed.events,
    "delivered": tested["delivered"],
    "delivery": [delivery.uid, delivery.subscription == made.uid, delivery.event_type, again.status, again.response_status],
}
client.webhooks.delete(made.uid)
print(json.dumps(told | {"left": len(client.webhooks.list())}))
"""
# The one thing that the client has to be talked out of: it uploads to known hosts of cloud storage alone.
SDK_UPLOAD = """
import avala.resources.datasets, avala._managed_upload
from avala import Client

for module in (avala.resources.datasets, avala._managed_upload):
    assert module.validate_presigned_url
    module.validate_presigned_url = lambda url: None
made = Client().datasets.create_from_local(
    source=SOURCE, name="round-2", slug="round-2", data_type="image", workers=2, wait=True, wait_timeout=60
)
print(made.status, made.item_count)
"""


@dataclass
class Official:
    """The client and the sandbox that it talks to."""

    run: Callable[..., subprocess.CompletedProcess[str]]
    sandbox: SandboxProcess
    api: Api
    dataset: str
    project: str

    def told(self, *words: str) -> Any:
        """What a command prints as JSON."""
        done = self.run(*COMMAND, "-o", "json", *words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Official]:
    folder = tmp_path_factory.mktemp("official")
    with SandboxProcess() as sandbox, Api(sandbox.start(folder / "state", truth="subfolder", pace=0)) as api:
        dataset = api.dataset("round-1", IMAGES)["uid"]
        project = api.clone(dataset, "round 1").raise_for_status().json()["uid"]
        api.act(project, "approve").raise_for_status()
        yield Official(runner(sandbox.base_url, folder), sandbox, api, dataset, project)


def test_projects(official: Official) -> None:
    listed = official.told("projects", "list", "--limit", "1")
    assert [(row["uid"], row["name"], row["status"]) for row in listed] == [(official.project, "round 1", "completed")]
    assert official.told("projects", "get", official.project)["name"] == "round 1"


def test_an_export_is_made_and_awaited(official: Official) -> None:
    made = official.run(*COMMAND, "exports", "create", "--project", official.project)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("Export created: ")
    assert "status: requested" in made.stdout
    uid = made.stdout.split()[2]
    done = official.told("exports", "wait", uid, "--interval", "0.5")
    assert (done["uid"], done["status"]) == (uid, "exported")
    assert official.api.storage.get(done["download_url"]).content.startswith(b"PK")
    assert uid in {row["uid"] for row in official.told("exports", "list")}


def test_tasks(official: Official) -> None:
    rows = official.told("tasks", "list")
    assert {row["status"] for row in rows} == {"completed"}
    assert len(rows) == 2


def test_datasets(official: Official) -> None:
    assert official.dataset in {row["uid"] for row in official.told("datasets", "list")}
    waited = official.run(*COMMAND, "datasets", "wait", official.dataset, "--interval", "1")
    assert waited.returncode == 0, waited.stderr
    health = official.run(*COMMAND, "datasets", "health", "sandbox-team", "round-1")
    assert health.returncode == 0, health.stderr
    assert official.dataset in health.stdout


def test_status(official: Official) -> None:
    told = official.told("status")
    assert told["organizations"][0] == {"name": "sandbox-team organization", "slug": "sandbox-team-org", "members": 1}
    assert official.project in {row["uid"] for row in told["projects"]["latest"]}
    # Devices are no part of the sandbox: the client leaves them out.
    assert "fleet" not in told


def test_the_sdk_pages_through_a_list_longer_than_a_page(official: Official) -> None:
    for number in range(4):
        official.api.finalise(f"empty-{number}").raise_for_status()
    done = official.run("-c", SDK_PAGES)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert sorted(told["seen"]) == ["empty-0", "empty-1", "empty-2", "empty-3", "round-1"]
    assert told["sizes"] == [2, 2, 1]
    assert int(told["remaining"]) > 0


def test_the_sdk_reads_organizations_slices_and_items(official: Official) -> None:
    done = official.run("-c", SDK_REST.replace("DATASET", repr(official.dataset)))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("label") in ("cats", "dogs")
    assert "round 1" in told.pop("projects")
    assert told == {
        "plan": "PRO",
        "members": ["sandbox-team"],
        "invited": ["new@example.com"],
        "invitation": "new@example.com",
        "slices": True,
        "count": 2,
        "keys": sorted(IMAGES),
        "one": True,
    }


def test_the_sdk_handles_webhooks(official: Official) -> None:
    with listening() as receiver:
        done = official.run("-c", SDK_WEBHOOKS.replace("TARGET", repr(receiver.url)))
        assert done.returncode == 0, done.stderr
        (one,) = receiver.received
    assert one.signature == hmac.new(b"a-long-secret", one.body, hashlib.sha256).hexdigest()
    assert json.loads(done.stdout) == {
        "secrets": ["a-long-secret", None, None, None],
        "events": ["task.completed"],
        "delivered": True,
        "delivery": [one.delivery, True, "task.completed", "delivered", 200],
        "left": 0,
    }


def test_a_wrong_key_and_a_missing_project_are_told(official: Official) -> None:
    wrong = official.run(*COMMAND, "--api-key", "wrong", "projects", "list")
    assert wrong.returncode != 0
    assert "Invalid API key" in wrong.stdout + wrong.stderr
    missing = official.run(*COMMAND, "projects", "get", TEMPLATE_UID.replace("1", "7"))
    assert missing.returncode != 0
    assert "Not found" in missing.stdout + missing.stderr


@pytest.mark.parametrize("method", ["put", "post", "multipart"])
def test_the_sdk_uploads_a_folder(tmp_path: Path, method: str) -> None:
    source = tmp_path / "images"
    for path, data in IMAGES.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(data)
    with SandboxProcess() as sandbox:
        run = runner(sandbox.start(tmp_path / "state", upload_method=method, creating_reads=0), tmp_path)
        done = run("-c", SDK_UPLOAD.replace("SOURCE", repr(str(source))))
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["created", "2"]
        assert {row["details"]["by"] for row in sandbox.effects("presign")} == {method.upper()}
        with Api(sandbox.base_url) as api:
            items = api.get("/datasets/sandbox-team/round-2/items/").json()["results"]
            assert {item["key"]: api.storage.get(item["url"]).content for item in items} == IMAGES
