import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from alaas_pipeline.alaas import scan as scan_module
from alaas_pipeline.alaas.scan import ManifestReport, scan
from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.engine.images import ImageLimits
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import facts, images
from alaas_pipeline.ledger.facts import Facts
from alaas_pipeline.ledger.images import Counts, Replaced
from alaas_pipeline.sources import ManifestSource, SourceFile
from alaas_pipeline_tests.alaas.stand_ins import TinyEncoder, WatchedSource, picture, put
from alaas_pipeline_tests.builders import pool_settings

CATS = pool_settings()


def refusals(service: PoolService) -> dict[str, str]:
    with service.ledger.transaction() as tx:
        return {row["path"]: row["reason"] for row in images.refusals(tx, "cats")}


def test_new_images_are_read_once(service: PoolService, photos: Path) -> None:
    put(photos, 1, 2, 3)
    source = WatchedSource(photos)
    report = service.scan(CATS, source)
    assert (report.listed, report.read, report.gone) == (3, 3, 0)
    assert (
        report.counts
        == Counts(total=3, selected=0, remaining=3, refused=0, duplicates=0, embedded=0)
        == service.counts("cats")
    )
    assert sorted(source.reads) == ["0001.png", "0002.png", "0003.png"]
    again = service.scan(CATS, source)
    assert (again.listed, again.read, again.counts) == (3, 0, report.counts)
    assert len(source.reads) == 3
    put(photos, 4)
    assert service.scan(CATS, source).read == 1
    assert source.reads[3:] == ["0004.png"]


def test_a_slow_source_is_asked_for_several_files_at_once(service: PoolService, photos: Path) -> None:
    put(photos, *range(12))
    source = WatchedSource(photos)
    # Nobody goes on before four are there.
    together = threading.Barrier(4, timeout=30)

    def wait(path: str) -> None:
        together.wait()

    source.on_read = wait
    assert service.scan(CATS, source).counts.total == 12
    assert service.embed(CATS, source, lambda _: TinyEncoder()).embedded_now == 12


def test_the_pool_and_its_grant_are_made(service: PoolService, photos: Path) -> None:
    put(photos, 1)
    service.scan(CATS, WatchedSource(photos))
    assert service.usage("cats").granted == 10_000
    service.scan(pool_settings(credit_grant=20_000), WatchedSource(photos))
    assert service.usage("cats").granted == 20_000


def test_what_an_image_is_gets_written(service: PoolService, photos: Path) -> None:
    (photos / "b" / "猫").mkdir(parents=True)
    (photos / "b" / "猫" / "x.png").write_bytes(picture(1))
    service.scan(CATS, WatchedSource(photos))
    with service.ledger.transaction() as tx:
        (row,) = images.details(tx, "cats", list(images.ids(tx, "cats"))).values()
    assert (row["path"], row["image_id"], row["format"], row["mode"]) == ("b/猫/x.png", "b/猫/x.png", "png", "RGB")
    assert (row["width"], row["shown_height"], row["frames"], row["bytes"]) == (4, 4, 1, len(picture(1)))


def test_changed_bytes_under_the_same_path_are_a_new_image(service: PoolService, photos: Path) -> None:
    put(photos, 1, 2)
    source = WatchedSource(photos)
    service.scan(CATS, source)
    (photos / "0001.png").write_bytes(picture(99))
    os.utime(photos / "0001.png", ns=(1, 1))
    report = service.scan(CATS, source)
    assert (report.read, report.gone, report.counts.total) == (1, 0, 2)
    with service.ledger.transaction() as tx:
        assert len(images.ids(tx, "cats")) == 3
        assert len(images.not_pickable(tx, "cats")) == 1


def test_what_became_of_replaced_images_is_told(service: PoolService, photos: Path) -> None:
    put(photos, 1, 2, 3)
    (photos / "copy of 2.png").write_bytes(picture(2))
    source = WatchedSource(photos)
    assert service.scan(CATS, source).replaced == ()
    with service.ledger.transaction() as tx:
        old = images.digests_by_path(tx, "cats")
    for name, number in (("0001.png", 11), ("0002.png", 12)):
        (photos / name).write_bytes(picture(number))
        os.utime(photos / name, ns=(1, 1))
    replaced = service.scan(CATS, source).replaced
    with service.ledger.transaction() as tx:
        new = images.digests_by_path(tx, "cats")
        assert images.not_pickable(tx, "cats") == [old["0001.png"]]
    assert replaced == (
        Replaced("0001.png", old["0001.png"], new["0001.png"], retired=True, picked=False),
        Replaced("0002.png", old["0002.png"], new["0002.png"], retired=False, picked=False),
    )
    assert service.scan(CATS, source).replaced == ()


