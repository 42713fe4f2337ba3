"""Every file of the corpus on every way through the product: used as it looks, or refused by name."""

import base64
import hashlib
import io
import json
import os
import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from typer.testing import CliRunner

from alaas_pipeline.alaas.quote import quote
from alaas_pipeline.cli import app
from alaas_pipeline.engine import images as engine_images
from alaas_pipeline.engine.images import FORMATS, RefusedImage, decode_rgb, inspect, thumbnail
from alaas_pipeline.ledger import images, selections
from alaas_pipeline.picking import folder as folder_module
from alaas_pipeline.report.contact_sheet import Tile, contact_sheet, inline_markdown
from alaas_pipeline.sources import FolderSource
from alaas_pipeline_tests.bench import OWNER, Bench, bench, empty_ledger, server
from alaas_pipeline_tests.builders import TEMPLATE, pool_settings
from alaas_pipeline_tests.corpus import folder as corpus_folder
from alaas_pipeline_tests.corpus.broken import broken
from alaas_pipeline_tests.corpus.case import Case, quarters, saved
from alaas_pipeline_tests.corpus.folder import Corpus
from alaas_pipeline_tests.corpus.usable import HEIC, usable
from alaas_pipeline_tests.picking.looks import Looks
from alaas_pipeline_tests.sandbox_process import NO_TLS

__all__ = ["bench", "empty_ledger", "server"]

# Pillow's, on broken metadata: in a user's process they are no errors.
pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning"), pytest.mark.filterwarnings("ignore::RuntimeWarning")]
GROWING = "growing.png"


@cache
def everything() -> tuple[Case, ...]:
    return (*usable(), *broken())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Corpus]:
    """The folder, written once."""
    folder = tmp_path_factory.mktemp("corpus") / "photos"
    return folder, corpus_folder.write(folder)


@pytest.fixture
def growing(corpus: tuple[Path, Corpus], monkeypatch: pytest.MonkeyPatch) -> None:
    """A further file, that is written to whenever it is opened."""
    path, real_open = corpus[0] / GROWING, os.open
    path.write_bytes(b"12345")

    def grow_then_open(name: Any, *args: Any, **options: Any) -> int:
        if str(name) == os.path.realpath(path):
            with path.open("ab") as file:
                file.write(b"6")
        return real_open(name, *args, **options)

    monkeypatch.setattr(os, "open", grow_then_open)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def differs(case: Case, image: Image.Image, off: int) -> bool:
    rgb, scale = image.convert("RGB"), image.width / case.size[0]
    for (x, y), wanted in case.colours.items():
        place = (min(image.width - 1, int(x * scale)), min(image.height - 1, int(y * scale)))
        found: Any = rgb.getpixel(place)
        if max(abs(one - other) for one, other in zip(found, wanted, strict=True)) > off:
            return True
    return False


def test_the_corpus_is_large_and_no_content_stands_twice() -> None:
    cases = everything()
    assert len(cases) >= 240
    assert len({digest(case.data) for case in cases}) == len({case.name for case in cases}) == len(cases)
    assert sum(bool(case.refused) for case in cases) >= 100


def test_good_files_show_what_they_hold() -> None:
    wrong = []
    for case in (case for case in everything() if not case.refused):
        info, image = inspect(case.data), decode_rgb(case.data)
        shown = (info.format, info.frames, (info.shown_width, info.shown_height), info.digest)
        if shown != (case.format, case.frames, case.size, digest(case.data)) or image.mode != "RGB":
            wrong.append((case.name, info))
        if image.size != case.size or differs(case, image, case.off):
            wrong.append((case.name, image))
        small = Image.open(io.BytesIO(thumbnail(case.data, 64, quality=95)))
        if (small.format, max(small.size)) != ("JPEG", 64) or small.info.keys() - {"jfif", "jfif_version", "jfif_unit", "jfif_density"}:  # fmt: skip
            wrong.append((case.name, small))
        # Small details melt in a small picture; the quarters do not.
        if case.size == (64, 48) and len(case.colours) == 4 and differs(case, small, case.off + 16):
            wrong.append((case.name, small))
    assert wrong == []


def test_bad_files_are_refused_with_their_reason_by_everything_that_decodes() -> None:
    wrong = []
    for case in (case for case in everything() if case.refused):
        # What is found before anything is decoded is found by the same code everywhere.
        further = () if case.name.startswith("bombs/") else (decode_rgb, lambda data: thumbnail(data, 64))
        for use in (inspect, *further):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # as in a user's process, where Pillow only warns of bombs
                try:
                    wrong.append((case.name, use(case.data)))
                except RefusedImage as error:
                    if not re.search(case.refused, str(error)):
                        wrong.append((case.name, error))
    assert wrong == []


def test_without_the_extra_heic_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_images, "_formats", lambda: (*FORMATS, "AVIF"))
    with pytest.raises(RefusedImage, match=r"The file is HEIC: .* the extra alaas-pipeline\[heif\]") as caught:
        inspect(HEIC)
    assert caught.value.reason == "unsupported_format"


