"""`select-file` and `pick` as they are typed."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from alaas_pipeline.cli import app
from alaas_pipeline.engine.select import select
from alaas_pipeline.picking import folder as folder_module
from alaas_pipeline_tests.engine.pools import long_tailed, noise
from alaas_pipeline_tests.picking.looks import Looks, photographs

KEYS = {"id", "kind", "gain", "covers", "nearest", "distance", "reason"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALAAS_HOME", str(tmp_path / "home"))
    return tmp_path


def typed(*arguments: Any, status: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == status, result.output
    return result


def rows(result: Result) -> list[int]:
    return [int(line) for line in result.stdout.splitlines()]


def test_rows_in_pick_order_are_those_of_the_engine() -> None:
    vectors, _ = long_tailed(1, 300)
    np.save("v.npy", vectors)
    ids = [str(row) for row in range(300)]
    expected = select(ids, vectors, 12, strategy="explore")
    result = typed("select-file", "v.npy", "--k", 12, "--strategy", "explore")
    assert rows(result) == [int(pick.id) for pick in [*expected.representatives, *expected.outliers]]
    assert "Selecting 12 of 300 images" in result.stderr
    document = json.loads(typed("select-file", "v.npy", "--k", 12, "--strategy", "explore", "--json").stdout)
    assert (document["strategy"], document["k"]) == ("explore", 12)
    assert document["metrics"] == expected.metrics
    assert [pick["id"] for pick in document["outliers"]] == [pick.id for pick in expected.outliers]
    assert all(pick.keys() == {"row", *KEYS} and pick["row"] == int(pick["id"]) for pick in document["picks"])
    assert document["picks"][1]["reason"] == expected.representatives[1].reason


def test_rounds_typed_never_repeat_and_end_with_status_3() -> None:
    np.save("v.npy", noise(30).astype(np.float16))
    Path("done.txt").write_text("")
    for left in (12, 12, 6):
        result = typed("select-file", "v.npy", "--k", 12, "--selected", "done.txt")
        assert len(rows(result)) == left
        with Path("done.txt").open("a") as file:
            file.write(result.stdout)
    assert result.stderr.splitlines()[-1] == "12 were asked for and 6 left: these are all."
    assert len(set(Path("done.txt").read_text().split())) == 30
    over = typed("select-file", "v.npy", "--k", 12, "--selected", "done.txt", status=3)
    assert over.stdout == ""
    assert over.stderr == "pool_exhausted: every row of v.npy was picked or labelled before. Add some to go on.\n"
    np.save("none.npy", np.empty((0, 4)))
    assert typed("select-file", "none.npy", "--k", 1, status=3).stderr.startswith("pool_exhausted: none.npy is empty.")


def test_rows_with_a_label_count_as_selected() -> None:
    names = [f"é{row}" for row in range(30)]
    pl.DataFrame({"id": names, "embedding": noise(30).tolist()}).write_parquet("v.parquet")
    Path("labels.csv").write_text("id,label\n" + "".join(f"{name},cat\n" for name in names[:20]) + "é29,\n")
    Path("done.txt").write_text("é20\n21\n")
    arguments = ("select-file", "v.parquet", "--k", 30, "--labels", "labels.csv", "--selected", "done.txt")
    assert sorted(rows(typed(*arguments))) == list(range(22, 30))
    document = json.loads(typed(*arguments, "--json").stdout)
    assert {pick["id"] for pick in document["picks"]} == set(names[22:])


def test_mistakes_are_one_line() -> None:
    vectors = noise(30)
    vectors[4, 0] = vectors[9, 1] = np.nan
    np.save("nan.npy", vectors)
    np.save("v.npy", noise(30))
    Path("done.txt").write_text("3\n30\n")
    for arguments, told in (
        (("nan.npy",), "Error: nan.npy: The vectors of these ids hold NaN or infinity: 4, 9. Embed them again."),
        (("v.npy", "--strategy", "best"), "Error: v.npy: The strategy 'best' is unknown: use one of "),
        (("v.npy", "--selected", "done.txt"), "Error: done.txt, line 2: '30' is not in v.npy, which has rows 0 to 29."),
        (("v.npy", "--labels", "gone.csv"), "Error: There is no file gone.csv."),
    ):
        result = typed("select-file", *arguments, "--k", 3, status=1)
        (line,) = result.stderr.splitlines()
        assert line.startswith(told)
        assert result.stdout == ""
    assert "'--k'" in typed("select-file", "v.npy", "--k", 0, status=2).stderr


def test_logging_is_left_as_it_was() -> None:
    logger = logging.getLogger("alaas_pipeline")
    before = (logger.level, logger.propagate, list(logger.handlers))
    typed("select-file", "gone.npy", "--k", 1, status=1)
    assert (logger.level, logger.propagate, logger.handlers) == before


def test_a_folder_is_picked_and_shown(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks()
    monkeypatch.setattr(folder_module, "load_encoder", lambda spec, **_: looks.load(spec))
    photographs(here / "photos", 9)
    (here / "photos" / "text.jpg").write_text("no image")
    result = typed("pick", "photos", "--k", 4, "--copy-to", "copies")
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert len(set(paths)) == 4
    assert all(path.is_file() for path in paths)
    assert [path.read_bytes() for path in sorted(Path("copies").iterdir())] == [path.read_bytes() for path in paths]
    assert "not used: text.jpg: The content is not an image" in result.stderr
    assert "Embedded 10 images in" in result.stderr
    assert Path("picks.html").read_text().count("<img ") == 4

    again = typed("pick", "photos", "--k", 20, "--out", "other.html", "--json")
    document = json.loads(again.stdout)
    assert {pick["path"] for pick in document["picks"]} == set(map(str, Path("photos").rglob("*.png")))
    assert (document["encoder"], document["sheet"]) == ("looks-0", "other.html")
    assert document["bad"] == [
        {
            "path": "text.jpg",
            "digest": hashlib.sha256(b"no image").hexdigest(),
            "reason": "The content is not an image, whatever the file is called.",
        }
    ]
    assert (looks.loads, looks.seen) == (["efficientnet-lite0"], 9)
    assert "20 were asked for and 9 left: these are all." in again.stderr


def test_what_must_fail_fails_before_anything_is_embedded(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks()
    monkeypatch.setattr(folder_module, "load_encoder", lambda spec, **_: looks.load(spec))
    photographs(here / "photos", 3)
    for arguments in (
        ("photos", "--out", "gone/picks.html"), ("photos", "--copy-to", "photos/picked"), ("photos", "--encoder", "x"), ("gone",),
    ):  # fmt: skip
        result = typed("pick", *arguments, "--k", 2, status=1)
        assert len(result.stderr.splitlines()) == 1, result.stderr
    assert looks.loads == []
