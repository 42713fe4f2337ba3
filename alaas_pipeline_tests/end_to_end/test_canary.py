"""Keys, signatures and tokens that can be told from all others: after two rounds with every fault they are nowhere but where they belong."""

import functools
import io
import logging
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from alaas_pipeline.avala import connect
from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.retry import RetryPolicy, Timing
from alaas_pipeline_tests.end_to_end.world import World, failure, paint, pool_entry

ROUNDS, TRIES = 2, 12
AFTER = {
    "prepare_round": ("cloned",), "approve_round": ("approved",), "request_export": ("exported",), "land_round": ("landed",),
}  # fmt: skip
KEY = "avk_canary_4f1c9e77"
# What a careless server says in its errors; each bare word marks a secret.
SPILT = {
    "detail": f"The key {KEY} is unwell at https://store.test/a?X-Amz-Signature=canarysignature9d1&x=1",
    "authorization": "Bearer canarybearer77aa31",
    "errors": [{"secret_access_key": "canarysecret5b20", "hint": "password=canarypassword88"}],
    "url": "https://user:canaryuserinfo@store.test/b#canaryfragment",
}
SECRETS = (
    "avk_canary", "canarysignature", "canarybearer", "canarysecret", "canarypassword", "canaryuserinfo", "canaryfragment", "X-Amz-Signature",
    "X-Amz-Credential",
)  # fmt: skip
UID = "[^/]+"
API = "/api/v1"
ROUTES = (
    f"GET {API}/users/me/", f"POST {API}/datasets/manual-upload/file-upload-url/", "PUT /_storage/.*", f"POST {API}/datasets/manual-upload/",
    f"GET {API}/datasets/.*", f"GET {API}/users/me/projects/", f"POST {API}/projects/create-from-existing/", f"POST {API}/projects/{UID}/approve/",
    f"GET {API}/tasks/", f"POST {API}/exports/", f"GET {API}/exports/{UID}/", "GET /_storage/exports/.*",
)  # fmt: skip
# What happens once to each route, one after the other. A refusal that is final for a person is left to other tests.
FAULTS: tuple[dict[str, Any], ...] = (
    {"do": "status", "when": "before", "status": 503, "body": SPILT},
    {"do": "status", "when": "after", "status": 500, "body": SPILT},
    {"do": "status", "when": "before", "status": 429, "body": SPILT, "headers": {"Retry-After": "0"}},
    {"do": "cut", "when": "before"},
    {"do": "cut", "when": "after"},
    {"do": "redirect", "when": "before", "location": "https://elsewhere.test/?X-Amz-Signature=canarysignature9d1"},
    {"do": "status", "when": "before", "status": 403, "body": SPILT},
)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that anybody logs, tracebacks too."""
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def texts(ledger: Path) -> Iterator[str]:
    """Every row of every table: the file itself holds texts compressed."""
    with duckdb.connect(str(ledger), read_only=True) as connection:
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            for row in connection.execute(f"SELECT * FROM {table}").fetchall():
                yield f"{table}: {row}"


def found(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try twice, and wait a hundredth of what the pipeline would."""
    timing = Timing(sleep=lambda seconds: time.sleep(seconds / 100))
    policy = RetryPolicy(attempts=2, base_s=0.01)
    monkeypatch.setattr(connect, "AvalaClient", functools.partial(AvalaClient, retry=policy, timing=timing))


def spoil(world: World, turn: int) -> None:
    """Let something else go wrong on each route, once for each time that it is asked."""
    world.sandbox.clear_faults()
    for number, route in enumerate(ROUTES):
        method, path = route.split(" ")
        world.sandbox.fault(method=method, path=path, times=1, **FAULTS[(number + 2 * turn) % len(FAULTS)])


def test_what_is_spilt_would_be_found() -> None:
    assert len(found(str(SPILT))) == len(SECRETS) - 1


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("impatient")
def test_no_secret_is_kept_or_told_whatever_happens(
    world: World, logged: io.StringIO, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALAAS_SANDBOX_KEY", KEY)
    paint(world.root / "photos", {"cats": 4, "dogs": 4})
    world.declare(pool_entry("Pets", str(world.root / "photos"), images_per_round=2))
    world.start_sandbox(api_key=KEY, upload_method="put", creating_reads=0, export_reads=0)
    told: list[str] = []
    fired: Counter[str] = Counter()
    with world.instance() as instance:
        assert world.run(instance, "pets", "prepare_pool").success
        for turn in range(ROUNDS):
            key = world.open_round("pets")
            for stretch in ("prepare_round", "approve_round", "request_export", "land_round"):
                spoil(world, turn)
                for _ in range(TRIES):
                    result = world.run(instance, "pets", stretch, key)
                    told += [] if result.success else [failure(result)]
                    if world.status("pets")["rounds"][-1]["state"] in AFTER[stretch]:
                        break
                fired.update({f"{rule['method']} {rule['path']}": rule["fired"] for rule in world.sandbox.faults()})
            assert world.landed("pets")[-1:] == [key], told
    assert [route for route in ROUTES if not fired[route]] == []
    assert len(told) >= ROUNDS
    printed = capfd.readouterr()
    places = {
        "a failed run": "\n".join(told),
        "the logs": logged.getvalue(),
        "stdout": printed.out,
        "stderr": printed.err,
    }
    places |= {str(path): path.read_bytes().decode("latin-1") for path in world.kept()}
    places["the ledger"] = "\n".join(texts(world.home.ledger))
    # What went wrong is told in both places, so that a secret in it would be found there.
    assert "(503)" in places["a failed run"]
    assert "answered badly" in places["the logs"]
    assert {name: found(text) for name, text in places.items() if found(text)} == {}
