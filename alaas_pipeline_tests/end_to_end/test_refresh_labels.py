"""Labels that change after a round has landed, and names of labels that nobody accepted; people work on the sandbox behind our back."""

import json

import dagster as dg
import pytest
from typer.testing import CliRunner

from alaas_pipeline.assets.common import rounds_of
from alaas_pipeline.automation.jobs import job_name
from alaas_pipeline.cli import app
from alaas_pipeline.definitions import build_defs
from alaas_pipeline.errors import UserError
from alaas_pipeline.labels.refresh import Refreshed, refresh
from alaas_pipeline.ledger import label_names, landing
from alaas_pipeline.ledger.landing import Version
from alaas_pipeline_tests.bench import Bench
from alaas_pipeline_tests.end_to_end.world import QUIET, failure


def correct(bench: Bench, key: str, *labels: str | None) -> None:
    """Give the round's first images these labels on the sandbox; None refuses an image."""
    project = bench.uid(key, "clone")
    for number, label in enumerate(labels):
        bench.write(
            "UPDATE tasks SET result = ?, label = ?, refusal_reason = ?, annotation_uid = ? WHERE uid = "
            "(SELECT uid FROM tasks WHERE project_uid = ? ORDER BY seq LIMIT 1 OFFSET ?)",
            "labelled" if label else "refused", label, None if label else "blurred", f"{project[:-1]}{number}" if label else None, project,
            number,
        )  # fmt: skip


def landed(bench: Bench, *labels: str | None) -> str:
    """A landed round of two images with these labels."""
    key = bench.open_round()
    bench.bring(key, "export")
    bench.finish(key)
    correct(bench, key, *labels)
    bench.perform("export", key)
    bench.land(key)
    return key


def again(bench: Bench, key: str, wait_s: float = 10.0) -> Refreshed:
    return refresh(bench.ledger, bench.store, bench.effects(), key, wait_s)


def served(bench: Bench, key: str) -> list[list[str]]:
    """The labels that serve."""
    with bench.ledger.transaction() as tx:
        return sorted(row["labels"] for row in landing.current(tx, key))


def versions(bench: Bench, key: str) -> list[Version]:
    with bench.ledger.transaction() as tx:
        return landing.versions(tx, key)


