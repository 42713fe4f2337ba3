"""Made-up calls of every address of the API: none breaks the server, none is answered in a way nobody announced."""

import itertools

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy, dictionaries, sampled_from, text
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox.conftest import Serve
from alaas_pipeline_tests.sandbox_process import API_KEY

SETTINGS = settings(
    max_examples=8,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]


# Read from every list's query, by hand: the description of the API does not name them.
PAGE = dictionaries(sampled_from(["cursor", "page", "limit", "ordering"]), text(alphabet="-1Zaé=", max_size=9))
# What is there, by the last word before a parameter of a path.
Known = dict[str, str]


@pytest.fixture(params=["sdk", "published"])
def fuzzed(request: pytest.FixtureRequest, serve: Serve) -> Api:
    return serve(dialect=request.param, truth="subfolder", pace=0, creating_reads=0)


def test_no_call_breaks_the_server(fuzzed: Api) -> None:
    known = furnish(fuzzed)
    schema = schemathesis.openapi.from_url(f"{fuzzed.root}/_sandbox/openapi.json").include(path_regex="^/api/v1/")
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) > 40
    statuses: set[int] = set()
    for operation in operations:
        strategy: SearchStrategy[schemathesis.Case] = operation.as_strategy()

        @SETTINGS
        @given(case=strategy, there=sampled_from([True, True, False]), page=PAGE)
        def call(case: schemathesis.Case, there: bool, page: dict[str, str]) -> None:
            case.query = case.query | page
            if there:
                case.path_parameters = case.path_parameters | really(case.path, known)
            answer = case.call_and_validate(headers={"X-Avala-Api-Key": API_KEY}, checks=CHECKS)
            statuses.add(answer.status_code)

        call()
    # Nothing is proved by calls that all stop at the door.
    assert statuses >= {200, 201, 400, 404}


def furnish(api: Api) -> Known:
    """Makes one of each, and returns what paths call them."""
    project = api.project("there", {"cats/a.png": picture(1)})
    api.act(project, "approve").raise_for_status()
    dataset = api.get("/datasets/sandbox-team/there/").json()["uid"]
    parts = [{"type": "dataset", "dataset_uid": dataset}]
    api.post("/slices/", json={"name": "there", "visibility": "private", "sub_slices": parts}).raise_for_status()
    target = {"target_url": "http://127.0.0.1:9/nobody", "events": ["task.completed"]}
    hook = api.post("/webhooks/", json=target).raise_for_status().json()["uid"]
    api.post(f"/webhooks/{hook}/test/").raise_for_status()
    return {
        "webhooks": hook,
        "webhook-deliveries": api.get("/webhook-deliveries/").json()["results"][0]["uid"],
        "projects": project,
        "datasets": dataset,
        "items": api.get("/datasets/sandbox-team/there/items/").json()["results"][0]["uid"],
        "tasks": api.get("/tasks/").json()["results"][0]["uid"],
        "exports": api.post("/exports/", json={"project": project}).json()["uid"],
        "uploads": api.presign("there", "b.png", b"x")["upload_uid"],
        "organizations": "sandbox-team-org",
    }


def really(path: str, known: Known) -> Known:
    """Values for the parameters of a path, such that what it names is there."""
    values: Known = {"owner": "sandbox-team", "slug": "there", "email": "sandbox-team@sandbox.invalid"}
    words = path.strip("/").split("/")
    for before, word in itertools.pairwise(words):
        if word in ("{uid}", "{slug}") and before in known:
            values[word.strip("{}")] = known[before]
    return {name: value for name, value in values.items() if f"{{{name}}}" in words or f"@{{{name}}}" in words}
