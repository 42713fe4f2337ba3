"""The demo's photographs, its table, and what it says when it cannot run."""

import csv
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.demo import run_demo
from alaas_pipeline.demo.accuracy import accuracy
from alaas_pipeline.demo.photos import class_counts, prepare_photos
from alaas_pipeline.demo.table import demo_table
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home
from alaas_pipeline.ledger import Ledger, Transaction, credits, landing, pools, pushes, quotes
from alaas_pipeline.ledger.status import status
from alaas_pipeline.store import Store
from alaas_pipeline_tests.ledger.fill import ROUND, add_images, advance, open_with_picks, outcome


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An installation that nothing has been done with, and an environment that is put back."""
    monkeypatch.setenv("ALAAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    monkeypatch.delenv("ALAAS_POOLS", raising=False)
    return Home(tmp_path / "home")


def test_the_photographs_are_put_in_place_once(home: Home) -> None:
    truth = prepare_photos(home)
    photos = sorted((home.demo / "solar_cells").iterdir())
    assert len(photos) == 2624
    assert {photo.suffix for photo in photos} == {".png"}
    with truth.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["file"] for row in rows) == [f"solar_cells/{photo.name}" for photo in photos]
    counts = class_counts(truth)
    assert sum(counts.values()) == 2624
    # The table in the data set's own description, by type of module and probability of a defect.
    assert counts == {
        "monocrystalline, defective": 313,
        "monocrystalline, intact": 588,
        "monocrystalline, possibly defective": 117,
        "monocrystalline, probably defective": 56,
        "polycrystalline, defective": 402,
        "polycrystalline, intact": 920,
        "polycrystalline, possibly defective": 178,
        "polycrystalline, probably defective": 50,
    }
    before = {photo: photo.stat().st_mtime_ns for photo in photos}
    photos[0].unlink()
    prepare_photos(home)
    after = {photo: photo.stat().st_mtime_ns for photo in sorted((home.demo / "solar_cells").iterdir())}
    assert [photo for photo in photos if after[photo] != before[photo]] == photos[:1]


def landed_round(tx: Transaction, names: list[str], labels: dict[str, str], key: str) -> None:
    """A round with a quote of 0.05 an image that landed with these labels; the others were refused."""
    open_with_picks(tx, *names)
    credits.reserve(tx, "cats", key, 100, "x", key)
    credits.settle(tx, "cats", key, 10 + 25 * len(names), "x", key)
    digests = [outcome(name).digest for name in names]
    quote = quotes.make(tx, key, digests, 50_000, "USD")
    quotes.accept(tx, key, quote.digest, "Ada")
    pushes.plan(tx, key, {one: one for one in digests})
    pushes.uploaded(tx, key, digests)
    landing.record(
        tx, "cats", key, export_uid=key, export_digest=key, schema=[], schema_digest="s", file="f", quarantined=[],
        outcomes=[outcome(name, "labelled", labels[name]) if name in labels else outcome(name, "refused") for name in names],
    )  # fmt: skip
    advance(tx, key, "quoted", "uploaded", "cloned", "approved", "labelled", "exported", "landed")


def test_the_table_at_the_end(home: Home) -> None:
    service = PoolService(Ledger(home.ledger), Store(str(home.files)), home)
    with service.ledger.transaction() as tx:
        pools.ensure(tx, "cats", "Cats")
        add_images(tx, "a", "b", "c", "d")
        credits.grant_up_to(tx, "cats", 1000)
        credits.reserve(tx, "cats", "embed", 20, "embed")
        credits.settle(tx, "cats", "embed", 20, "embed")
        landed_round(tx, ["a", "b"], {"a": "intact", "b": "cracked"}, ROUND)
        landed_round(tx, ["c"], {}, "cats.r0002")
    (document,) = status(service.ledger, "cats")["pools"]
    lines = demo_table(service, document, {"intact": 4, "cracked": 1}, {ROUND: (0.75, 0.6)}).splitlines()
    assert [line.split("  ")[0].strip() for line in lines[:4]] == ["round", "----------", "cats.r0001", "cats.r0002"]
    assert " ".join(lines[2].split()) == "cats.r0001 2 2 2 0 60 0.10 2 of 2 1.4 of 2 75.0 % 60.0 %"
    assert " ".join(lines[3].split()) == "cats.r0002 1 1 0 1 35 0.05 2 of 2 1.6 of 2"
    text = "\n".join(lines[4:])
    assert "Credits: 115 spent (20 on embedding, 95 on selecting) of 1,000 granted, 0 reserved, 885 left." in text
    assert "Money:   0.15 for labelling, as quoted and accepted." in text
    assert "* A simulation: the true classes of this pool are known" in text


def test_accuracy_is_of_the_images_without_a_label() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [0.4, 0.6]], np.float32)
    classes = np.array(["a", "a", "b", "b", "a"])
    assert accuracy(vectors, classes, np.array([0, 2]), np.array(["a", "b"])) == pytest.approx(2 / 3)
    assert accuracy(vectors, classes, np.array([0, 2]), np.array(["b", "b"])) == pytest.approx(1 / 3)
    assert accuracy(vectors, classes, np.arange(5), classes) == 1


def test_another_pools_file_is_refused_by_name(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "pools.yaml"
    other.write_text((Path(__file__).parent.parent / "pools.yaml").read_text().replace("Solar cells", "Cats"))
    monkeypatch.setenv("ALAAS_POOLS", str(other))
    with pytest.raises(UserError) as caught:
        run_demo(1)
    told = f"The demo runs the pool 'solar_cells', which {other} does not declare. Put it back, or unset ALAAS_POOLS."
    assert str(caught.value) == told
    assert not home.root.exists()


def test_photographs_that_are_not_installed_are_said(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = util.find_spec
    monkeypatch.setattr(
        util, "find_spec", lambda name, *more: None if name == "elpv_dataset" else find_spec(name, *more)
    )
    with pytest.raises(UserError, match=r"photographs are not installed. Run: pip install 'alaas-pipeline\[demo\]'"):
        run_demo(1)
    assert not home.ledger.exists()