def test_a_file_that_changes_between_listing_and_reading_is_read_at_the_next_scan(
    service: PoolService, photos: Path
) -> None:
    put(photos, 1, 2)
    source = WatchedSource(photos)

    def change(path: str) -> None:
        if path == "0001.png":
            (photos / path).write_bytes(picture(9))
            os.utime(photos / path, ns=(7, 7))

    source.on_read = change
    assert service.scan(CATS, source).counts == Counts(1, 0, 1, 1, 0, 0)
    assert "changed while it was read" in refusals(service)["0001.png"]
    source.on_read = lambda path: None
    report = service.scan(CATS, source)
    assert (report.read, report.counts.total, report.counts.refused) == (1, 2, 0)


def test_a_manifest_as_the_source_brings_images_and_facts(service: PoolService, photos: Path) -> None:
    put(photos, 1, 2)
    manifest = photos / "list.csv"
    manifest.write_text(
        "id,uri,group,night\na,0001.png,drive 1,yes\nb,0001.png,,\nc,0002.png,,\nd,none.png,,\n,0002.png,,\n"
    )
    report = service.scan(CATS, ManifestSource(manifest, lambda: None))
    assert report.counts == Counts(total=2, selected=0, remaining=2, refused=2, duplicates=1, embedded=0)
    assert report.manifest is None
    assert set(refusals(service)) == {"d", "list.csv, line 6"}
    with service.ledger.transaction() as tx:
        known = sorted((fact for said in facts.of_pool(tx, "cats").values() for fact in said), key=str)
    assert known == [Facts("a", "drive 1", {"night": "yes"}), Facts("b", None, {}), Facts("c", None, {})]
    # Nothing is read again; a row that is mended counts, and one that is gone takes its image away.
    assert service.scan(CATS, ManifestSource(manifest, lambda: None)).read == 0
    manifest.write_text("id,uri\na,0001.png\nc,0001.png\ne,0002.png\n")
    report = service.scan(CATS, ManifestSource(manifest, lambda: None))
    assert (report.read, report.gone, report.counts.total, report.counts.refused) == (2, 3, 2, 0)
    assert [one.path for one in report.replaced] == ["c"]


def test_files_whose_version_is_not_told_are_read_at_each_scan(service: PoolService, photos: Path) -> None:
    class Silent(WatchedSource):
        def list(self) -> Iterator[SourceFile]:
            return (replace(file, version="") for file in super().list())

    put(photos, 1, 2)
    (photos / "link.png").symlink_to(photos / "none")
    source = Silent(photos)
    assert service.scan(CATS, source).read == 3
    (photos / "0001.png").write_bytes(picture(9))
    report = service.scan(CATS, source)
    assert (report.read, [one.path for one in report.replaced]) == (2, ["0001.png"])


def test_gone_and_back_again(service: PoolService, photos: Path) -> None:
    put(photos, 1, 2)
    source = WatchedSource(photos)
    service.scan(CATS, source)
    (photos / "0001.png").rename(photos / "hidden")
    hidden = (photos / "hidden").rename(photos.parent / "elsewhere")
    report = service.scan(CATS, source)
    assert (report.listed, report.gone, report.counts.total) == (1, 1, 1)
    assert service.scan(CATS, source).gone == 0
    hidden.rename(photos / "0001.png")
    report = service.scan(CATS, source)
    assert (report.read, report.gone, report.counts.total) == (1, 0, 2)
    (photos / "0002.png").rename(photos / "renamed.png")
    report = service.scan(CATS, source)
    assert (report.gone, report.counts.total, report.counts.duplicates) == (1, 2, 0)


def test_equal_bytes_are_one_image(service: PoolService, photos: Path) -> None:
    for name in ("c.png", "a.png", "b.png"):
        (photos / name).write_bytes(picture(1))
    assert service.scan(CATS, WatchedSource(photos)).counts == Counts(1, 0, 1, 0, 2, 0)
    with service.ledger.transaction() as tx:
        assert [(row["path"], row["image_id"]) for row in images.duplicates(tx, "cats")] == [
            ("b.png", "a.png"),
            ("c.png", "a.png"),
        ]
    (photos / "A.png").write_bytes(picture(1))
    assert service.scan(CATS, WatchedSource(photos)).counts.duplicates == 3


