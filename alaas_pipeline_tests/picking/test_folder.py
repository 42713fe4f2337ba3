"""A folder of images becomes vectors once, and leaves a page and copies."""

import os
import re
import sqlite3
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from alaas_pipeline.engine.encoder import DEFAULT_ENCODER
from alaas_pipeline.engine.select import select
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home
from alaas_pipeline.picking import folder as folder_module
from alaas_pipeline.picking.deliver import check_copies, check_page, copy_picks, write_page
from alaas_pipeline.picking.folder import Images, embed_folder
from alaas_pipeline.sources import FolderSource
from alaas_pipeline_tests.picking.looks import Looks, photographs, picture


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return photographs(tmp_path / "photos", 9)


def look(photos: Path, home: Home, looks: Looks, spec: str = DEFAULT_ENCODER) -> Images:
    return embed_folder(photos, spec, home, looks.load)


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_image_has_its_vector_and_the_folder_is_left_alone(photos: Path, home: Home) -> None:
    (photos / "below" / "again.png").write_bytes(picture(4))
    before, looks = listing(photos), Looks()
    images = look(photos, home, looks)
    assert images.paths == sorted(set(before) - {"photo 04.png"})
    assert (images.copies, images.bad, images.encoder_id) == (1, {}, "looks-0")
    assert (images.vectors.dtype, images.vectors.shape) == (np.float16, (9, 24))
    assert listing(photos) == before
    assert [path.name for path in home.root.iterdir()] == ["pick-cache"]


