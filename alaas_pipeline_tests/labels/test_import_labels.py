"""Labels that were there before: in = landed + quarantined, each quarantined record with its reason, nothing twice."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline.avala.names import file_name
from alaas_pipeline.errors import UserError
from alaas_pipeline.labels import import_labels
from alaas_pipeline.labels.import_labels import Imported, Importer
from alaas_pipeline.ledger import Ledger, images, imports, landing, pools, rounds
from alaas_pipeline.store import Store
from alaas_pipeline_tests.bench import empty_ledger
from alaas_pipeline_tests.builders import pool_settings
from alaas_pipeline_tests.labels.files import LAYOUTS, Box, Image, avala, coco, yolo, zipped
from alaas_pipeline_tests.ledger.fill import digest, file_row, image_row, open_with_picks

__all__ = ["empty_ledger"]
SIZE = {"width": 100, "height": 80, "shown_width": 100, "shown_height": 80}
KEY = "cats.i0001"


@pytest.fixture
def importer(empty_ledger: Path, tmp_path: Path) -> Importer:
    """A pool of images in folders: two are called c.jpg, one is at two places, one moved, one is gone, two cannot be used."""
    path = tmp_path / "ledger.duckdb"
    shutil.copy(empty_ledger, path)
    ledger = Ledger(path)
    files = ["x/a.jpg", "x/b.jpg", "x/c.jpg", "y/c.jpg", "y/d.jpg", "e.jpg"]
    rows = [image_row(name, **SIZE) for name in (*files, "old/m.jpg", "gone.jpg")]
    found = [
        *(file_row(name, name) for name in (*files, "gone.jpg")),
        file_row("copies/A2.jpg", "x/a.jpg"), file_row("new/n.jpg", "old/m.jpg"),
        file_row("bad.jpg", "bad.jpg"), file_row("locked.jpg", None, reason="permission denied"),
    ]  # fmt: skip
    refused = image_row("bad.jpg", state="refused", reason="it is truncated", width=None, height=None)
    with ledger.transaction() as tx:
        pools.ensure(tx, "cats", "Cats")
        images.record_scan(tx, "cats", found, [*rows, refused], [])
        images.record_scan(tx, "cats", [], [], ["gone.jpg"])
    return Importer(ledger, Store(str(tmp_path / "files")), tmp_path / "locks", pool_settings(), "ada")


def written(importer: Importer, content: bytes, name: str = "labels.bin") -> Path:
    path = importer.locks.parent / name
    path.write_bytes(content)
    return path


def table(importer: Importer, *lines: str, name: str = "labels.csv") -> Path:
    return written(importer, "\n".join(["image,label", *lines]).encode(), name)


def changed(importer: Importer, **how: Any) -> Importer:
    return Importer(**{**vars(importer), **how})


def landed(importer: Importer, key: str = KEY) -> dict[str, list[str]]:
    """Image id -> labels."""
    with importer.ledger.transaction() as tx:
        return {row["image_id"]: row["labels"] for row in landing.current(tx, key)}


def commits(importer: Importer) -> int:
    with importer.ledger.transaction() as tx:
        return tx.value("SELECT number FROM commits")


def reasons(done: Imported) -> dict[str, str]:
    assert len(dict(done.quarantined)) == len(done.quarantined)
    return dict(done.quarantined)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_lands_and_its_file_is_kept(importer: Importer, layout: str) -> None:
    given: Sequence[Image] = [
        Image("x/a.jpg", [Box(), Box("dog", x=1)]),
        Image("d.jpg", [Box("dog")]),
        Image("e.jpg", []),
    ]
    content = LAYOUTS[layout](given)
    done = importer.from_file(written(importer, content))
    assert (done.key, done.landed, done.records) == (KEY, 2, 3)
    assert reasons(done) == {"e.jpg": "it has no label"}
    assert landed(importer) == {"x/a.jpg": ["cat", "dog"], "y/d.jpg": ["dog"]}
    with importer.ledger.transaction() as tx:
        (kept,) = landing.files(tx, KEY)
        boxes = tx.column("SELECT annotations FROM annotations WHERE digest = ?", digest("y/d.jpg"))
        assert tx.column("SELECT imported_by FROM imports") == ["ada"]
        assert [row["reason"] for row in landing.quarantined(tx, KEY)] == ["it has no label"]
        (summary,) = imports.summaries(tx, "cats")
    assert json.loads(boxes[0])[0]["box"] == pytest.approx([10, 20, 30, 40])
    assert importer.store.read_bytes(kept) == content
    assert kept.startswith(f"pools/cats/imports/{KEY}/labels.")
    assert {name: summary[name] for name in ("key", "images", "test_set", "quarantined")} == {
        "key": KEY, "images": 2, "test_set": False, "quarantined": 1,
    }  # fmt: skip


def test_a_folder_of_yolo_is_kept_as_one_archive(importer: Importer) -> None:
    folder = importer.locks.parent / "set"
    (folder / "labels" / "x").mkdir(parents=True)
    (folder / "data.yaml").write_text("names: [cat, dog]")
    (folder / "labels" / "x" / "b.txt").write_text("1 0.5 0.5 0.25 0.5\n")
    (folder / "labels" / "c.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (folder / "image.jpg").write_bytes(b"no label")
    done = importer.from_file(folder)
    assert (done.origin, done.landed, len(done.quarantined)) == ("set", 1, 1)
    assert landed(importer) == {"x/b.jpg": ["dog"]}
    assert importer.from_file(folder).known == KEY
    with importer.ledger.transaction() as tx:
        (kept,) = landing.files(tx, KEY)
    again = Path(importer.store.path(kept))
    assert changed(importer, test_set=True).from_file(again).known == KEY


def test_names_find_an_image_by_path_or_by_a_file_name_of_its_own(importer: Importer) -> None:
    done = importer.from_file(
        table(importer, "copies/A2.jpg,cat", "anywhere/b.jpg,cat", "x/c.jpg,dog", "old/m.jpg,dog", "e.jpg,cat")
    )
    assert done.quarantined == ()
    assert landed(importer) == {
        "x/a.jpg": ["cat"], "x/b.jpg": ["cat"], "x/c.jpg": ["dog"], "old/m.jpg": ["dog"], "e.jpg": ["cat"],
    }  # fmt: skip


def test_the_longest_end_of_a_name_that_fits_decides(importer: Importer) -> None:
    done = importer.from_file(
        table(importer, "set/x/c.jpg,cat", "z/c.jpg,dog", "x/b.jpg,cat", "z/b.jpg,dog", "z/d.jpg,dog", "set/e.jpg,cat", "old/e.jpg,cat")
    )  # fmt: skip
    assert landed(importer) == {"x/c.jpg": ["cat"], "x/b.jpg": ["cat"], "y/d.jpg": ["dog"]}
    assert reasons(done) == {
        "z/c.jpg": "2 images of the pool fit its name; give the path in the source",
        "z/b.jpg": "no image of this path is in the pool, and the image of its file name has a record of its own",
        "set/e.jpg": "2 records are about its image: which one is right is open",
        "old/e.jpg": "2 records are about its image: which one is right is open",
    }


def test_a_name_that_a_round_sent_an_image_under_is_known(importer: Importer) -> None:
    sent = file_name("elsewhere/photo.jpg", digest("x/b.jpg"), "png")
    other = file_name("elsewhere/photo.jpg", digest("another"), "png")
    done = importer.from_file(table(importer, f"{sent},cat", f"{other},cat"))
    assert landed(importer) == {"x/b.jpg": ["cat"]}
    assert reasons(done) == {other: "no image of this name is in the pool"}


def test_no_secret_of_a_name_is_kept_or_shown(importer: Importer) -> None:
    link = "https://bucket.example.com/q.jpg?X-Amz-Signature=0123456789abcdef0123456789abcdef"
    done = importer.from_file(table(importer, "e.jpg,cat", f"{link},cat", f"{link}&x=1,"))
    assert (done.landed, done.records) == (1, 3)
    with importer.ledger.transaction() as tx:
        kept = tx.rows("SELECT * FROM quarantined_records")
    assert "0123456789abcdef" not in f"{done} {kept}"


def test_a_name_is_the_same_however_it_is_composed(importer: Importer) -> None:
    with importer.ledger.transaction() as tx:
        name = "x/Cafe\u0301.jpg"
        images.record_scan(tx, "cats", [file_row(name, name)], [image_row(name, **SIZE)], [])
    assert importer.from_file(table(importer, "x/Caf\u00e9.jpg,cat")).landed == 1


def test_each_record_that_does_not_land_has_its_reason(importer: Importer) -> None:
    with importer.ledger.transaction() as tx:
        open_with_picks(tx, "y/d.jpg")
    assert importer.from_file(table(importer, "e.jpg,cat", name="first.csv")).key == KEY
    done = importer.from_file(
        table(
            importer, "x/b.jpg,cat", "c.jpg,cat", "nobody.jpg,cat", "bad.jpg,cat", "locked.jpg,cat", "gone.jpg,cat", "d.jpg,cat",
            "e.jpg,cat", "x/a.jpg,cat", "A2.jpg,dog", "new/n.jpg,",
        )
    )  # fmt: skip
    assert (done.key, done.landed, done.records) == ("cats.i0002", 1, 11)
    twice = "2 records are about its image: which one is right is open"
    assert reasons(done) == {
        "c.jpg": "2 images of the pool fit its name; give the path in the source",
        "nobody.jpg": "no image of this name is in the pool",
        "bad.jpg": "its image cannot be used: it is truncated",
        "locked.jpg": "its image cannot be used: permission denied",
        "gone.jpg": "its image is no longer in the source",
        "d.jpg": "its image is labelled already by cats.r0001",
        "e.jpg": f"its image is labelled already by {KEY}",
        "x/a.jpg": twice,
        "A2.jpg": twice,
        "new/n.jpg": "line 12, column label: it has no label",
    }
    assert landed(importer, "cats.i0002") == {"x/b.jpg": ["cat"]}


def test_what_annotators_refused_or_have_not_reached_has_no_label(importer: Importer) -> None:
    document = json.loads(avala([Image("x/a.jpg"), Image("x/b.jpg", []), Image("e.jpg", [])]))
    document["items"][1] |= {"status": "refused", "refusal_reason": "blurred"}
    document |= {"project": None, "dataset": {"uid": "d"}}
    done = importer.from_file(written(importer, json.dumps(document).encode()))
    assert landed(importer) == {"x/a.jpg": ["cat"]}
    assert reasons(done) == {
        "x/b.jpg": "it has no label: the annotators refused it (blurred)", "e.jpg": "it has no label",
    }  # fmt: skip


def test_the_same_file_changes_nothing_and_says_so(importer: Importer) -> None:
    path = table(importer, "e.jpg,cat", "nobody.jpg,cat")
    assert importer.from_file(path).key == KEY
    before = commits(importer)
    for again in (path, Path(shutil.copy(path, path.with_name("renamed.csv")))):
        done = changed(importer, test_set=True).from_file(again)
        assert (done.key, done.known, done.test_set, done.records) == (None, KEY, False, 0)
    assert commits(importer) == before
    assert len(importer.store.list("pools/cats/imports")) == 1


@pytest.mark.parametrize("lines", [["nobody.jpg,cat", "c.jpg,dog"], []])
def test_a_file_of_which_nothing_lands_writes_nothing_and_may_come_again(importer: Importer, lines: list[str]) -> None:
    path = table(importer, *lines)
    for _ in range(2):
        done = importer.from_file(path)
        assert (done.key, done.known, done.landed, done.records) == (None, None, 0, len(lines))
    assert commits(importer) == 1
    assert importer.store.list("pools") == []


def test_a_dry_run_tells_the_same_and_writes_nothing(importer: Importer) -> None:
    path = table(importer, "e.jpg,cat", "nobody.jpg,cat")
    tried = importer.from_file(path, dry_run=True)
    assert (tried.key, commits(importer), importer.store.list("pools")) == (None, 1, [])
    done = importer.from_file(path)
    assert (tried.landed, tried.quarantined) == (done.landed, done.quarantined)
    assert (done.key, done.landed, done.records) == (KEY, 1, 2)


def test_a_test_set_is_never_picked_and_does_not_condition_the_picks(importer: Importer) -> None:
    assert changed(importer, test_set=True).from_file(table(importer, "e.jpg,cat")).test_set
    assert importer.from_file(table(importer, "x/a.jpg,cat", name="more.csv")).key == "cats.i0002"
    with importer.ledger.transaction() as tx:
        assert images.selected(tx, "cats") == [digest("x/a.jpg")]
        assert digest("e.jpg") in images.not_pickable(tx, "cats")
        assert [one.test_set for one in imports.of_pool(tx, "cats")] == [True, False]


def test_new_names_of_labels_wait_for_a_person(importer: Importer) -> None:
    assert importer.from_file(table(importer, "e.jpg,cat")).key == KEY
    path = table(importer, "x/a.jpg,Cat", "x/b.jpg,dog", name="more.csv")
    assert "'Cat' (accepted is 'cat': only case or spaces differ)" in importer.from_file(path, dry_run=True).names
    with pytest.raises(
        UserError, match=r"^more.csv has names of labels that nobody accepted: new: 'Cat'.*--accept-names"
    ):
        importer.from_file(path)
    assert landed(importer, "cats.i0002") == {}
    assert changed(importer, accept_names=True).from_file(path).key == "cats.i0002"
    assert importer.from_file(table(importer, "x/c.jpg,Cat", name="third.csv")).key == "cats.i0003"


def test_an_import_waits_for_the_selection_and_stops_when_a_round_opens_meanwhile(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with importer.ledger.transaction() as tx:
        open_with_picks(tx, "y/d.jpg")
        rounds.advance(tx, "cats.r0001", "refused")
    seen: list[str] = []
    locked = import_labels.locked

    def watched(path: Path, what: str, timeout_s: float) -> Any:
        seen.append(path.name)
        return locked(path, what, timeout_s)

    write = Store.write_bytes

    def opens(self: Store, rel: str, data: bytes) -> str:
        with importer.ledger.transaction() as tx:
            rounds.open_next(tx, pool_settings())
        return write(self, rel, data)

    monkeypatch.setattr(import_labels, "locked", watched)
    monkeypatch.setattr(Store, "write_bytes", opens)
    with pytest.raises(UserError, match=r"opened a round meanwhile. Nothing was imported"):
        importer.from_file(table(importer, "e.jpg,cat"))
    assert seen == ["cats.import.lock", "cats.r0001.select.lock"]
    with importer.ledger.transaction() as tx:
        assert imports.of_pool(tx, "cats") == []


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("labels.json", b"{}", "has a structure that is not known"),
        ("labels.json", b"{", "is no valid JSON"),
        ("labels.zip", zipped({"a.txt": b"x"}), "has a structure that is not known"),
        ("labels.zip", zipped({"../a.json": b"{}"}), "unsafe name"),
        ("labels.zip", yolo([Image("a.jpg")])[:-20], "damaged"),
    ],
)
def test_a_file_that_is_no_labels_stops_as_a_whole(importer: Importer, name: str, content: bytes, told: str) -> None:
    with pytest.raises(UserError, match=told):
        importer.from_file(written(importer, content, name))
    assert commits(importer) == 1


def test_what_is_not_there_is_told(importer: Importer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^There is no file .*nowhere.csv"):
        importer.from_file(tmp_path / "nowhere.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"is no YOLO data set: it needs data.yaml or classes.txt"):
        importer.from_file(tmp_path / "empty")
    (tmp_path / "empty" / "classes.txt").write_text("cat\n\x07\n")
    (tmp_path / "empty" / "a.txt").write_text("")
    with pytest.raises(UserError, match=r"tells no names of classes in 'classes.txt'"):
        importer.from_file(tmp_path / "empty")
    path = written(importer, coco([Image("e.jpg")]))
    with pytest.raises(UserError, match=r"^Pool 'dogs' has no images yet. Materialize its 'images' first"):
        changed(importer, settings=pool_settings(name="Dogs")).from_file(path)