def says(*words: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == status, done.output
    return done.stderr.removeprefix("Error: ") if status else done.stdout


def test_nothing_changed_and_growth(here: Bench) -> None:
    key = landed(here, "cat", None)
    assert says("refresh-labels", key) == f"{key}: nothing changed; version 1 of its labels serves.\n"
    assert here.effect(key, "export").remote_name.endswith("-export-2")
    correct(here, key, "cat", "cat")
    assert says("refresh-labels", key).startswith(
        f"{key}: version 3 of its labels serves from now on.\n  1 added; first: "
    )
    assert served(here, key) == [["cat"], ["cat"]]
    assert [one.state for one in versions(here, key)] == ["serves", "same", "serves"]
    assert (here.state(key), here.made("export"), here.effect(key, "export").state) == ("landed", 3, "done")
    assert here.compare().findings[0].kind == "in sync"


def test_a_changed_label_waits_for_a_person(here: Bench, instance: dg.DagsterInstance) -> None:
    key = landed(here, "cat", "dog")
    correct(here, key, "dog", "dog")
    told = says("refresh-labels", key)
    assert (
        f"{key}: version 2 of its labels waits for a person; version 1 serves on.\n  1 other labels; first: cats/"
        in told
    )
    assert f"alaas-pipeline accept-labels {key} --version 2\n" in told
    assert served(here, key) == [["cat"], ["dog"]]
    (entry,) = json.loads(says("status", "--json"))["pools"][0]["rounds"]
    assert (entry["landing"]["version"], entry["landing"]["state"]) == (2, "held")
    assert f"  {key}: version 2 of its labels waits: 1 other labels; first: cats/" in says("status")
    assert "nothing changed; version 2 of its labels waits for a person." in says("refresh-labels", key)

    instance.add_dynamic_partitions(str(rounds_of(here.pool).name), [key])
    run = build_defs().resolve_job_def(job_name(here.pool, "land_round")).execute_in_process(
        instance=instance, partition_key=key, run_config=QUIET, raise_on_error=False,
        asset_selection=[dg.AssetKey([here.pool, "labels"])],
    )  # fmt: skip
    assert run.success, failure(run)
    (event,) = run.asset_materializations_for_node(f"{here.pool}__labels")
    assert (event.metadata["version"].value, event.metadata["held_version"].value) == (1, 2)
    (row,) = event.metadata["differs"].value.records  # type: ignore[union-attr]
    assert (row.data["what"], row.data["before"], row.data["after"]) == ("other labels", "cat", "dog")

    steered = build_defs().resolve_job_def(job_name(here.pool, "steer_round")).execute_in_process(
        instance=instance, partition_key=key, raise_on_error=False,
        run_config=QUIET | {"ops": {"steer_round": {"config": {"action": "accept_labels", "by": "Ada"}}}},
    )  # fmt: skip
    assert steered.success, failure(steered)
    assert says("accept-labels", key) == f"Version 2 of the labels of {key} serves.\n"
    assert served(here, key) == [["dog"], ["dog"]]
    assert versions(here, key)[1].decided_by == "Ada"
    correct(here, key, None, "dog")
    assert "1 lost; first: " in says("refresh-labels", key)
    assert says("refuse-labels", key) == f"Version 4 of the labels of {key} is refused; version 2 serves.\n"
    assert "does not wait for a decision: it was refused" in says("accept-labels", key, status=1)
    assert served(here, key) == [["dog"], ["dog"]]


def test_an_export_that_was_asked_for_is_gone_on_with(bench: Bench) -> None:
    key = landed(bench, "cat", "dog")
    correct(bench, key, "dog", "dog")

    # Dead before the ledger knew of the answer; then with the export not ready in time.
    effects, settled = bench.effects(), pytest.MonkeyPatch()
    with settled.context() as patched:
        patched.setattr("alaas_pipeline.ledger.journal.settle", _die)
        with pytest.raises(KeyboardInterrupt):
            effects.refresh_export(key)
    assert (bench.effect(key, "export").state, bench.made("export")) == ("intended", 2)
    assert bench.compare().findings[0].kind == "adopt"
    assert bench.perform("export", key).name.endswith("-export-2")
    assert (bench.effect(key, "export").state, bench.state(key)) == ("adopted", "landed")
    bench.slow_export(key, 1)
    with pytest.raises(UserError, match=rf"for 0 s\. Nothing is lost.*alaas-pipeline refresh-labels {key}"):
        again(bench, key, wait_s=0)
    assert again(bench, key).version.state == "held"
    assert (bench.made("export"), len(versions(bench, key))) == (2, 2)
    assert bench.perform("export", key).uid == bench.uid(key, "export")


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_an_export_that_fails_is_told_and_another_one_is_asked_for(bench: Bench) -> None:
    key = landed(bench, "cat", "dog")
    bench.effects().refresh_export(key)
    bench.sandbox.delete("export", bench.uid(key, "export"))
    with pytest.raises(UserError, match=rf"could not make the export .* of {key} \(status 'failed'\)"):
        again(bench, key)
    assert (bench.state(key), served(bench, key)) == ("landed", [["cat"], ["dog"]])
    assert again(bench, key).told == f"{key}: nothing changed; version 1 of its labels serves."
    assert bench.effect(key, "export").attempt == 3


def test_an_export_without_a_name_that_has_landed_is_not_taken_for_the_next_one(bench: Bench) -> None:
    key = landed(bench, "cat", "dog")
    bench.write("UPDATE exports SET name = '' WHERE uid = ?", bench.uid(key, "export"))
    correct(bench, key, "dog", "dog")
    assert again(bench, key).version.state == "held"
    assert (bench.effect(key, "export").attempt, bench.effect(key, "export").sends) == (2, 1)


def test_a_new_name_in_a_later_export_waits_while_the_round_stays_landed(bench: Bench) -> None:
    key = landed(bench, "cat", None)
    correct(bench, key, "cat", "Cat")
    held_for = "names of labels that nobody accepted (new: 'Cat' (accepted is 'cat': only case or spaces differ))"
    assert again(bench, key).version.held_for == held_for
    assert (bench.state(key), served(bench, key)) == ("landed", [[], ["cat"]])
    bench.steer(key, "accept-labels")
    assert served(bench, key) == [["Cat"], ["cat"]]


def test_only_a_landed_round_is_refreshed(bench: Bench) -> None:
    key = bench.open_round()
    with pytest.raises(UserError, match=r"in state 'quoted' and has not landed, so there are no labels to refresh"):
        again(bench, key)


@pytest.mark.parametrize("mended", [False, True])
def test_names_that_nobody_accepted_stop_the_round(here: Bench, mended: bool) -> None:
    landed(here, "auto", "bus")
    with pytest.raises(UserError) as caught:
        landed(here, "car", "bus")
    key = f"{here.pool}.r0002"
    (held,) = versions(here, key)
    told = (
        f"its export, kept as {held.file}, has names of labels that nobody accepted (new: 'car'; gone since: 'auto' - renamed?). "
        f"To accept names and labels: alaas-pipeline accept-labels {key}; when the names are mended on Avala: alaas-pipeline retry {key}, "
        "which asks for a new export"
    )
    assert str(caught.value) == f"Round {key}: {told}"
    assert (here.state(key), here.note(key), held.state, served(here, key)) == ("needs_person", told, "held", [])
    assert here.store.exists(held.file)
    # Landing it again says the same.
    with pytest.raises(UserError, match=r"nobody accepted \(new: 'car'"):
        here.land(key)
    if mended:
        correct(here, key, "auto", "bus")
        assert says("retry", key) == f"Round {key} goes on from 'labelled'.\n"
        here.perform("export", key)
        here.land(key)
        assert [one.state for one in versions(here, key)] == ["refused", "serves"]
    else:
        assert says("accept-labels", key, "--by", "Ada") == f"Version 1 of the labels of {key} serves.\n"
    assert (here.state(key), served(here, key)) == ("landed", sorted([["auto" if mended else "car"], ["bus"]]))
    with here.ledger.transaction() as tx:
        names = label_names.accepted(tx, here.pool)
    assert names == ({"auto", "bus"} if mended else {"auto", "bus", "car"})
    assert here.made("export") == (3 if mended else 2)


def test_launching_the_run_again_asks_the_same_question_again(bench: Bench) -> None:
    landed(bench, "auto", "bus")
    with pytest.raises(UserError):
        landed(bench, "Auto", "bus")
    key = f"{bench.pool}.r0002"
    bench.perform("export", key)
    with pytest.raises(UserError, match=r"'Auto' \(accepted is 'auto': only case or spaces differ\)"):
        bench.land(key)
    assert (bench.state(key), len(versions(bench, key)), bench.made("export")) == ("needs_person", 1, 2)
    assert bench.steer(key, "refuse-labels").endswith(
        f"none serves: Ada refused its labels. To ask for another export: alaas-pipeline retry {key}."
    )
    bench.perform("export", key)
    with pytest.raises(UserError, match="the labels of this export were refused"):
        bench.land(key)
    assert bench.steer(key, "retry") == f"Round {key} goes on from 'labelled'."
