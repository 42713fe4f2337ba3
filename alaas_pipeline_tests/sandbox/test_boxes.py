"""Boxes: told by a table, drawn by annotators and by people, exported."""

import io
import json
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from alaas_pipeline.sandbox import SandboxError, Settings
from alaas_pipeline.sandbox.rectangles import Rectangle
from alaas_pipeline.sandbox.truth import load_truth
from alaas_pipeline_tests.sandbox.api import Api, picture, table
from alaas_pipeline_tests.sandbox.conftest import Serve

TABLE = "file,label,x,y,width,height\n"
SIZE = (100, 80)


def turned() -> bytes:
    """Stored as 100 by 80 pixels, shown as 80 by 100."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE, "green").save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def exported(api: Api, project: str) -> dict[str, dict[str, Any]]:
    packed = api.storage.get(api.export({"project": project})["download_url"]).content
    content = json.loads(zipfile.ZipFile(io.BytesIO(packed)).read("export.json"))
    return {item["key"]: item for item in content["items"]}


def worked(serve: Serve, truth: str, files: dict[str, bytes], **settings: Any) -> dict[str, dict[str, Any]]:
    api = serve(truth=truth, pace=0, creating_reads=0, **settings)
    project = api.project("boxes", files)
    api.act(project, "approve")
    assert api.status(project) == "completed"
    return exported(api, project)


def sides(annotation: dict[str, Any]) -> list[float]:
    return [annotation[side] for side in ("x", "y", "width", "height")]


def test_a_table_tells_boxes_beside_classes(tmp_path: Path) -> None:
    rows = "a.png,cat,1,2,3.5,4\na.png,dog,5,5,1,1\nb.png,bird,,,,\nb.png,beak,0,0,2,2\nc.png,,0,0,1,1\n"
    truth = load_truth(table(tmp_path, TABLE + rows))
    assert truth.rectangles("", "a.png") == (Rectangle("cat", 1, 2, 3.5, 4), Rectangle("dog", 5, 5, 1, 1))
    assert truth.label("", "a.png") is None
    assert truth.label("", "b__0123456789abcdef.png") == "bird"
    assert truth.rectangles("", "c.png") == (Rectangle("object", 0, 0, 1, 1),)
    assert truth.rectangles("", "unknown.png") == ()
    unnamed = load_truth(table(tmp_path, "file,x,y,width,height\na.png,0,0,1,1\n"))
    assert unnamed.rectangles("", "a.png") == (Rectangle("object", 0, 0, 1, 1),)
    assert load_truth("subfolder").rectangles("", "cats/a.png") == ()


def test_boxes_find_their_image_by_content(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "photo.png").write_bytes(picture(1, size=SIZE))
    truth = table(tmp_path, TABLE + "photo.png,cat,1,2,3,4\n")
    found = worked(serve, truth, {"renamed.png": picture(1, size=SIZE)}, box_jitter=0.0)
    assert sides(found["renamed.png"]["annotations"][0]) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.png,cat,1,2,3,\n", "row 2: a box needs four numbers"),
        ("a.png,cat,1,2,3,x\n", "row 2: a box needs four numbers"),
        ("a.png,cat,1,2,3,4\na.png,cat,1,2,0,4\n", "row 3: a box's width and height"),
        ("a.png,cat,1,2,3,-4\n", "above 0"),
        ("a.png,cat,nan,2,3,4\n", "finite"),
        ("a.png,cat,1,2,inf,4\n", "finite"),
        ("a.png,,,,,\n", "row 2: give both"),
        ("a.png,cat,,,,\na.png,dog,,,,\n", "row 3"),
    ],
)
def test_an_unsound_box_is_refused_and_names_the_row(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(SandboxError, match=message):
        load_truth(table(tmp_path, TABLE + rows))


def test_one_content_cannot_have_two_sets_of_boxes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(picture(1))
    load_truth(table(tmp_path, TABLE + "a.png,cat,0,0,1,1\nb.png,cat,0,0,1,1\n"))
    with pytest.raises(SandboxError, match=r"row 3: b\.png has boxes in another row"):
        load_truth(table(tmp_path, TABLE + "a.png,cat,0,0,1,1\nb.png,cat,0,0,2,2\n"))


def test_annotators_draw_near_the_truth_and_the_same_each_time(tmp_path: Path, serve: Serve) -> None:
    truth = table(tmp_path, TABLE + "a.png,cat,20,10,40,30\na.png,dog,0,0,50,50\na.png,scene,,,,\n")
    files = {"a.png": picture(1, size=SIZE)}
    first = worked(serve, truth, files)["a.png"]
    assert [(one["type"], one["label"]) for one in first["annotations"]] == [
        ("classification", "scene"),
        ("bounding_box", "cat"),
        ("bounding_box", "dog"),
    ]
    drawn = sides(first["annotations"][1])
    assert drawn != [20, 10, 40, 30]
    assert drawn == pytest.approx([20, 10, 40, 30], abs=2 * 0.02 * 40)
    # An edge that lies on the image's stays there, or moves inwards.
    assert min(sides(first["annotations"][2])[:2]) >= 0
    again = worked(serve, truth, files)["a.png"]
    assert [sides(one) for one in again["annotations"][1:]] == [sides(one) for one in first["annotations"][1:]]
    other = worked(serve, truth, files, seed=1)["a.png"]
    assert sides(other["annotations"][1]) != drawn
    exact = worked(serve, truth, files, box_jitter=0.0)["a.png"]
    assert sides(exact["annotations"][1]) == [20, 10, 40, 30]


def test_annotators_mistake_labels_of_boxes(tmp_path: Path, serve: Serve) -> None:
    truth = table(tmp_path, TABLE + "a.png,cat,20,10,40,30\nb.png,dog,0,0,50,50\n")
    files = {"a.png": picture(1, size=SIZE), "b.png": picture(2, size=SIZE)}
    found = worked(serve, truth, files, accuracy=0.0)
    assert [found[key]["annotations"][0]["label"] for key in ("a.png", "b.png")] == ["dog", "cat"]


def test_boxes_lie_on_the_image_as_it_is_shown(tmp_path: Path, serve: Serve) -> None:
    truth = table(tmp_path, TABLE + "turned.jpg,cat,10,85,300,300\nout.png,cat,500,0,5,5\n")
    files = {"turned.jpg": turned(), "out.png": picture(2, size=SIZE)}
    found = worked(serve, truth, files, box_jitter=0.0)
    item = found["turned.jpg"]
    assert (item["width"], item["height"]) == (80, 100)
    assert sides(item["annotations"][0]) == [10, 85, 70, 15]
    # A truth that cannot be drawn holds up nobody.
    assert (found["out.png"]["status"], found["out.png"]["refusal_reason"]) == ("refused", "no box lies on the image")


def test_a_person_draws_and_thinks_again(serve: Serve) -> None:
    api = serve(creating_reads=0)
    project = api.project("drawn", {"a.png": picture(1, size=SIZE), "b.png": picture(2, size=SIZE)})
    api.act(project, "approve")
    first, second = api.tasks(project)
    box = {"label": " wheel ", "x": 1, "y": 2, "width": 3, "height": 4}

    def answer(task: dict[str, Any], **body: Any) -> int:
        return api.admin(f"projects/{project}/tasks/{task['uid']}/answer", body).status_code

    assert answer(first, boxes=[]) == 400
    assert answer(first, boxes=[box], refusal_reason="dark") == 400
    assert answer(first, boxes=[box | {"x": 200}]) == 400
    assert answer(first, boxes=[box | {"width": -3}]) == 400
    assert answer(first, boxes=[{"label": "wheel"}]) == 400
    assert answer(first, boxes=[box]) == 200
    assert api.tasks(project)[0]["boxes"] == [box | {"label": "wheel"}]
    assert answer(first, label="car") == 400
    assert answer(first, label="car", again=True) == 200
    changed = api.tasks(project)[0]
    assert (changed["label"], changed["boxes"], changed["annotator"]) == ("car", [], "person")
    assert answer(second, boxes=[box, box]) == 200
    assert api.status(project) == "completed"
    # The pipeline may have read it by now.
    assert answer(first, label="bus", again=True) == 400
    assert [len(item["annotations"]) for item in exported(api, project).values()] == [1, 2]


def test_what_simulated_annotators_said_stays(serve: Serve) -> None:
    api = serve(truth="subfolder", pace=0)
    project = api.project("said", {"cats/a.png": picture(1), "top.png": picture(2)})
    api.act(project, "approve")
    task = next(task for task in api.tasks(project) if task["label"] == "cats")
    url = f"projects/{project}/tasks/{task['uid']}/answer"
    assert api.admin(url, {"label": "dogs", "again": True}).status_code == 400


def test_a_state_without_boxes_gets_them(tmp_path: Path, serve: Serve) -> None:
    state = tmp_path / "state"
    api = serve(state=state)
    assert api.admin("health").json() == {"status": "ok"}
    with sqlite3.connect(state / "sandbox.sqlite") as con:
        con.execute("DROP TABLE rectangles")
    con.close()
    again = serve(state=state, truth="subfolder", pace=0)
    project = again.project("old", {"cats/a.png": picture(1)})
    again.act(project, "approve")
    assert again.labels(project) == {"cats/a.png": "cats"}


@pytest.mark.parametrize("share", [-0.1, 0.6, float("nan")])
def test_jitter_is_a_share(tmp_path: Path, share: float) -> None:
    with pytest.raises(SandboxError, match="box_jitter"):
        Settings(state=tmp_path, box_jitter=share)
