"""The published examples, in words of our own, against a server that speaks the dialect ``published``.

Each does what its model does and no more: the same paths, queries and bodies, the same fields read, the same
status waited for. Only host, key and ids are the sandbox's.
"""

import concurrent.futures
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox_process import TEMPLATE_UID, SandboxProcess

OWNER = "acme-ai"
ORGANIZATION = "acme-ai-org"
IMAGES = {f"{'cats' if number % 2 else 'dogs'}/{number}.png": picture(number) for number in range(5)}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        state = tmp_path_factory.mktemp("published")
        process.start(state, dialect="published", truth="subfolder", pace=0, username=OWNER)
        yield process


@pytest.fixture(scope="module")
def api(sandbox: SandboxProcess) -> Iterator[Api]:
    """What the reader of the examples has: a base URL, a key, a dataset and a project."""
    with Api(sandbox.base_url) as client:
        client.dataset("training-v2", IMAGES)
        yield client


@pytest.fixture(scope="module")
def project(api: Api) -> str:
    """A project whose images are labelled."""
    dataset = api.get(f"/datasets/{OWNER}/training-v2/").json()
    uid = api.clone(dataset["uid"], "Object Detection").raise_for_status().json()["uid"]
    api.act(uid, "approve").raise_for_status()
    return uid


def fetch_all(api: Api, url: str, **params: Any) -> list[Any]:
    """Follows whole ``next`` links; the query goes with the first request alone."""
    found: list[Any] = []
    answer = api.get(url, params=params)
    while True:
        data = answer.raise_for_status().json()
        found.extend(data["results"])
        if not data.get("next"):
            return found
        answer = api.get(data["next"])


def wait_until_completed(api: Api, uid: str) -> str:
    """Polls one export for the one word that the examples know, and returns where its file lies."""
    for _ in range(50):
        export = api.get(f"/exports/{uid}/").raise_for_status().json()
        if export["status"] == "completed":
            return export["download_url"]
        assert export["status"] != "failed"
    raise AssertionError("The export never said that it is completed.")


def call_with_retry(api: Api, method: str, url: str, tries: int = 3) -> Any:
    """Waits as ``Retry-After`` says, and ever longer after other failures."""
    for attempt in range(tries):
        answer = api.request(method, url)
        if answer.status_code == 429:
            time.sleep(int(answer.headers.get("Retry-After", 2**attempt)))
        elif answer.is_success:
            return answer.json()
        else:
            time.sleep(0.01 * 2**attempt)
    raise AssertionError(f"{method} {url} failed {tries} times.")


def test_list_of_datasets(api: Api) -> None:
    rows = api.get("/datasets/").json()["results"]
    assert {row["name"]: row["item_count"] for row in rows}["training-v2"] == 5


def test_page_by_page_with_cursor_and_limit(api: Api) -> None:
    for number in range(3):
        api.finalise(f"page-{number}").raise_for_status()
    first = api.get("/datasets/", params={"limit": 2}).json()
    assert first.keys() >= {"next", "previous", "results"}
    assert first["previous"] is None
    cursor = httpx.URL(first["next"]).params["cursor"]
    second = api.get("/datasets/", params={"cursor": cursor, "limit": 2}).json()
    assert len(second["results"]) == 2
    assert not {row["uid"] for row in first["results"]} & {row["uid"] for row in second["results"]}
    assert len(fetch_all(api, "/datasets/", limit=2)) == len(api.get("/datasets/").json()["results"])


def test_every_item_of_a_dataset(api: Api) -> None:
    for limit in (100, 2):
        items = fetch_all(api, f"/datasets/{OWNER}/training-v2/items/", limit=limit)
        assert sorted(item["key"] for item in items) == sorted(IMAGES)


def test_a_dataset_by_owner_and_slug(api: Api) -> None:
    found = api.get(f"/datasets/{OWNER}/training-v2/").json()
    assert (found["name"], found["item_count"], found["data_type"]) == ("training-v2", 5, "image")


def test_details_of_every_dataset_at_once(api: Api) -> None:
    datasets = api.get("/datasets/").json()["results"]

    def summary(dataset: dict[str, Any]) -> dict[str, Any]:
        found = api.get(f"/datasets/{dataset['owner']}/{dataset['slug']}/").raise_for_status().json()
        return {name: found[name] for name in ("name", "item_count", "data_type", "created_at")}

    with concurrent.futures.ThreadPoolExecutor(max_workers=5) as pool:
        summaries = list(pool.map(summary, datasets))
    assert [found["name"] for found in summaries] == [dataset["name"] for dataset in datasets]


def test_errors_by_status(api: Api) -> None:
    missing = api.get("/datasets/nonexistent/")
    assert (missing.status_code, missing.json()) == (404, {"detail": "Not found."})
    stranger = api.without_key("no-such-key").get("/datasets/")
    assert (stranger.status_code, stranger.json()) == (401, {"detail": "Invalid API key."})
    invalid = api.post("/projects/create-from-existing/", json={"source_project_uid": TEMPLATE_UID})
    assert (invalid.status_code, invalid.json()) == (400, {"name": ["This field is required."]})
    assert int(api.get("/datasets/").headers["X-RateLimit-Remaining"]) > 0


def test_retry_with_back_off(api: Api, sandbox: SandboxProcess) -> None:
    path = "/api/v1/datasets/"
    sandbox.fault(path=path, do="status", status=429, headers={"Retry-After": "0"})
    sandbox.fault(path=path, do="status", status=500)
    assert call_with_retry(api, "GET", "/datasets/")["results"]
    assert [rule["fired"] for rule in sandbox.faults()] == [1, 1]


