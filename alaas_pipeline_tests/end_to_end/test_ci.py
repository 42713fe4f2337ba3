"""The lines that CI users copy, in a shell: one round from photographs to a training set, approved by hand."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline.home import shipped_file
from alaas_pipeline_tests.end_to_end.typed import shell
from alaas_pipeline_tests.end_to_end.world import World, paint, pool_entry

MATERIALIZE = "dagster asset materialize -m alaas_pipeline.definitions --select"
PREPARE_POOL = f"{MATERIALIZE} 'pets/images,pets/embeddings'"
OPEN_ROUND = "alaas-pipeline open-round pets"
PREPARE_ROUND = (
    f"""{MATERIALIZE} 'pets/selection,pets/quote,pets/avala_dataset,pets/avala_project' --partition "$ROUND" """
)
APPROVAL = f"""{MATERIALIZE} 'pets/avala_approval' --partition "$ROUND" """
LABELS = f"""{MATERIALIZE} 'pets/avala_export,pets/labels,pets/training_set' --partition "$ROUND" """
# As CI waits, without its sleep.
UNTIL_LANDED = f"""
for attempt in $(seq 6); do
  {LABELS}
  if alaas-pipeline status pets | grep -q "$ROUND  *landed"; then exit 0; fi
done
exit 1
"""


@pytest.fixture
def ci(world: World, models: Path) -> World:
    """A machine of CI: the pool's photographs, and a DAGSTER_HOME that holds the project's own instance file."""
    paint(world.root / "photos", {"cats": 4, "dogs": 4})
    world.declare(
        pool_entry("Pets", str(world.root / "photos"), images_per_round=4, approval={"policy": "manual"}),
    )
    world.start_sandbox()
    models.mkdir(exist_ok=True)
    world.home.models.symlink_to(models)
    world.home.dagster.mkdir()
    shutil.copyfile(shipped_file("dagster.yaml"), world.home.dagster / "dagster.yaml")
    return world


def typed(world: World, line: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    return shell(line, cwd=world.root, check=check, DAGSTER_HOME=str(world.home.dagster), **variables)


def status_typed(world: World) -> dict[str, Any]:
    return json.loads(typed(world, "alaas-pipeline status pets --json").stdout)["pools"][0]


def test_one_round_by_the_lines_of_the_readme(ci: World) -> None:
    typed(ci, PREPARE_POOL)
    opened = typed(ci, f'ROUND=$({OPEN_ROUND}); echo "[$ROUND]"').stdout
    assert opened == "[pets.r0001]\n"
    typed(ci, PREPARE_ROUND, ROUND="pets.r0001")

    waiting = typed(ci, APPROVAL, ROUND="pets.r0001")
    offer = status_typed(ci)["rounds"][0]
    accept = f"alaas-pipeline approve pets.r0001 --quote {offer['quote']['digest']}"
    assert f"Waiting for a person: 4 images for at most 0.20 USD. To accept: {accept}" in waiting.stderr
    assert (offer["state"], offer["decision"]) == ("cloned", None)
    assert ci.sandbox.effects("approve") == []
    assert accept in typed(ci, "alaas-pipeline status pets").stdout

    typed(ci, f"{accept} --by ci")
    typed(ci, APPROVAL, ROUND="pets.r0001")
    typed(ci, UNTIL_LANDED, ROUND="pets.r0001")

    pool = status_typed(ci)
    (landed,) = pool["rounds"]
    assert (landed["state"], landed["labelled"], landed["pending"]) == ("landed", 4, 0)
    decided = landed["decision"]
    assert (decided["decision"], decided["by"], decided["quote"]) == ("accepted", "ci", offer["quote"]["digest"])
    assert pool["counts"]["embedded"] == 8
    assert [len(ci.sandbox.effects(kind)) for kind in ("finalise", "clone", "approve", "export")] == [1, 1, 1, 1]
    assert (ci.home.files / "pools/pets/training_set/current.json").is_file()
    assert (ci.home.files / "pools/pets/report.html").is_file()


def test_a_round_that_nobody_opened_is_refused_by_its_name(ci: World) -> None:
    # Dagster itself has never heard of the round.
    unknown = typed(ci, PREPARE_ROUND, check=False, ROUND="pets.r0007")
    assert unknown.returncode != 0
    assert "Could not find a partition with key `pets.r0007`" in unknown.stderr
    # Somebody has typed the round into the UI's list of partitions; the ledger has never heard of it.
    with ci.instance() as instance:
        instance.add_dynamic_partitions("rounds.pets", ["pets.r0007"])
    typed_in = typed(ci, PREPARE_ROUND, check=False, ROUND="pets.r0007")
    assert typed_in.returncode == 1
    told = "There is no round 'pets.r0007' in the ledger. Open one with: alaas-pipeline open-round pets"
    assert f"Failure: {told}\n" in typed_in.stderr
    assert ci.sandbox.effects() == []


def test_a_broken_pools_file_is_one_message_for_dagster_too(ci: World) -> None:
    (ci.root / "pools.yaml").write_text("pools: []\n")
    refused = typed(ci, PREPARE_POOL, check=False)
    assert refused.returncode != 0
    last = refused.stderr.strip().splitlines()[-1]
    assert last.endswith(
        f"UserError: {ci.root / 'pools.yaml'} declares no pools. Write a list under 'pools:', one entry for each pool."
    )
