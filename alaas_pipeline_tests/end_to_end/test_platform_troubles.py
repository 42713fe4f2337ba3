"""Trouble with the platform or the source: one clear message, nothing lost, and the same job goes on once it is mended."""

import functools
import shutil
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from alaas_pipeline.automation.steps import Wait
from alaas_pipeline.avala import connect, transport
from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.retry import RetryPolicy
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import journal
from alaas_pipeline_tests.end_to_end.world import World, complaint, failure, paint, pool_entry
from alaas_pipeline_tests.sandbox_process import LIDAR_TEMPLATE_UID, TEMPLATE_UID

KINDS = {"dataset": "finalise", "clone": "clone", "approve": "approve", "export": "export"}
STRETCHES = ("prepare_round", "approve_round", "request_export", "land_round")


def declare(world: World, template: str = TEMPLATE_UID, owner: str = "sandbox-team") -> None:
    photos = str(world.root / "photos")
    world.declare(pool_entry("Pets", photos, images_per_round=3, avala={"owner": owner, "template": template}))


def begin(world: World, **sandbox: Any) -> None:
    paint(world.root / "photos", {"cats": 5, "dogs": 4})
    declare(world)
    world.start_sandbox(**{"creating_reads": 0, "export_reads": 0, **sandbox})


def one_of_each(world: World, rounds: int = 1) -> None:
    counts = {kind: len(world.sandbox.effects(kind)) for kind in KINDS.values()}
    assert counts == dict.fromkeys(KINDS.values(), rounds)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after two tries, where the pipeline itself would be patient for minutes."""
    policy = RetryPolicy(attempts=2, base_s=0.01)
    monkeypatch.setattr(connect, "AvalaClient", functools.partial(AvalaClient, retry=policy))


@pytest.mark.usefixtures("hasty")
def test_servers_and_keys_that_fail_are_told_plainly_and_mended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(world)
    with world.instance() as instance:
        run = functools.partial(world.run, instance, "pets")
        assert run("prepare_pool").success
        key = world.open_round("pets")

        world.sandbox.kill()
        down = complaint(run("prepare_round", key))
        assert "could not be reached" in down
        picks = world.status("pets")["rounds"][0]["picked"]
        assert len(picks) == 3
        world.sandbox.restart()

        monkeypatch.setenv("ALAAS_SANDBOX_KEY", "wrong-key-of-nobody")
        unknown = complaint(run("prepare_round", key))
        assert "401" in unknown
        assert "key" in unknown
        assert world.sandbox.effects() == []

        monkeypatch.delenv("ALAAS_SANDBOX_KEY")
        assert run("prepare_round", key).success
        assert world.status("pets")["rounds"][0]["picked"] == picks
        for name, what, expected in (
            ("key-without-plan", {"plan": "BASIC"}, "plan_insufficient"),
            ("key-without-scope", {"scopes": ["projects.read", "datasets.read"]}, "scope_required"),
        ):
            world.sandbox.add_key(name, **what)
            monkeypatch.setenv("ALAAS_SANDBOX_KEY", name)
            assert expected in complaint(run("approve_round", key))
            assert world.status("pets")["rounds"][0]["state"] == "cloned"
        assert world.sandbox.effects("approve") == []

        monkeypatch.delenv("ALAAS_SANDBOX_KEY")
        world.land_rounds(instance, "pets", 1)
    one_of_each(world)
    pool = world.status("pets")
    assert pool["credits"]["spent"] == 9 * 5 + 10 + 25 * 3
    assert pool["credits"]["reserved"] == 0
    assert world.leaks("wrong-key-of-nobody", "key-without-plan", "key-without-scope") == []


@pytest.mark.usefixtures("hasty")
def test_mistakes_in_pools_yaml_are_told_plainly_and_mended_there(world: World) -> None:
    begin(world)
    missing = "99999999-0000-4000-8000-000000000009"
    with world.instance() as instance:
        run = functools.partial(world.run, instance, "pets")
        (world.root / "photos").rename(world.root / "elsewhere")
        assert "does not exist" in complaint(run("prepare_pool"))
        (world.root / "elsewhere").rename(world.root / "photos")
        assert run("prepare_pool").success

        declare(world, missing)
        key = world.open_round("pets")
        (world.root / "photos").rename(world.root / "elsewhere")
        vanished = complaint(run("prepare_round", key))
        assert "photos" in vanished
        assert world.sandbox.effects("finalise") == []
        (world.root / "elsewhere").rename(world.root / "photos")

        assert missing in complaint(run("prepare_round", key))
        declare(world, LIDAR_TEMPLATE_UID)
        lidar = complaint(run("prepare_round", key))
        assert "image-annotation" in lidar
        assert "avala.template" in lidar
        assert len(world.sandbox.effects("finalise")) == 1
        assert world.sandbox.effects("clone") == []
        declare(world)
        world.land_rounds(instance, "pets", 1)
        one_of_each(world)


@pytest.mark.usefixtures("hasty")
def test_a_pool_stays_with_its_owner_and_its_account(world: World) -> None:
    begin(world)
    with world.instance() as instance:
        world.land_rounds(instance, "pets", 1)
        before = world.status("pets")
        declare(world, owner="somebody-else")
        moved = world.next_step("pets")
        assert isinstance(moved, Wait)
        with pytest.raises(UserError, match=r"bound to owner 'sandbox-team'.*'somebody-else'"):
            world.open_round("pets")
        assert world.status("pets") == before

        declare(world)
        key = world.open_round("pets")
        world.sandbox.stop()
        state, kept = world.home.sandbox, world.root / "first sandbox"
        state.rename(kept)
        world.start_sandbox(creating_reads=0, export_reads=0)
        assert "account_uid" in complaint(world.run(instance, "pets", "prepare_round", key))
        assert world.sandbox.effects() == []

        world.sandbox.stop()
        shutil.rmtree(state)
        kept.rename(state)
        world.sandbox.restart()
        world.land_rounds(instance, "pets", 2)
    one_of_each(world, 2)


def test_a_low_rate_limit_is_waited_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(world, burst_per_second=6)
    met: list[int] = []
    real = transport.error_from

    def noted(call: str, status: int, *rest: Any, **more: Any) -> Exception:
        met.append(status)
        return real(call, status, *rest, **more)

    monkeypatch.setattr(transport, "error_from", noted)
    with world.instance() as instance:
        world.land_rounds(instance, "pets", 2)
    assert 429 in met
    one_of_each(world, 2)
    assert [entry["labelled"] for entry in world.status("pets")["rounds"]] == [3, 3]


@pytest.fixture
def crash(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Die once for each kind of effect named here: after the platform has answered, before the ledger knows."""
    left = set(KINDS)
    real = journal.settle

    def settle(tx: Any, effect: journal.Effect, state: str, **more: Any) -> None:
        if effect.kind in left:
            left.remove(effect.kind)
            raise RuntimeError("the machine lost power")
        real(tx, effect, state, **more)

    monkeypatch.setattr(journal, "settle", settle)
    return left


