"""The pages for a person, read over HTTP as a browser reads them."""

import io
import json
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from alaas_pipeline.sandbox.blobs import Blobs
from alaas_pipeline.sandbox.page import html
from alaas_pipeline.sandbox.pictures import Thumbnails
from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox.conftest import Serve
from alaas_pipeline_tests.sandbox_process import LIDAR_TEMPLATE_UID, NO_TLS, SandboxProcess

ROUND_NAME = "alaas-my_pool-r0001-0123456789ab"


class Seen(HTMLParser):
    """What a browser makes of a page: its tags with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, name: str) -> list[str]:
        """The values of one attribute."""
        return [given for found, attrs in self.tags if found == tag and (given := attrs.get(name)) is not None]


def see(api: Api, path: str = "") -> Seen:
    answer = api.admin(path).raise_for_status()
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    return Seen(answer.text)


def photo(size: tuple[int, int], orientation: int | None = None) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    # The left half is black: it shows which way up a thumbnail is.
    image = Image.new("RGB", size, "white")
    image.paste("black", (0, 0, size[0] // 2, size[1]))
    image.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def opened(answer: httpx.Response) -> Image.Image:
    assert answer.raise_for_status().headers["content-type"] == "image/jpeg"
    return Image.open(io.BytesIO(answer.content))


def item_of(api: Api, project: str, key: str) -> str:
    return next(task["item_uid"] for task in api.tasks(project) if task["key"] == key)


def test_an_empty_sandbox_says_what_will_come(serve: Serve) -> None:
    api = serve()
    seen = see(api)
    for words in ("No project yet", "No dataset yet", "No export yet", "a person answers"):
        assert words in seen.text
    assert httpx.get(f"{api.root}/_sandbox", verify=NO_TLS).headers["location"] == "/_sandbox/"


def test_the_overview_lists_what_there_is(serve: Serve) -> None:
    api = serve(truth="subfolder", pace=0, annotators=2)
    waiting = api.project(ROUND_NAME, {"a/1.png": picture(1), "b/2.png": picture(2)})
    active = api.project("half-known", {"a/3.png": picture(3), "top.png": picture(4)})
    api.act(active, "approve")
    export = api.export({"project": active})
    seen = see(api)
    for words in (ROUND_NAME, "pending-approval", "half-known", "1 of 2", "Label 1 images", "2 simulated annotators"):
        assert words in seen.text
    assert "alaas-pipeline approve my_pool.r0001 --quote DIGEST" in seen.text
    assert {f"/_sandbox/projects/{waiting}", f"/_sandbox/projects/{active}/label"} <= set(seen.all("a", "href"))
    assert f"/_sandbox/projects/{waiting}/label" not in seen.all("a", "href")
    assert len(seen.all("img", "src")) == 4
    assert set(seen.all("img", "loading")) == {"lazy"}
    # Nothing signed stands in the page; the link signs anew.
    file = f"/_sandbox/exports/{export['uid']}/file"
    assert file in seen.all("a", "href")
    assert "/_storage/" not in str(seen.tags)
    got = api.storage.get(api.root + file, follow_redirects=True).raise_for_status()
    assert got.content == api.storage.get(export["download_url"]).content


def test_names_are_escaped_everywhere(serve: Serve) -> None:
    api = serve()
    name = "\"><script>alert(1)</script>'&amp;"
    key = '<img src=x onerror="alert(1)">.png'
    uid = api.dataset("plain", {key: picture(1)})["uid"]
    project = api.clone(uid, name).raise_for_status().json()["uid"]
    api.act(project, "approve")
    (task,) = api.tasks(project)
    label = '</span><b onclick="alert(1)">'
    answer = {"label": label, "boxes": [{"label": "'\"<i>", "x": 0, "y": 0, "width": 2, "height": 2}]}
    api.admin(f"projects/{project}/tasks/{task['uid']}/answer", answer).raise_for_status()
    for path in ("", f"projects/{project}", f"projects/{project}/label", f"datasets/{uid}"):
        seen = see(api, path)
        scripts = [attrs for tag, attrs in seen.tags if tag == "script"]
        assert [set(attrs) for attrs in scripts] == [{"src", "defer"}]
        assert not {attr for _, attrs in seen.tags for attr in attrs if attr.startswith("on")}
        assert name in seen.text or path.startswith("datasets")
    assert key in see(api, f"datasets/{uid}").text
    assert f"{label}, 1 box" in see(api, f"projects/{project}").text
    (labels,) = see(api, f"projects/{project}/label").all("main", "data-labels")
    assert labels.startswith('["')
    assert "<i>" in labels


def test_long_lists_come_in_pages(serve: Serve) -> None:
    api = serve(creating_reads=0)
    project = api.project("many", {f"{n:03}.png": picture(n) for n in range(70)})
    api.act(project, "approve")
    for task in api.tasks(project)[:3]:
        api.admin(f"projects/{project}/tasks/{task['uid']}/answer", {"refusal_reason": "dark"}).raise_for_status()
    dataset = next(href for href in see(api).all("a", "href") if "/datasets/" in href).removeprefix("/_sandbox/")
    for path in (dataset, f"projects/{project}"):
        first, second = see(api, path), see(api, f"{path}?page=2")
        assert [len(page.all("img", "src")) for page in (first, second)] == [60, 10]
        assert not set(first.all("img", "src")) & set(second.all("img", "src"))
        assert "Page 2 of 2" in see(api, f"{path}?page=99").text
    assert len(see(api, f"projects/{project}?show=refused").all("img", "src")) == 3
    assert "show=pending&page=2" in see(api, f"projects/{project}?show=pending").all("a", "href")[-1]


@pytest.mark.parametrize("path", ["projects/x", "projects/x/label", "datasets/x", "exports/x/file"])
def test_what_is_gone_has_a_page_that_says_so(api: Api, path: str) -> None:
    answer = api.admin(path)
    assert answer.status_code == 404
    assert "Not found" in Seen(answer.text).text


def test_thumbnails_are_small_and_the_right_way_up(serve: Serve) -> None:
    api = serve()
    deep = io.BytesIO()
    Image.linear_gradient("L").convert("I").point(lambda value: value * 200).convert("I;16").save(deep, "PNG")
    clear = io.BytesIO()
    Image.new("RGBA", (40, 30), (255, 0, 0, 0)).save(clear, "PNG")
    files = {"turned.jpg": photo((900, 600), 6), "deep.png": deep.getvalue(), "clear.png": clear.getvalue()}
    project = api.project("thumbs", files)
    api.act(project, "approve")
    turned = item_of(api, project, "turned.jpg")
    assert api.admin(f"items/{turned}").json() == {"uid": turned, "key": "turned.jpg", "width": 600, "height": 900}
    small = opened(answer := api.admin(f"items/{turned}/thumbnail")).convert("L")
    assert small.size == (213, 320)
    # Turned by 90 degrees, the black left half is on top.
    assert [small.getpixel((100, y)) for y in (40, 280)] == pytest.approx([0, 255], abs=10)
    assert "immutable" in answer.headers["cache-control"]
    assert opened(api.admin(f"items/{turned}/image")).size == (600, 900)
    grey = opened(api.admin(f"items/{item_of(api, project, 'deep.png')}/thumbnail")).convert("L")
    assert grey.getextrema() == pytest.approx((0, 255), abs=4)
    see_through = opened(api.admin(f"items/{item_of(api, project, 'clear.png')}/thumbnail"))
    assert see_through.getpixel((20, 15)) == pytest.approx((255, 255, 255), abs=2)
    assert api.admin("items/nothing/thumbnail").status_code == 404


def test_what_is_no_picture_gets_a_placeholder(serve: Serve) -> None:
    api = serve()
    api.upload("points", {"a.pcd": b"# points"})
    uid = api.finalise("points", data_type="lidar").raise_for_status().json()["uid"]
    while api.get(f"/datasets/{uid}/").json()["status"] != "created":
        pass
    body = {"source_project_uid": LIDAR_TEMPLATE_UID, "name": "points", "lidar_dataset_uid": uid}
    project = api.post("/projects/create-from-existing/", json=body).raise_for_status().json()["uid"]
    api.act(project, "approve")
    (task,) = api.tasks(project)
    answer = api.admin(f"items/{task['item_uid']}/thumbnail").raise_for_status()
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "no picture" in answer.text
    assert api.admin(f"items/{task['item_uid']}").json()["width"] is None
    box = {"label": "a", "x": 0, "y": 0, "width": 1, "height": 1}
    refused = api.admin(f"projects/{project}/tasks/{task['uid']}/answer", {"boxes": [box]})
    assert (refused.status_code, list(refused.json())) == (400, ["boxes"])


def test_the_cache_of_thumbnails_is_bounded(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    digests = [blobs.store(photo((64, 48 + n))) for n in range(3)]
    one = Thumbnails(blobs).jpeg(digests[0], 32)
    assert one is not None
    thumbnails = Thumbnails(blobs, limit=2 * len(one) + 50)
    for digest in (digests[0], digests[1], digests[0], digests[2]):
        thumbnails.jpeg(digest, 32)
    for digest in digests:
        blobs.path(digest).unlink()
    # The one that was asked for longest ago went.
    assert [thumbnails.jpeg(digest, 32) is not None for digest in digests] == [True, False, True]


def test_the_labelling_view_knows_the_labels(serve: Serve) -> None:
    def labels_of(api: Api, project: str) -> str:
        return see(api, f"projects/{project}/label").all("main", "data-labels")[0]

    fixed = serve(labels=("cat", "dog"))
    project = fixed.project("fixed", {"1.png": picture(1)})
    assert labels_of(fixed, project) == '["cat", "dog"]'
    waiting = see(fixed, f"projects/{project}/label")
    assert "Waits for approval" in waiting.text
    assert "name" not in waiting.all("input", "id")

    free = serve()
    first = free.project(ROUND_NAME, {"1.png": picture(1), "2.png": picture(2)})
    free.act(first, "approve")
    assert "name" in see(free, f"projects/{first}/label").all("input", "id")
    assert labels_of(free, first) == "[]"
    for task, label in zip(free.tasks(first), ("zebra", "ant"), strict=True):
        free.admin(f"projects/{first}/tasks/{task['uid']}/answer", {"label": label}).raise_for_status()
    # The next round of the pool has the same keys for the same labels; another pool has its own.
    second = free.project("alaas-my_pool-r0002-ffffffffffff", {"3.png": picture(3)})
    other = free.project("alaas-other-r0001-ffffffffffff", {"4.png": picture(4)})
    assert labels_of(free, second) == '["zebra", "ant"]'
    assert labels_of(free, other) == "[]"


def test_scripts_and_style_are_served_and_fit_the_page(serve: Serve) -> None:
    api = serve()
    project = api.project("p", {"1.png": picture(1)})
    seen = see(api, f"projects/{project}/label")
    ids = {attrs.get("id") for _, attrs in seen.tags}
    served: dict[str, Any] = {}
    for path in (*seen.all("script", "src"), *seen.all("link", "href")):
        if path.startswith("/"):
            served[path.rpartition("/")[2]] = api.storage.get(api.root + path).raise_for_status()
    assert set(served) == {"label.js", "page.css"}
    assert served["label.js"].headers["content-type"].startswith("text/javascript")
    assert set(re.findall(r'part\("(\w+)"\)', served["label.js"].text)) <= ids
    folder = Path(html.__file__).parent
    for file in folder.glob("*.*s"):
        assert api.admin(f"page/{file.name}").content == file.read_bytes()
        # Nothing is fetched from elsewhere; a namespace is only a name.
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", file.read_text(encoding="utf-8"))
    for other in ("html.py", "__init__.py", "nothing.js", "..%2Fapp.py"):
        assert api.admin(f"page/{other}").status_code == 404


def test_a_person_finishes_a_project_of_a_real_process(tmp_path: Path) -> None:
    with SandboxProcess() as sandbox, Api(sandbox.start(tmp_path / "state", creating_reads=0)) as api:
        project = api.project("mine", {f"{n}.png": picture(n, size=(64, 48)) for n in range(4)})
        api.act(project, "approve")
        assert "Label 4 images" in see(api, f"projects/{project}").text
        box = {"label": "wheel", "x": 10.5, "y": 4, "width": 20, "height": 99}
        answers: list[dict[str, Any]] = [
            {"label": "car", "boxes": [], "again": False},
            {"refusal_reason": "image unusable", "again": False},
            {"label": None, "boxes": [box, box | {"x": 0}], "again": False},
            {"label": "car", "boxes": [box], "again": False},
        ]
        for task, answer in zip(api.tasks(project), answers, strict=True):
            api.admin(f"projects/{project}/tasks/{task['uid']}/answer", answer).raise_for_status()
        assert api.status(project) == "completed"
        packed = api.storage.get(api.export({"project": project})["download_url"]).content
        assert "Complete" in see(api, f"projects/{project}").text
    content = json.loads(zipfile.ZipFile(io.BytesIO(packed)).read("export.json"))
    found = {
        item["key"]: (item["status"], item["refusal_reason"], [(a["type"], a["label"]) for a in item["annotations"]])
        for item in content["items"]
    }
    whole, boxed = ("classification", "car"), ("bounding_box", "wheel")
    assert found == {
        "0.png": ("completed", None, [whole]),
        "1.png": ("refused", "image unusable", []),
        "2.png": ("completed", None, [boxed, boxed]),
        "3.png": ("completed", None, [whole, boxed]),
    }
    assert content["label_schema"] == ["car", "wheel"]
    drawn = content["items"][3]["annotations"][1]
    # What reached over the edge was cut off there.
    assert [drawn[side] for side in ("x", "y", "width", "height")] == [10.5, 4, 20, 44]