def test_bad_files_are_named_and_stop_nothing(photos: Path, home: Home) -> None:
    (photos / "text.jpg").write_text("no image")
    (photos / "cut.png").write_bytes(picture(3)[:400])
    (photos / "also cut.png").write_bytes(picture(3)[:400])
    (photos / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(photos / "pipe.png")
    looks = Looks()
    images = look(photos, home, looks)
    assert len(images.paths) == 9
    assert list(images.bad) == ["also cut.png", "cut.png", "gone.png", "pipe.png", "text.jpg"]
    assert images.copies == 0
    assert images.bad["text.jpg"] == "The content is not an image, whatever the file is called."
    assert "is a link to something that is not there" in images.bad["gone.png"]
    # What cannot be an image is not decoded again, and needs no encoder.
    again = look(photos, home, looks)
    assert (again.bad, looks.loads, looks.seen) == (images.bad, [DEFAULT_ENCODER], 9)


def test_a_second_look_reads_and_embeds_only_what_is_new(
    photos: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks()
    first = look(photos, home, looks)
    read: list[str] = []
    real = FolderSource.read
    monkeypatch.setattr(FolderSource, "read", lambda self, path, most: read.append(path) or real(self, path, most))
    second = look(photos, home, looks)
    assert (looks.loads, looks.seen, read) == ([DEFAULT_ENCODER], 9, [])
    assert np.array_equal(second.vectors, first.vectors)
    (photos / "new.png").write_bytes(picture(20))
    # A moved image is read, and known by its content.
    (photos / "photo 00.png").rename(photos / "renamed.png")
    third = look(photos, home, looks)
    assert (len(third.paths), looks.seen, set(read)) == (10, 10, {"new.png", "renamed.png"})


def test_an_image_whose_content_changed_is_embedded_again(photos: Path, home: Home) -> None:
    looks = Looks()
    first = look(photos, home, looks)
    (photos / "photo 02.png").write_bytes(picture(30))
    second = look(photos, home, looks)
    row = first.paths.index("photo 02.png")
    assert looks.seen == 10
    assert not np.array_equal(first.vectors[row], second.vectors[row])


def test_each_encoder_has_vectors_of_its_own(photos: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = Looks("looks-0"), Looks("looks-1")
    look(photos, home, old)
    # Other libraries may make another encoder of the same name: it is loaded to see.
    monkeypatch.setattr(folder_module, "_LIBRARIES", ("pillow", "numpy", "no such library"))
    assert look(photos, home, new).encoder_id == "looks-1"
    assert (new.loads, new.seen) == ([DEFAULT_ENCODER], 9)
    # Weights in a folder can change at any time.
    for _ in range(2):
        look(photos, home, new, "local-dir:/model")
    assert (new.loads[1:], new.seen) == (["local-dir:/model"] * 2, 9)


def test_what_fails_for_the_moment_is_tried_again(photos: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, real, reads = Looks(), FolderSource.read, []

    def changes(self: FolderSource, path: str, most: int) -> bytes:
        reads.append(path)
        return real(self, path, most) + b"more" * (path == "photo 02.png" and reads.count(path) == 2)

    monkeypatch.setattr(FolderSource, "read", changes)
    first = look(photos, home, looks)
    assert first.bad == {"photo 02.png": "'photo 02.png' changed while it was read; run again once it is complete."}
    assert len(first.paths) == 8
    assert (look(photos, home, looks).bad, looks.seen) == ({}, 9)


def test_folders_that_hold_nothing(tmp_path: Path, home: Home) -> None:
    with pytest.raises(UserError, match="There is no folder"):
        look(tmp_path / "gone", home, Looks())
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no image\. Give a folder with images"):
        look(tmp_path / "empty", home, Looks())
    (tmp_path / "empty" / "a.jpg").write_text("no")
    with pytest.raises(UserError, match="of 1 files none can be used, the first: The content is not an image"):
        look(tmp_path / "empty", home, Looks())
    with pytest.raises(UserError, match="The encoder 'efficientnet' is unknown"):
        embed_folder(tmp_path, "efficientnet", home)


def test_a_damaged_cache_is_told(photos: Path, home: Home) -> None:
    (home.root / "pick-cache").mkdir(parents=True)
    (home.root / "pick-cache" / "vectors.sqlite").write_bytes(b"scribble" * 200)
    with pytest.raises(UserError, match=r"vectors\.sqlite cannot be used: .*, or delete the file: it is made anew\."):
        look(photos, home, Looks())


def test_the_cache_keeps_no_pictures(photos: Path, home: Home) -> None:
    look(photos, home, Looks())
    with sqlite3.connect(home.root / "pick-cache" / "vectors.sqlite") as database:
        assert database.execute("select count(*), max(length(vector)) from vectors").fetchone() == (9, 48)
    database.close()


def test_a_path_is_told_as_it_stands_on_the_disk(tmp_path: Path, home: Home) -> None:
    apart = unicodedata.normalize("NFD", "fée.png")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / apart).write_bytes(picture(1))
    images = look(tmp_path / "photos", home, Looks())
    assert images.paths == ["fée.png"]
    assert images.place("fée.png").read_bytes() == picture(1)


def test_the_page_holds_every_pick_and_loads_nothing(photos: Path, home: Home, tmp_path: Path) -> None:
    (photos / "<script>alert(1)<!--\u202egnp.png").write_bytes(picture(11))
    (photos / "text.jpg").write_text("no image")
    images = look(photos, home, Looks())
    selection = select(images.paths, images.vectors, 10)
    out = tmp_path / "picks.html"
    out.write_text("an older page")
    (photos / "photo 02.png").unlink()
    write_page(images, "coverage", selection, out)
    page = out.read_text(encoding="utf-8")
    assert len(re.findall(r'<li id="pick\d+">', page)) == 10
    assert page.count("data:image/jpeg;base64,") == 9
    assert "<script" not in page
    assert "\u202e" not in page
    assert not re.search(r'(src|href)="(?!data:image/jpeg;base64,|#pick\d+")', page)
    assert str(tmp_path) not in page
    assert "text.jpg: The content is not an image" in page
    for pick in selection.representatives[1:]:
        assert pick.nearest is not None
        before = 1 + [other.id for other in selection.representatives].index(pick.nearest)
        assert f'<a href="#pick{before}">' in page
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_copies_are_numbered_and_what_changed_is_told(photos: Path, home: Home, tmp_path: Path) -> None:
    images = look(photos, home, Looks())
    (photos / "photo 02.png").write_bytes(picture(40))
    (photos / "photo 04.png").unlink()
    picked = ["photo 06.png", "below/photo 01.png", "photo 02.png", "photo 04.png"]
    failed = copy_picks(images, picked, tmp_path / "a" / "copies")
    assert listing(tmp_path / "a" / "copies") == {"1_photo 06.png": picture(6), "2_photo 01.png": picture(1)}
    assert failed["photo 02.png"] == "The file changed since it was picked; pick again."
    assert "is not in" in failed["photo 04.png"]


def test_places_that_cannot_take_page_or_copies(photos: Path, tmp_path: Path) -> None:
    for bad in (photos, tmp_path / "no such folder" / "picks.html"):
        with pytest.raises(UserError, match="The page cannot be written to"):
            check_page(bad)
    check_page(tmp_path / "picks.html")
    with pytest.raises(UserError, match="is not an empty folder"):
        check_copies(photos / "below", tmp_path / "other")
    with pytest.raises(UserError, match="the copies would be among its images the next time"):
        check_copies(photos / "below" / "picked", photos)
    check_copies(tmp_path / "picked", photos)
