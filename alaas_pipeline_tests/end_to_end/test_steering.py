"""What a person can say about a round and its books: on the command line, from the Launchpad, and by an asset's config."""

import json

import dagster as dg
from typer.testing import CliRunner

from alaas_pipeline.assets.common import rounds_of
from alaas_pipeline.automation.jobs import job_name
from alaas_pipeline.cli import app
from alaas_pipeline.definitions import build_defs
from alaas_pipeline_tests.bench import Bench
from alaas_pipeline_tests.end_to_end.world import QUIET, complaint, failure

AGREED = "Ledger, Avala and files agree. Nothing is to be done."


def says(*words: str, status: int = 0) -> str:
    """Type a command; return what it prints, and its one message when it is refused."""
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == status, done.output
    if status != 1:
        return done.stdout
    assert done.stdout == ""
    (message,) = done.stderr.splitlines()
    return message.removeprefix("Error: ")


def test_a_round_is_steered_by_typing(here: Bench) -> None:
    key = here.open_round()
    for word in ("pause", "resume", "cancel", "archive"):
        assert says(word, key, status=1) == (
            f"Round {key} is in state 'quoted' and has no project on Avala, so there is nothing to {word}. "
            f"To give it up: alaas-pipeline refuse {key}"
        )
    assert says("retry", key) == f"Round {key} goes on from 'quoted'.\n"
    here.bring(key, "approve")
    assert "waits for approval and nothing is billed, so there is nothing to pause" in says("pause", key, status=1)
    assert says("approve", key, "--quote", here.quote(key).digest, "--by", "Ada").startswith("Accepted: 2 images")
    here.perform("approve", key)
    assert "To stop that: alaas-pipeline cancel" in says("refuse", key, status=1)
    assert says("pause", key, "--by", "Ada") == f"Round {key} is paused: its project is paused on Avala.\n"
    assert here.note(key) == "paused by Ada"
    assert says("pause", key) == f"Round {key} is paused: its project is paused on Avala.\n"
    assert says("resume", key) == f"Round {key} is approved: its project is active on Avala.\n"
    assert says("archive", key, status=1) == (
        f"Round {key}: its project is active on Avala, and Avala does not archive such a project."
    )
    assert says("cancel", key) == f"Round {key} is canceled: its project is canceled on Avala.\n"
    assert "is canceled on Avala, and Avala does not resume such a project" in says("resume", key, status=1)
    assert says("archive", key) == f"Round {key} is archived: its project is archived on Avala.\n"
    assert says("pause", "nobody.r0001", status=1).startswith("There is no round 'nobody.r0001' in the ledger.")
    assert {word: here.made(word) for word in ("approve", "pause", "resume", "cancel", "archive")} == dict.fromkeys(
        ("approve", "pause", "resume", "cancel", "archive"), 1
    )


def test_labels_are_not_put_away_before_they_have_landed(here: Bench) -> None:
    key = here.open_round()
    here.bring(key, "export")
    here.finish(key)
    assert says("archive", key, status=1) == (
        f"Round {key} is in state 'labelled': its labels have not landed yet. Archive it after that."
    )


def test_the_books_are_compared_mended_copied_and_put_back_by_typing(here: Bench) -> None:
    key = here.open_round()
    here.bring(key, "approve")
    assert (
        says("reconcile")
        == f"{here.pool}\n  = {key}: in sync; cloned; 2 sent = 0 labelled + 0 refused + 2 pending\n\n{AGREED}\n"
    )
    copy = says("backup").strip()
    here.by_hand(key, "deleted")
    before, found = here.commits(), says("reconcile", here.pool, status=2)
    assert f"  - {key}: missing remotely; its clone " in found
    assert found.endswith("\n\n1 finding. 1 of them can be mended here: alaas-pipeline reconcile --apply.\n")
    assert here.commits() == before
    applied = says("reconcile", "--apply")
    assert applied.startswith(f"{key}: mended (its clone ")
    assert applied.endswith(f"{AGREED}\n")
    assert here.state(key) == "uploaded"

    restored = says("restore", copy).splitlines()
    assert restored[0].startswith(f"Restored: {copy}, with ")
    assert restored[-1] == "Compare with Avala before the next round: alaas-pipeline reconcile"
    lost = says("reconcile", status=2)
    assert "  ! commits " in lost
    assert f"  - {key}: missing remotely" in lost
    last = says("reconcile", "--apply")
    assert "The lost commits are reconciled: nothing else disagrees.\n" in last
    assert last.endswith(f"{AGREED}\n")
    assert says("reconcile").endswith(f"{AGREED}\n")
    assert json.loads(says("status", "--json"))["lost_commits"] == []
    assert says("restore", str(here.home.root / "nothing"), status=1).startswith("There is no file ")


def test_a_round_is_steered_and_the_books_are_compared_from_the_launchpad(
    here: Bench, instance: dg.DagsterInstance
) -> None:
    key, defs = here.open_round(), build_defs()
    here.bring(key, "pause")
    instance.add_dynamic_partitions(str(rounds_of(here.pool).name), [key])

    def run(name: str, round_key: str | None = None, **ops: dict) -> dg.ExecuteInProcessResult:
        config = QUIET | {"ops": {op: {"config": given} for op, given in ops.items()}}
        return defs.resolve_job_def(name).execute_in_process(
            instance=instance, partition_key=round_key, run_config=config, raise_on_error=False
        )

    def steer(action: str) -> dg.ExecuteInProcessResult:
        return run(job_name(here.pool, "steer_round"), key, steer_round={"action": action, "by": "Ada"})

    assert run("reconcile_all").success
    assert steer("pause").success
    assert (here.state(key), here.note(key)) == ("paused", "paused by Ada")
    refused = complaint(steer("archive"))
    assert refused == f"Round {key}: its project is paused on Avala, and Avala does not archive such a project."
    resumed = run(
        job_name(here.pool, "approve_round"),
        key,
        **{f"{here.pool}__avala_approval": {"action": "resume", "accepted_by": "Eve"}},
    )
    assert resumed.success, failure(resumed)
    assert (here.state(key), here.note(key)) == ("approved", "active by Eve")

    here.by_hand(key, "paused")
    red = run("reconcile_all")
    assert not red.success
    assert failure(red).startswith(
        f"{here.pool}\n  ~ {key}: status drift; the round is approved and its project paused\n\n1 finding."
    )
    assert here.state(key) == "approved"
