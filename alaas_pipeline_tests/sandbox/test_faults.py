import hashlib
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from alaas_pipeline.sandbox.requestlog import RequestLog
from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox_process import SandboxProcess

API = "/api/v1"
ME = f"{API}/users/me/"
CLONE = f"{API}/projects/create-from-existing/"
MINE = f"{API}/users/me/projects/"
IMAGES = {"cats/a.png": picture(1), "dogs/b.png": picture(2)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        process.start(tmp_path_factory.mktemp("faults") / "s", creating_reads=0, export_reads=0, truth="subfolder")
        yield process


@pytest.fixture
def sandbox(server: SandboxProcess) -> Iterator[SandboxProcess]:
    yield server
    server.clear_faults()


@pytest.fixture
def api(sandbox: SandboxProcess) -> Iterator[Api]:
    with Api(sandbox.base_url) as client:
        yield client


@pytest.fixture(scope="module")
def dataset(server: SandboxProcess) -> str:
    with Api(server.base_url) as client:
        return client.dataset("shared", IMAGES)["uid"]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test takes."""
    return f"n{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"


def last_request(sandbox: SandboxProcess) -> dict[str, Any]:
    return sandbox.requests()[-1]


def effects_of(sandbox: SandboxProcess, name: str) -> list[str]:
    return [row["kind"] for row in sandbox.effects() if row["name"] == name]


def names(api: Api) -> list[str]:
    return [project["name"] for page in api.pages("/users/me/projects/") for project in page["results"]]


# --- Which requests -----------------------------------------------------------------------------------------------


def test_a_rule_strikes_as_often_as_it_says_and_is_counted(sandbox: SandboxProcess, api: Api) -> None:
    rule = sandbox.fault(path=ME, do="status", status=503, skip=1, times=2)
    assert [api.get("/users/me/").status_code for _ in range(5)] == [200, 503, 503, 200, 200]
    (listed,) = sandbox.faults()
    assert (listed["n"], listed["seen"], listed["fired"]) == (rule["n"], 5, 2)
    sandbox.clear_faults()
    assert sandbox.faults() == []


def test_a_rule_without_end_goes_on_until_it_is_cleared(sandbox: SandboxProcess, api: Api) -> None:
    sandbox.fault(path=ME, do="status", status=500, times=None)
    assert {api.get("/users/me/").status_code for _ in range(4)} == {500}
    sandbox.clear_faults()
    assert api.get("/users/me/").status_code == 200


def test_rules_strike_one_at_a_time_in_their_order(sandbox: SandboxProcess, api: Api) -> None:
    sandbox.fault(path=ME, do="status", status=500)
    sandbox.fault(path=ME, do="status", status=502)
    sandbox.fault(path=ME, do="status", status=504, skip=3)
    assert [api.get("/users/me/").status_code for _ in range(5)] == [500, 502, 200, 504, 200]


def test_method_and_path_must_both_fit_the_whole_path(sandbox: SandboxProcess, api: Api) -> None:
    sandbox.fault(path=f"{API}/exports/", method="post", do="status", status=418, times=None)
    sandbox.fault(path=f"{API}/users", do="status", status=418, times=None)
    assert api.get("/exports/").status_code == 200
    assert api.get("/users/me/").status_code == 200
    assert api.post("/exports/", json={}).status_code == 418
    assert [rule["seen"] for rule in sandbox.faults()] == [1, 0]


def test_the_administration_suffers_nothing(sandbox: SandboxProcess, api: Api) -> None:
    sandbox.fault(path=".*", do="cut", times=None)
    assert api.admin("health").status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        api.get("/users/me/")


def test_a_restart_forgets_the_rules_but_no_effect(sandbox: SandboxProcess, api: Api, name: str) -> None:
    api.upload(name, {"a.png": picture(9)})
    sandbox.fault(path=f"{API}/datasets/manual-upload/", do="cut", when="after")
    with pytest.raises(httpx.RemoteProtocolError):
        api.finalise(name)
    sandbox.kill()
    sandbox.restart()
    assert sandbox.faults() == []
    assert sandbox.requests() == []
    assert effects_of(sandbox, name) == ["finalise"]
    assert api.get(f"/datasets/sandbox-team/{name}/").json()["item_count"] == 1


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"do": "cut"}, "path"),
        ({"path": "x"}, "do"),
        ({"path": "x", "do": "explode"}, "do"),
        ({"path": "(", "do": "cut"}, "path"),
        ({"path": "/_sandbox/effects", "do": "cut"}, "path"),
        ({"path": r"^\/_sandbox/.*", "do": "cut"}, "path"),
        ({"path": "x", "do": "cut", "skip": -1}, "skip"),
        ({"path": "x", "do": "cut", "times": 0}, "times"),
        ({"path": "x", "do": "cut", "when": "later"}, "when"),
        ({"path": "x", "do": "cut", "method": "GET /"}, "method"),
        ({"path": "x", "do": "cut", "seconds": 1}, "seconds"),
        ({"path": "x", "do": "cut", "colour": 1}, "colour"),
        ({"path": "x", "do": "status"}, "status"),
        ({"path": "x", "do": "status", "status": 399}, "status"),
        ({"path": "x", "do": "status", "status": 600}, "status"),
        ({"path": "x", "do": "status", "status": 500, "headers": {"a b": "c"}}, "headers"),
        ({"path": "x", "do": "status", "status": 500, "headers": {"a": "c\r\nd"}}, "headers"),
        ({"path": "x", "do": "status", "status": 500, "headers": {"Content-Length": "9"}}, "headers"),
        ({"path": "x", "do": "hang"}, "seconds"),
        ({"path": "x", "do": "hang", "seconds": 0}, "seconds"),
        ({"path": "x", "do": "trickle", "seconds": 1, "when": "before"}, "when"),
        ({"path": "x", "do": "redirect"}, "location"),
        ({"path": "x", "do": "twice", "show": "third"}, "show"),
        ({"path": "x", "do": "stale", "seconds": 1, "method": "POST"}, "method"),
    ],
)
def test_a_wrong_rule_is_refused_by_the_name_of_its_field(
    sandbox: SandboxProcess, rule: dict[str, Any], field: str
) -> None:
    answer = httpx.post(sandbox.admin_url("faults"), json=rule)
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert sandbox.faults() == []


def test_a_body_that_json_cannot_say_is_refused(sandbox: SandboxProcess) -> None:
    text = b'{"path": "x", "do": "status", "status": 500, "body": {"a": NaN}}'
    answer = httpx.post(sandbox.admin_url("faults"), content=text, headers={"Content-Type": "application/json"})
    assert (answer.status_code, list(answer.json())) == (400, ["body"])


# --- What becomes of them -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "detail"), [(404, "Not found."), (503, "Service Unavailable."), (520, "Error 520.")]
)
def test_a_status_has_a_body_of_its_own(sandbox: SandboxProcess, api: Api, status: int, detail: str) -> None:
    sandbox.fault(path=ME, do="status", status=status)
    answer = api.get("/users/me/")
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})


@pytest.mark.parametrize("wait", ["3", "0.5", "Thu, 09 Apr 2026 12:00:00 GMT", "soon", None])
def test_a_refusal_may_say_when_to_come_back(sandbox: SandboxProcess, api: Api, wait: str | None) -> None:
    headers = {} if wait is None else {"Retry-After": wait}
    sandbox.fault(path=ME, do="status", status=429, headers=headers)
    assert api.get("/users/me/").headers.get("Retry-After") == wait


def test_a_status_before_has_no_effect_and_after_it_has(
    sandbox: SandboxProcess, api: Api, dataset: str, name: str
) -> None:
    taken = {"name": ["Project with this name already exists for this owner."]}
    sandbox.fault(path=CLONE, do="status", status=400, body=taken)
    sandbox.fault(path=CLONE, do="status", status=503, body="<html>bad gateway</html>", when="after")
    answer = api.clone(dataset, name)
    assert (answer.status_code, answer.json()) == (400, taken)
    assert effects_of(sandbox, name) == []
    answer = api.clone(dataset, name)
    assert (answer.status_code, answer.text) == (503, "<html>bad gateway</html>")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert effects_of(sandbox, name) == ["clone"]


@pytest.mark.parametrize(("when", "effects"), [("before", []), ("after", ["clone"])])
def test_a_cut_leaves_the_client_without_an_answer(
    sandbox: SandboxProcess, api: Api, dataset: str, name: str, when: str, effects: list[str]
) -> None:
    sandbox.fault(path=CLONE, do="cut", when=when)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending"):
        api.clone(dataset, name)
    assert effects_of(sandbox, name) == effects
    entry = last_request(sandbox)
    assert (entry["processed"], entry["answered"], entry["delivered"]) == (len(effects), None, False)
    assert api.get("/users/me/").status_code == 200


def test_storage_suffers_too(sandbox: SandboxProcess, api: Api, name: str) -> None:
    data = picture(3)
    slot = api.presign(name, "a.png", data)
    sandbox.fault(path="/_storage/uploads/.*", method="PUT", do="cut", when="after")
    with pytest.raises(httpx.RemoteProtocolError):
        api.storage.put(slot["url"], content=data, headers=slot["headers"])
    assert api.storage.put(slot["url"], content=data, headers=slot["headers"]).status_code == 412
    entry = sandbox.requests()[-1]
    assert entry["path"] == httpx.URL(slot["url"]).path
    assert "Signature" not in str(sandbox.requests())


def test_a_hang_ends_in_the_true_answer(sandbox: SandboxProcess, api: Api) -> None:
    for when in ("before", "after"):
        sandbox.fault(path=ME, do="hang", seconds=0.3, when=when)
        began = time.monotonic()
        assert api.get("/users/me/").json()["username"] == "sandbox-team"
        assert time.monotonic() - began >= 0.3


def test_a_hang_after_has_its_effect_while_the_client_waits(
    sandbox: SandboxProcess, api: Api, dataset: str, name: str
) -> None:
    sandbox.fault(path=CLONE, do="hang", seconds=30, when="after")
    api.timeout = httpx.Timeout(20, read=0.5)
    with pytest.raises(httpx.ReadTimeout):
        api.clone(dataset, name)
    assert effects_of(sandbox, name) == ["clone"]
    # The server notices that the client has gone, and does not sit out the wait.
    until(lambda: last_request(sandbox)["answered"] == 201)
    assert last_request(sandbox)["delivered"] is False


def test_a_hang_before_is_a_late_delivery(sandbox: SandboxProcess, api: Api, dataset: str, name: str) -> None:
    sandbox.fault(path=CLONE, do="hang", seconds=2, when="before")
    api.timeout = httpx.Timeout(20, read=0.2)
    with pytest.raises(httpx.ReadTimeout):
        api.clone(dataset, name)
    assert effects_of(sandbox, name) == []
    assert last_request(sandbox)["processed"] == 0
    until(lambda: effects_of(sandbox, name) == ["clone"])
    assert (last_request(sandbox)["statuses"], last_request(sandbox)["delivered"]) == ([201], False)


def test_a_trickle_is_the_true_answer_slowly(sandbox: SandboxProcess, api: Api) -> None:
    true = api.get("/users/me/")
    sandbox.fault(path=ME, do="trickle", seconds=0.4)
    began = time.monotonic()
    with api.stream("GET", "/users/me/") as answer:
        arrived = [time.monotonic() - began for _ in answer.iter_raw()]
        headers = dict(answer.headers)
    assert headers["content-length"] == str(len(true.content))
    assert len(arrived) > 1
    assert arrived[-1] >= 0.4
    sandbox.fault(path=ME, do="trickle", seconds=0.1)
    assert api.get("/users/me/").json() == true.json()


@pytest.mark.parametrize(("show", "status"), [("first", 201), ("second", 400)])
def test_a_double_delivery_is_processed_twice(
    sandbox: SandboxProcess, api: Api, dataset: str, name: str, show: str, status: int
) -> None:
    sandbox.fault(path=CLONE, do="twice", show=show)
    assert api.clone(dataset, name).status_code == status
    assert effects_of(sandbox, name) == ["clone"]
    entry = last_request(sandbox)
    assert (entry["processed"], entry["statuses"], entry["answered"]) == (2, [201, 400], status)


def test_a_double_delivery_of_an_export_makes_two(sandbox: SandboxProcess, api: Api, dataset: str, name: str) -> None:
    sandbox.fault(path=f"{API}/exports/", method="POST", do="twice")
    shown = api.post("/exports/", json={"dataset": dataset, "name": name}).json()["uid"]
    made = [row["uid"] for row in sandbox.effects("export") if row["name"] == name]
    assert len(made) == 2
    assert made[1] == shown


def test_a_redirect_leads_away(sandbox: SandboxProcess, api: Api) -> None:
    sandbox.fault(path=ME, do="redirect", location="http://elsewhere.invalid/x")
    answer = api.get("/users/me/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "http://elsewhere.invalid/x")


def test_a_file_comes_whole_through_a_fault(sandbox: SandboxProcess, api: Api, dataset: str) -> None:
    items = api.get("/datasets/sandbox-team/shared/items/").json()["results"]
    sandbox.fault(path="/_storage/items/.*", do="trickle", seconds=0.05, times=None)
    assert {api.storage.get(item["url"]).content for item in items} == set(IMAGES.values())


# --- Lists that lag -----------------------------------------------------------------------------------------------


def test_a_stale_list_lacks_what_is_new_and_a_read_by_uid_does_not(
    sandbox: SandboxProcess, api: Api, dataset: str, name: str
) -> None:
    sandbox.fault(path=MINE, do="stale", seconds=2.5)
    uid = api.clone(dataset, name).json()["uid"]
    assert name not in names(api)
    assert "Image classification template" in names(api)
    assert api.status(uid) == "pending-approval"
    until(lambda: name in names(api))
    (rule,) = sandbox.faults()
    assert (rule["times"], rule["method"]) == (None, None)
    assert rule["seen"] == rule["fired"] >= 3


def test_a_stale_rule_can_count_reads_instead_of_seconds(
    sandbox: SandboxProcess, api: Api, dataset: str, name: str
) -> None:
    sandbox.fault(path=MINE, do="stale", seconds=3600, times=2)
    api.clone(dataset, name)
    assert [name in names(api) for _ in range(3)] == [False, False, True]


def test_every_kind_of_list_lags(sandbox: SandboxProcess, api: Api, name: str) -> None:
    uid = api.dataset(name, IMAGES)["uid"]
    project = api.clone(uid, name).json()["uid"]
    api.act(project, "approve").raise_for_status()
    api.post("/exports/", json={"project": project}).raise_for_status()
    lists = [
        f"/datasets/?name={name}",
        "/datasets/sandbox-team/list/?ordering=-created_at",
        f"/datasets/sandbox-team/{name}/items/",
        f"/users/me/projects/?name={name}",
        f"/projects/sandbox-team/?name={name}",
        f"/tasks/?project={project}",
        "/exports/",
    ]
    assert all(api.get(url).raise_for_status().json()["results"] for url in lists)
    sandbox.fault(path=".*", do="stale", seconds=3600)
    assert [api.get(url).raise_for_status().json()["results"] for url in lists] == [[]] * len(lists)
    assert api.get(f"/datasets/{uid}/").json()["name"] == name
    assert api.get(f"/datasets/sandbox-team/{name}/").status_code == 404
    assert {api.get("/organizations/").json()["count"]} == {1}


def test_an_address_by_slug_lags_only_where_the_path_says_so(sandbox: SandboxProcess, api: Api, dataset: str) -> None:
    sandbox.fault(path=f"{API}/datasets/", do="stale", seconds=3600)
    assert api.get("/datasets/sandbox-team/shared/").json()["uid"] == dataset
    assert api.get("/datasets/").json()["results"] == []
    sandbox.fault(path=f"{API}/datasets/[^/]+/[^/]+/", do="stale", seconds=3600, times=1)
    assert [api.get("/datasets/sandbox-team/shared/").status_code for _ in range(2)] == [404, 200]


# --- What arrived -------------------------------------------------------------------------------------------------


def test_the_list_of_requests_tells_attempts_from_effects(
    sandbox: SandboxProcess, api: Api, dataset: str, name: str
) -> None:
    start = last_request(sandbox)["n"]
    rule = sandbox.fault(path=CLONE, do="status", status=500)
    api.get("/users/me/")
    for _ in range(3):
        api.clone(dataset, name)
    api.without_key("wrong").post("/exports/", json={})
    entries = sandbox.requests(since=start)
    assert [entry["n"] for entry in entries] == list(range(start + 1, start + 5))
    assert [(entry["processed"], entry["statuses"], entry["answered"]) for entry in entries] == [
        (0, [], 500),
        (1, [201], 201),
        (1, [400], 400),
        (1, [401], 401),
    ]
    assert [(entry["fault"], entry["do"]) for entry in entries] == [(rule["n"], "status")] + [(None, None)] * 3
    assert {(entry["method"], entry["path"]) for entry in entries[:3]} == {("POST", CLONE)}
    assert all(entry["delivered"] and entry["at"].endswith("Z") for entry in entries)


def test_the_list_of_requests_is_bounded_and_leaves_reads_out() -> None:
    log = RequestLog(limit=2)
    for method in ("POST", "GET", "PUT", "DELETE", "HEAD"):
        log.begin(method, "/x")
    assert [(entry.n, entry.method) for entry in log.since(0)] == [(2, "PUT"), (3, "DELETE")]
    assert [entry.n for entry in log.since(2)] == [3]


def until(what: Any) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)