def test_upload_with_a_signed_form(api: Api) -> None:
    body = {"file_path_in_dataset": "image001.jpg", "dataset_name": "my-dataset"}
    info = api.post("/datasets/manual-upload/file-upload-url/", json=body).raise_for_status().json()
    data = picture(9, "JPEG")
    # Each field of the answer as a part of the form, then the file: what a command line sends.
    parts = [(name, (None, value)) for name, value in info["fields"].items()]
    sent = api.storage.post(info["url"], files=[*parts, ("file", ("image001.jpg", data, "image/jpeg"))])
    assert sent.status_code == 204
    made = api.finalise("my-dataset").raise_for_status().json()
    while (found := api.get(f"/datasets/{made['uid']}/").json())["status"] != "created":
        pass
    assert found["item_count"] == 1


def test_projects_by_status(api: Api, project: str) -> None:
    assert project
    rows = api.get("/projects/", params={"status": "ACTIVE"}).raise_for_status().json()["results"]
    assert {row["task_type"] for row in rows} == {"image-annotation", "point-cloud-annotation"}
    assert {row["status"] for row in rows} == {"active"}


def test_projects_of_an_owner(api: Api, project: str) -> None:
    query = {"name": "Object Detection", "ordering": "name", "limit": "10"}
    page = api.get(f"/projects/{OWNER}/", params=query).raise_for_status().json()
    assert (page["next"], page["previous"]) == (None, None)
    shown = page["results"][0]
    fields = {"name", "task_type", "status", "is_active", "visibility", "is_imported", "owner_name"}
    assert shown.keys() >= fields | {"uid", "short_description", "industry_icon"}
    assert (shown["uid"], shown["owner_name"]) == (project, OWNER)
    assert api.get("/projects/nobody/").status_code == 404


def test_metrics_of_a_project(api: Api, project: str) -> None:
    metrics = api.get(f"/projects/{project}/metrics/").raise_for_status().json()
    assert metrics["completed_tasks"] / metrics["total_tasks"] * 100 == 100.0
    assert metrics["acceptance_rate"] == 1.0


@pytest.mark.parametrize("below", [False, True])
def test_export_poll_and_download(api: Api, project: str, below: bool) -> None:
    asked = (
        api.post(f"/projects/{project}/exports/", json={"format": "coco"})
        if below
        else api.post("/exports/", json={"project_id": project})
    )
    url = wait_until_completed(api, asked.raise_for_status().json()["uid"])
    assert api.storage.get(url).content.startswith(b"PK")


def test_results_of_tasks(api: Api, project: str) -> None:
    tasks = api.get(f"/projects/{project}/tasks/", params={"status": "completed"}).json()["results"]
    assert len(tasks) == 5
    assert {a["label"] for task in tasks for a in task["annotations"]} == {"cats", "dogs"}
    assert {a["annotation_type"] for task in tasks for a in task["annotations"]} == {"classification"}


def test_members_of_an_organization(api: Api) -> None:
    members = api.get(f"/organizations/{ORGANIZATION}/members/").raise_for_status().json()["results"]
    assert [(member["user"]["username"], member["role"]) for member in members] == [(OWNER, "owner")]


def test_an_invitation(api: Api, sandbox: SandboxProcess) -> None:
    url = f"/organizations/{ORGANIZATION}/invitations/"
    sent = api.post(url, json={"email": "newuser@example.com", "role": "annotator"})
    assert sent.raise_for_status().json()["email"] == "newuser@example.com"
    assert [row["uid"] for row in api.get(url).json()["results"]] == [sent.json()["uid"]]
    assert sandbox.effects("invite")[0]["details"] == {"organization": ORGANIZATION, "role": "annotator"}


def test_clone_approve_and_every_change_of_status(api: Api, sandbox: SandboxProcess) -> None:
    # An image without a true label, so that the project stays open.
    dataset = api.dataset("unknown", {"a.png": picture(77)})["uid"]
    body = {"source_project_uid": TEMPLATE_UID, "name": "Batch 2026-04-09", "image_dataset_uid": dataset}
    made = api.post("/projects/create-from-existing/", json=body).raise_for_status().json()
    fields = {"name": "Batch 2026-04-09", "task_type": "image-annotation", "owner_name": OWNER, "visibility": "private"}
    assert made.items() >= (fields | {"status": "pending-approval"}).items()
    for key, what, code in (
        ("avk_basic", {"plan": "BASIC"}, "plan_insufficient"),
        ("avk_reads", {"scopes": ["projects.read"]}, "scope_required"),
    ):
        sandbox.add_key(key, **what)
        refused = api.without_key(key).act(made["uid"], "approve")
        assert (refused.status_code, refused.json()["code"]) == (403, code)
        assert refused.json()["doc_url"].endswith(f"#{code}")
    approved = api.act(made["uid"], "approve")
    assert (approved.status_code, approved.json()) == (200, approved.json() | fields | {"status": "active"})
    assert api.act(made["uid"], "approve").status_code == 400
    for action, status in (("pause", "paused"), ("resume", "active"), ("cancel", "canceled"), ("archive", "archived")):
        answer = api.act(made["uid"], action)
        assert (answer.status_code, answer.json()["status"]) == (200, status)
    sandbox.add_key("avk_other", username="other")
    assert api.without_key("avk_other").act(made["uid"], "approve").json() == {"detail": "Not found."}