def test_from_the_folder_to_the_platform(corpus: tuple[Path, Corpus], growing: None, bench: Bench) -> None:
    folder, held = corpus
    source, looks = FolderSource(folder), Looks()
    settings = pool_settings(
        name=bench.pool, key=bench.pool, images_per_round=500, avala={"owner": OWNER, "template": TEMPLATE}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = bench.service.scan(settings, source)
    with bench.ledger.transaction() as tx:
        refused = {row["path"]: row for row in images.refusals(tx, bench.pool)}
        repeated = {row["path"] for row in images.duplicates(tx, bench.pool)}

    # In = usable + refused + copies, by name, each refused one with its reason, and its digest where it could be read.
    good = {name: case for name, case in held.cases.items() if not case.refused and not case.unfit}
    assert {pair[0] for pair in twins()} == set(held.copies)
    listed = held.cases.keys() | held.unreadable.keys() | {*held.copies, GROWING}
    assert {file.path for file in source.list()} == listed
    assert report.listed == report.read == len(listed)
    assert repeated == {pair[1] for pair in twins()}
    assert refused.keys() == listed - good.keys() - set(held.copies)
    assert report.counts.total == len(good)
    for name, case in held.cases.items():
        if name in refused:
            assert re.search(case.refused or "not accepted by the platform", refused[name]["reason"]), name
            assert refused[name]["digest"] == digest(case.data), name
    for name, why in (held.unreadable | {GROWING: "changed while it was read"}).items():
        assert why in refused[name]["reason"], name
        assert refused[name]["digest"] is None

    embedded = bench.service.embed(settings, source, looks.load)
    accepted = [case for case in held.cases.values() if not case.refused]
    assert (embedded.vectors, embedded.failed_now, looks.seen) == (len(accepted), 0, len(accepted))

    key = bench.service.open_round(settings).key
    bench.service.select(key)
    quote(bench.ledger, key)
    with bench.ledger.transaction() as tx:
        picks = [pick["digest"] for pick in selections.picks(tx, key)]
        paths = {one: row["path"] for one, row in images.details(tx, bench.pool, picks).items()}
    assert sorted(picks) == sorted(digest(case.data) for case in good.values())
    dataset = bench.effects(index_wait_s=20.0).push_dataset(key, lambda one: source.read(paths[one], 10**9))
    sent = set()
    with httpx.Client(verify=NO_TLS) as storage:
        for item in bench.client.dataset_items(OWNER, dataset.slug or ""):
            assert item.url is not None
            sent.add(digest(storage.get(item.url.get_secret_value()).raise_for_status().content))
    assert sent == set(picks)


def twins() -> list[tuple[str, str]]:
    """Files with the same content: the one that gives the image its name, and the one left out."""
    return [("links/again.png", "turned/1.png"), ("links/hard.png", "turned/2.png")]


def test_all_of_them_on_one_contact_sheet() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sheet = Image.open(io.BytesIO(contact_sheet([Tile(case.data, case.name) for case in everything()], side=48)))
        preview = inline_markdown([Tile(case.data, case.name) for case in everything()[::17]])
    assert sheet.format == "JPEG"
    assert len(re.findall(r"data:image/jpeg;base64,", preview)) == min(16, len(everything()[::17]))
    for text in re.findall(r"base64,([A-Za-z0-9+/=]+)", preview):
        Image.open(io.BytesIO(base64.b64decode(text))).load()


def test_pick_tells_of_every_file_what_became_of_it(
    corpus: tuple[Path, Corpus], growing: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, held = corpus
    monkeypatch.setenv("ALAAS_HOME", str(tmp_path / "home"))
    looks = Looks()
    monkeypatch.setattr(folder_module, "load_encoder", lambda spec, cache: looks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = CliRunner().invoke(app, ["pick", str(folder), "--k", "400", "--out", str(tmp_path / "p.html"), "--json"])
    assert told.exit_code == 0, told.output
    document = json.loads(told.stdout)
    picked = {os.path.relpath(pick["path"], folder) for pick in document["picks"]}
    bad = {row["path"]: row for row in document["bad"]}
    copies = {pair[1] for pair in twins()}
    assert picked == {name for name, case in held.cases.items() if not case.refused} - copies | {pair[0] for pair in twins()}  # fmt: skip
    assert bad.keys() == {name for name, case in held.cases.items() if case.refused} | held.unreadable.keys() | {GROWING}  # fmt: skip
    assert len(picked) + len(bad) + len(copies) == len(list(FolderSource(folder).list()))
    for name, row in bad.items():
        case = held.cases.get(name)
        assert row["digest"] == (digest(case.data) if case else None)
        assert re.search(case.refused if case else (held.unreadable | {GROWING: "changed"})[name], row["reason"])
    page = (tmp_path / "p.html").read_text()
    assert page.count("<img ") == len(picked)
    assert "<script" not in page


def test_a_name_with_a_line_break_is_told_where_names_are_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALAAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(folder_module, "load_encoder", lambda spec, cache: Looks())
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(("plain.png", "line\nbreak.png")):
        (tmp_path / "photos" / name).write_bytes(saved(quarters(number), "PNG"))
        out = ["--out", str(tmp_path / "p.html")]
        told = CliRunner().invoke(app, ["pick", str(tmp_path / "photos"), "--k", "2", *out])
        assert ("read the paths from --json" in told.stderr) == bool(number)
