"""The official client, wholly unmodified, uploads to the sandbox: by HTTPS, to the hosts of its allow-list."""

import hashlib
import json
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from alaas_pipeline_tests.clients.official import COMMAND, Run, runner
from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox_process import API_KEY, SandboxProcess

pytestmark = pytest.mark.clients

FILES = {f"{'cats' if number % 2 else 'dogs'}/{number} ä.png": picture(number) for number in range(5)}
CREATE = """
from avala import Client

made = Client().datasets.create_from_local(
    source=SOURCE, name="by-sdk", slug="by-sdk", data_type="image", workers=2, wait=True, wait_timeout=60
)
print(made.status, made.item_count)
"""
PAGES = """
import json
from avala import Client

seen, sizes, cursor = [], [], None
while True:
    page = Client().datasets.list_items("sandbox-team", DATASET, limit=2, cursor=cursor)
    sizes.append(len(page))
    seen += [item.key for item in page]
    cursor = page.next_cursor
    if not page.has_more:
        break
print(json.dumps({"seen": seen, "sizes": sizes}))
"""


@dataclass
class Uploading:
    """The client, and the sandbox that its uploads find their way to."""

    run: Run
    sandbox: SandboxProcess
    environment: dict[str, str]
    folder: Path

    def stored(self) -> dict[str, str]:
        """SHA-256 of what the storage received, by path."""
        return {row["name"]: row["details"]["sha256"] for row in self.sandbox.effects("upload")}

    def storage_answers(self) -> set[int]:
        """What the storage answered to whatever wanted to change something."""
        rows = [row for row in self.sandbox.requests() if row["path"].startswith("/_storage/")]
        assert rows
        return {row["answered"] for row in rows}

    def through_proxy(self) -> httpx.Client:
        context = ssl.create_default_context(cafile=self.environment["SSL_CERT_FILE"])
        return httpx.Client(proxy=self.environment["HTTPS_PROXY"], verify=context, trust_env=False, timeout=20)


@pytest.fixture(params=["put", "post", "multipart"])
def uploading(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Uploading]:
    for path, data in FILES.items():
        target = tmp_path / "images" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    with SandboxProcess() as sandbox:
        state, ways = tmp_path / "state", tmp_path / "ways"
        base_url = sandbox.start(state, official_uploads=ways, upload_method=request.param, creating_reads=0)
        environment = json.loads((state / "endpoint.json").read_text())["environment"]
        lines = [f"export {name}={value}\n" for name, value in environment.items()]
        assert (ways / "environment").read_text() == "".join(lines)
        yield Uploading(runner(base_url, tmp_path, environment), sandbox, environment, tmp_path / "images")


def told(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_line_uploads_a_folder(uploading: Uploading) -> None:
    words = ("datasets", "upload", "--source", str(uploading.folder), "--name", "by-cli", "--slug", "by-cli")
    told(uploading.run(*COMMAND, *words, "--data-type", "image", "--wait"))
    assert uploading.stored() == {path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()}
    # The storage refuses whoever brings a key (see below), and it has refused nobody.
    assert uploading.storage_answers() <= {200, 204}
    pages = json.loads(told(uploading.run("-c", PAGES.replace("DATASET", repr("by-cli")))))
    assert sorted(pages["seen"]) == sorted(FILES)
    assert pages["sizes"] == [2, 2, 1]


def test_the_sdk_uploads_a_folder(uploading: Uploading) -> None:
    script = CREATE.replace("SOURCE", repr(str(uploading.folder)))
    assert told(uploading.run("-c", script)).split() == ["created", str(len(FILES))]
    assert uploading.storage_answers() <= {200, 204}
    with Api(uploading.sandbox.base_url) as api:
        items = api.get("/datasets/sandbox-team/by-sdk/items/").json()["results"]
        assert {item["key"]: api.storage.get(item["url"]).content for item in items} == FILES


@pytest.mark.parametrize("uploading", ["put"], indirect=True)
def test_the_proxy_leads_to_the_storage_and_nowhere_else(uploading: Uploading) -> None:
    authority = Path(uploading.environment["SSL_CERT_FILE"])
    assert b"PRIVATE" not in authority.read_bytes()
    assert {path.name for path in authority.parent.iterdir()} == {"ca.pem", "environment"}
    with Api(uploading.sandbox.base_url) as api, uploading.through_proxy() as client:
        slot = api.presign("by-hand", "a.png", FILES["dogs/0 ä.png"])
        assert urlsplit(slot["url"])[:2] == ("https", "data.avala.ai")
        with_key = slot["headers"] | {"X-Avala-Api-Key": API_KEY}
        assert client.put(slot["url"], content=FILES["dogs/0 ä.png"], headers=with_key).status_code == 400
        assert uploading.stored() == {}
        assert client.put(slot["url"], content=FILES["dogs/0 ä.png"], headers=slot["headers"]).status_code == 200
        # Neither the API nor the sandbox's own pages can be reached by this way.
        for path in ("/api/v1/users/me/", "/_sandbox/health"):
            answer = client.get(f"https://sandbox.s3.amazonaws.com{path}", headers={"X-Avala-Api-Key": API_KEY})
            assert answer.status_code == 404
        port = urlsplit(uploading.sandbox.base_url).port
        for url in ("https://example.com/", f"https://127.0.0.1:{port}/", "https://data.avala.ai:8443/"):
            with pytest.raises(httpx.ProxyError, match="403"):
                client.get(url)
        assert client.get("http://data.avala.ai/").status_code == 403


@pytest.mark.parametrize("uploading", ["put"], indirect=True)
def test_what_does_not_trust_the_authority_sends_nothing(uploading: Uploading, tmp_path: Path) -> None:
    script = CREATE.replace("SOURCE", repr(str(uploading.folder)))
    # The client would try eight times, with pauses between.
    script = "import avala.resources.datasets as d, avala._uploads as u; d.MAX_RETRIES = u.MAX_RETRIES = 1" + script
    untrusting = {name: value for name, value in uploading.environment.items() if name != "SSL_CERT_FILE"}
    done = runner(uploading.sandbox.base_url, tmp_path / "other", untrusting)("-c", script)
    assert done.returncode != 0
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
    assert uploading.stored() == {}