@pytest.fixture
def lose_answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[str]]:
    """Let the connection break once for each kind of effect, when the server has done what it was asked."""
    ends = {
        "/manual-upload/": "dataset",
        "/create-from-existing/": "clone",
        "/approve/": "approve",
        "/exports/": "export",
    }
    real = httpx.HTTPTransport.handle_request

    def begin_losing() -> set[str]:
        left = set(KINDS)

        def handle(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
            response = real(self, request)
            kind = next((kind for end, kind in ends.items() if request.url.path.endswith(end)), None)
            if request.method == "POST" and kind in left:
                left.remove(kind)
                response.read()
                response.close()
                raise httpx.ReadError("connection reset", request=request)
            return response

        monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle)
        return left

    return begin_losing


def test_whatever_happened_without_our_knowledge_is_adopted_not_repeated(
    world: World, crash: set[str], lose_answers: Callable[[], set[str]]
) -> None:
    begin(world)
    with world.instance() as instance:
        run = functools.partial(world.run, instance, "pets")
        assert run("prepare_pool").success
        first = world.open_round("pets")
        deaths = 0
        for stretch in STRETCHES:
            while not (result := run(stretch, first)).success:
                assert "lost power" in failure(result)
                deaths += 1
                assert deaths <= len(KINDS)
        assert (deaths, crash) == (4, set())
        settled = dict.fromkeys(KINDS, ("adopted", 1)) | {"upload": ("done", 1)}
        assert {kind: (row["state"], row["sends"]) for kind, row in world.effects(first).items()} == settled
        one_of_each(world)
        assert world.landed("pets") == [first]

        lost = lose_answers()
        second = world.open_round("pets")
        for stretch in STRETCHES:
            result = run(stretch, second)
            assert result.success, failure(result)
        assert lost == set()
        assert {kind: (row["state"], row["sends"]) for kind, row in world.effects(second).items()} == settled
        one_of_each(world, 2)
        assert world.landed("pets") == [first, second]
    pool = world.status("pets")
    assert [entry["labelled"] for entry in pool["rounds"]] == [3, 3]
    assert pool["money"] == {"USD": 0.3}
