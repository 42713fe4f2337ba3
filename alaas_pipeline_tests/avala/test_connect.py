import json
import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import httpx
import pytest
import respx
from pydantic import SecretStr

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.connect import STATE_POINTER, base_url_of, binding_of, connect
from alaas_pipeline.avala.errors import RateLimited
from alaas_pipeline.config import AVALA_BASE_URL
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home
from alaas_pipeline.ledger import Ledger, pools
from alaas_pipeline.ledger.pools import Binding
from alaas_pipeline_tests.builders import TEMPLATE, pool_settings

SANDBOX = "http://127.0.0.1:8123/api/v1"


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ALAAS_", "AVALA_"))}
    with mock.patch.dict(os.environ, kept, clear=True):
        yield


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def runs(state: Path, url: str) -> None:
    state.mkdir(parents=True, exist_ok=True)
    (state / "endpoint.json").write_text(json.dumps({"base_url": url}))


def at(url: str | None, platform: str = "sandbox"):
    return pool_settings(platform=platform, avala={"owner": "me", "template": TEMPLATE, "base_url": url})


def test_the_running_sandbox_is_found(home: Home) -> None:
    runs(home.sandbox, SANDBOX)
    assert base_url_of(pool_settings(), home) == SANDBOX
    runs(home.root / "elsewhere", "http://127.0.0.1:9/api/v1")
    (home.root / STATE_POINTER).write_text(f"{home.root / 'elsewhere'}\n")
    assert base_url_of(pool_settings(), home) == "http://127.0.0.1:9/api/v1"


@pytest.mark.parametrize("content", [None, "", "no json", "{}"])
def test_no_sandbox_is_one_clear_message(home: Home, content: str | None) -> None:
    if content is not None:
        home.sandbox.mkdir()
        (home.sandbox / "endpoint.json").write_text(content)
    with pytest.raises(
        UserError,
        match=r"Pool 'Cats' is on the sandbox, and no sandbox is running\. Start one with 'alaas-pipeline sandbox'",
    ):
        base_url_of(pool_settings(), home)


def test_which_address_of_the_sandbox_counts(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    runs(home.sandbox, SANDBOX)
    monkeypatch.setenv("AVALA_BASE_URL", "http://localhost:1/api/v1")
    assert base_url_of(pool_settings(), home) == "http://localhost:1/api/v1"
    assert base_url_of(at("http://[::1]:2/api/v1"), home) == "http://[::1]:2/api/v1"
    monkeypatch.setenv("ALAAS_SANDBOX_URL", "http://127.0.0.1:3/api/v1")
    assert base_url_of(at("http://[::1]:2/api/v1"), home) == "http://127.0.0.1:3/api/v1"


def test_an_address_of_the_real_platform_is_not_the_sandbox(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVALA_BASE_URL", AVALA_BASE_URL)
    runs(home.sandbox, SANDBOX)
    assert base_url_of(pool_settings(), home) == SANDBOX
    for url in (
        AVALA_BASE_URL,
        "http://10.0.0.1/api/v1",
        "http://127.0.0.1.example.test/",
        "http://localhost.example.test/",
    ):
        with pytest.raises(UserError, match="is not on this machine"):
            base_url_of(at(url), home)


def test_a_pool_on_avala_never_meets_the_sandbox(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    runs(home.sandbox, SANDBOX)
    monkeypatch.setenv("ALAAS_SANDBOX_URL", SANDBOX)
    monkeypatch.setenv("ALAAS_SANDBOX_KEY", "avk_sandbox")
    real = at(None, "avala")
    assert base_url_of(real, home) == AVALA_BASE_URL
    with pytest.raises(UserError, match="AVALA_API_KEY is not set"):
        connect(real, home)
    monkeypatch.setenv("AVALA_BASE_URL", "https://eu.example.test/api/v1")
    assert base_url_of(real, home) == "https://eu.example.test/api/v1"
    assert base_url_of(at("https://own.example.test/api/v1", "avala"), home) == "https://own.example.test/api/v1"


def test_each_server_gets_its_own_key(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVALA_API_KEY", "avk_real")
    runs(home.sandbox, SANDBOX)
    user = httpx.Response(200, json={"uid": "user-1", "username": "me"})
    with respx.mock() as router:
        sandbox = router.get(f"{SANDBOX}/users/me/").mock(return_value=user)
        avala = router.get(f"{AVALA_BASE_URL}/users/me/").mock(return_value=user)
        for settings, route, key in ((pool_settings(), sandbox, "avk_sandbox"), (at(None, "avala"), avala, "avk_real")):
            with connect(settings, home) as client:
                assert client.me().uid == "user-1"
            (call,) = route.calls
            sent = list(call.request.headers.values())
            assert any(key in value for value in sent)
            assert not any("avk_" in value and key not in value for value in sent)


def test_all_clients_of_an_installation_keep_one_limit(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    runs(home.sandbox, SANDBOX)
    with connect(pool_settings(), home) as one, connect(pool_settings(), home, hurried=True) as other:
        one.limiter.hold(500)
        assert 499 < other.limiter.blocked_for() <= 500
        with respx.mock(assert_all_called=False) as router:
            route = router.get(f"{SANDBOX}/users/me/")
            for client in (one, other):
                with pytest.raises(RateLimited, match="nothing was sent"):
                    client.me()
            assert not route.called
    assert {path.parent for path in home.root.rglob("avala-*")} == {home.locks}
    # Two installations of one account on one machine.
    monkeypatch.setenv("ALAAS_LIMITS_DIR", str(home.root / "of all"))
    with connect(pool_settings(), home) as one, connect(at(SANDBOX), Home(home.root / "b")) as other:
        assert one.limiter.blocked_for() == 0
        one.limiter.hold(50)
        assert 49 < other.limiter.blocked_for() <= 50
    monkeypatch.setenv("ALAAS_LIMITS_DIR", "of all")
    with pytest.raises(UserError, match="ALAAS_LIMITS_DIR is the relative path"):
        connect(pool_settings(), home)


def test_a_pool_is_bound_to_the_account_it_first_met(home: Home) -> None:
    ledger = Ledger(home.ledger)
    account = {"uid": "user-1", "username": "me"}

    def meet(url: str) -> None:
        with respx.mock() as router, AvalaClient(url, SecretStr("k"), allow_insecure_loopback=True) as client:
            router.get(f"{url}/users/me/").mock(return_value=httpx.Response(200, json=account))
            binding = binding_of(pool_settings(), client)
        with ledger.transaction() as tx:
            pools.ensure(tx, "cats", "Cats")
            pools.bind(tx, "cats", binding)

    meet(SANDBOX)
    # The same sandbox may come back on another port.
    meet("http://127.0.0.1:9999/api/v1")
    with ledger.transaction() as tx:
        assert pools.binding(tx, "cats") == Binding("sandbox", "sandbox", "user-1", "sandbox-team")
    account["uid"] = "user-2"
    with pytest.raises(
        UserError, match=r"is bound to account_uid 'user-1' since its first use, and now asks for 'user-2'"
    ):
        meet(SANDBOX)
