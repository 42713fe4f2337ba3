"""The billable step: only on a yes to exactly the quote, only once, and never for a round that has no project."""

import dagster as dg
from typer.testing import CliRunner

from alaas_pipeline.automation.steps import Step, Wait
from alaas_pipeline.cli import app
from alaas_pipeline_tests.end_to_end.world import World, complaint, failure, paint, pool_entry, stored, verdict

MANUAL = {"policy": "manual"}


def begin(world: World) -> None:
    paint(world.root / "photos", {"cats": 5, "dogs": 5})
    world.declare(pool_entry("Pets", str(world.root / "photos"), images_per_round=3, approval=MANUAL))
    world.start_sandbox(creating_reads=0, export_reads=0)


def answer(digest: str) -> dict:
    return {"ops": {"pets__avala_approval": {"config": {"accept_quote": digest, "accepted_by": "Ada"}}}}


def run(world: World, instance: dg.DagsterInstance, stretch: str, key: str | None = None, config: dict | None = None):
    return world.run(instance, "pets", stretch, key, config)


def test_nothing_is_billed_before_a_yes_to_exactly_this_quote(world: World) -> None:
    begin(world)
    with world.instance() as instance:
        assert run(world, instance, "prepare_pool").success
        key = world.open_round("pets")

        refused = complaint(run(world, instance, "approve_round", key))
        assert "has no project to approve (state: open)" in refused
        assert "nothing was sent" in refused
        assert world.sandbox.effects() == []

        assert run(world, instance, "prepare_round", key).success
        quote = world.status("pets")["rounds"][0]["quote"]
        waiting = run(world, instance, "approve_round", key)
        assert waiting.success
        assert stored(waiting) == []
        passed, says = verdict(waiting, "is_accepted")
        assert not passed
        command = f"alaas-pipeline approve {key} --quote {quote['digest']}"
        assert command in says["waiting"]
        assert says["quote_digest"] == quote["digest"]
        (observed,) = waiting.get_asset_observation_events()
        assert command in str(observed.asset_observation_data.asset_observation.metadata["waiting"].value)
        assert world.next_step("pets") == Step("approve_round", key, "asked")
        assert world.sandbox.effects("approve") == []

        wrong = complaint(run(world, instance, "approve_round", key, answer("0123456789abcdef")))
        assert "0123456789abcdef" in wrong
        assert quote["digest"] in wrong
        assert world.status("pets")["rounds"][0]["decision"] is None
        assert world.sandbox.effects("approve") == []

        right = run(world, instance, "approve_round", key, answer(quote["digest"]))
        assert right.success, failure(right)
        assert stored(right) == ["avala_approval"]
        assert verdict(right, "is_accepted") == (True, {"round": key, "decision": "accepted", "by": "Ada"})
        for config in (None, answer(quote["digest"])):
            assert run(world, instance, "approve_round", key, config).success
        assert len(world.sandbox.effects("approve")) == 1
        assert world.status("pets")["money"] == {"USD": 0.15}
        assert world.next_step("pets") == Step("request_export", key, "attempt 1")
    assert world.leaks() == []


def test_a_typed_yes_lets_the_loop_go_on_and_a_typed_no_ends_the_round(world: World) -> None:
    begin(world)
    command = CliRunner()
    with world.instance() as instance:
        assert run(world, instance, "prepare_pool").success
        first = world.open_round("pets")
        assert run(world, instance, "prepare_round", first).success
        digest = world.status("pets")["rounds"][0]["quote"]["digest"]
        no = command.invoke(app, ["approve", first, "--quote", "0123456789abcdef"])
        assert no.exit_code == 1
        assert digest in no.stderr
        assert "Traceback" not in no.output
        assert world.next_step("pets") == Step("approve_round", first, "asked")
        yes = command.invoke(app, ["approve", first, "--quote", digest, "--by", "Ada"])
        assert yes.exit_code == 0, yes.output
        assert "3 images" in yes.output
        assert world.next_step("pets") == Step("approve_round", first, "accepted")
        assert world.sandbox.effects("approve") == []
        world.land_rounds(instance, "pets", 1)
        assert len(world.sandbox.effects("approve")) == 1

        second = world.open_round("pets")
        assert run(world, instance, "prepare_round", second).success
        assert command.invoke(app, ["refuse", second, "--by", "Ada"]).exit_code == 0
        before = world.sandbox.effects()
        for stretch in ("prepare_round", "approve_round", "request_export", "land_round"):
            after = run(world, instance, stretch, second)
            assert after.success, failure(after)
            assert set(stored(after)) <= {"selection", "training_set"}
        assert world.sandbox.effects() == before
        late = complaint(
            run(world, instance, "approve_round", second, answer(world.status("pets")["rounds"][1]["quote"]["digest"]))
        )
        assert "refused by Ada" in late
        waits = world.next_step("pets")
        assert isinstance(waits, Wait)
        assert world.status("pets")["rounds"][1]["note"] == "refused by Ada"

        auto = {"policy": "auto", "max_images_per_round": 2, "max_money_per_round": "1.00"}
        world.declare(pool_entry("Pets", str(world.root / "photos"), images_per_round=3, approval=auto))
        opened = command.invoke(app, ["open-round", "pets"])
        assert opened.exit_code == 0, opened.output
        third = opened.stdout.strip()
        assert third == "pets.r0003"
        assert run(world, instance, "prepare_round", third).success
        beyond = run(world, instance, "approve_round", third)
        assert beyond.success
        assert stored(beyond) == []
        assert "Beyond the policy's limits: 3 of 2 images this round." in verdict(beyond, "is_accepted")[1]["waiting"]
        assert len(world.sandbox.effects("approve")) == 1
    picks = [name for entry in world.status("pets")["rounds"] for name in entry["picked"]]
    assert len(picks) == len(set(picks)) == 9