def test_bad_files_are_listed_with_reasons_and_stop_nothing(service: PoolService, photos: Path) -> None:
    whole = picture(1, "JPEG")
    put(photos, 1)
    (photos / "cut.jpg").write_bytes(whole[:-40])
    (photos / "empty.png").touch()
    (photos / "text.jpg").write_text("not a picture")
    (photos / "doc").write_bytes(b"%PDF-1.7")
    (photos / "notes.txt").write_text("not listed at all")
    (photos / "link.png").symlink_to(photos.parent / "outside.png")
    (photos / "anim.gif").write_bytes(picture(2, "GIF"))
    report = service.scan(CATS, WatchedSource(photos))
    assert (report.listed, report.counts.total, report.counts.refused) == (7, 1, 6)
    reasons = refusals(service)
    assert list(reasons) == ["anim.gif", "cut.jpg", "doc", "empty.png", "link.png", "text.jpg"]
    for path, word in zip(reasons, ["gif", "ends before", "PDF", "empty", "link", "not an image"], strict=True):
        assert word in reasons[path]
    # A GIF has a vector of its own, but the platform would not take it.
    with service.ledger.transaction() as tx:
        (gif,) = images.not_pickable(tx, "cats")
        assert gif in images.to_embed(tx, "cats", "any")
    assert service.scan(CATS, WatchedSource(photos)).counts == report.counts


def test_a_file_that_cannot_be_read_is_tried_again_when_it_changes(service: PoolService, photos: Path) -> None:
    put(photos, 1, 2)
    limits = ImageLimits(max_bytes=len(picture(1)) - 1)
    assert scan(service.ledger, CATS, WatchedSource(photos), limits).counts == Counts(0, 0, 0, 2, 0, 0)
    assert all("larger than the limit" in reason for reason in refusals(service).values())
    os.utime(photos / "0001.png", ns=(5, 5))
    assert service.scan(CATS, WatchedSource(photos)).counts == Counts(1, 0, 1, 1, 0, 0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder.rmdir(), "does not exist"),
        (lambda folder: None, "holds no images. Put images there, or correct 'source' in pools.yaml."),
        (lambda folder: (folder / "readme.txt").write_text("x"), "holds no images"),
    ],
)
def test_a_source_with_nothing_in_it(service: PoolService, photos: Path, make, says: str) -> None:
    make(photos)
    with pytest.raises(UserError, match=says) as caught:
        service.scan(CATS, WatchedSource(photos))
    assert str(photos) in str(caught.value)


def test_a_source_that_is_gone_for_a_while_takes_no_image_away(service: PoolService, photos: Path) -> None:
    put(photos, 1, 2)
    before = service.scan(CATS, WatchedSource(photos)).counts
    photos.rename(photos.with_name("unmounted"))
    with pytest.raises(UserError, match="does not exist"):
        service.scan(CATS, WatchedSource(photos))
    photos.mkdir()
    with pytest.raises(UserError, match="holds no images"):
        service.scan(CATS, WatchedSource(photos))
    assert service.counts("cats") == before


def test_what_was_read_before_an_interruption_is_kept(
    service: PoolService, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "CHUNK", 2)
    put(photos, *range(5))
    source = WatchedSource(photos)

    def fail(path: str) -> None:
        if path == "0004.png":
            raise UserError("the network is down")

    source.on_read = fail
    with pytest.raises(UserError, match="network is down"):
        service.scan(CATS, source)
    assert service.counts("cats").total == 4
    source.on_read = lambda path: None
    source.reads.clear()
    assert service.scan(CATS, source).counts.total == 5
    assert source.reads == ["0004.png"]


def test_the_manifest_is_read_at_each_scan_and_no_row_vanishes(service: PoolService, photos: Path) -> None:
    def known() -> list[Facts]:
        with service.ledger.transaction() as tx:
            return sorted((fact for facts_of in facts.of_pool(tx, "cats").values() for fact in facts_of), key=str)

    put(photos, 1, 2, 3)
    manifest = photos / "manifest.csv"
    settings = pool_settings(manifest=str(manifest))
    manifest.write_text("id,group,night\n0001.png,drive 1,yes\n0002.png,,\n0009.png,drive 1,\n")
    assert service.scan(settings, WatchedSource(photos)).manifest == ManifestReport(3, 2, ["0009.png"], 1)
    first = [Facts("0001.png", "drive 1", {"night": "yes"}), Facts("0002.png", None, {})]
    assert known() == first
    put(photos, 9)
    assert service.scan(settings, WatchedSource(photos)).manifest == ManifestReport(3, 3, [], 1)
    assert known() == [*first, Facts("0009.png", "drive 1", {})]

    manifest.write_text("id,group\n0001.png,drive 2\n0001.png,drive 2\n")
    put(photos, 4)
    source = WatchedSource(photos)
    with pytest.raises(UserError, match=r"line 3: .*0001.png. stands twice"):
        service.scan(settings, source)
    assert source.reads == []
    assert len(known()) == 3
    assert service.scan(CATS, source).manifest is None
    assert known() == []
