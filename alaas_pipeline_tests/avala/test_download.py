"""Downloads from real servers on loopback: capped, whole or not at all, and the key stays at home."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from alaas_pipeline.avala.errors import (
    DownloadTooLarge,
    ServerError,
    StorageRefused,
    TransportFailure,
    UnexpectedAnswer,
)
from alaas_pipeline.avala.models import Export

DATA = bytes(range(256)) * 1_000
DIGEST = hashlib.sha256(DATA).hexdigest()


def send(data: bytes = DATA, status: int = 200, length: int | None = None, **headers: str):
    def answer(handler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def in_turn(*answers: Callable) -> Callable:
    rest = list(answers)
    return lambda handler: (rest.pop(0) if len(rest) > 1 else rest[0])(handler)


def export(url: str | None, status: str = "exported") -> Export:
    return Export.model_validate({"uid": "e1", "status": status, "download_url": url})


def send_export(url: str | None, status: str = "exported"):
    link = "null" if url is None else f'"{url}"'
    return send(f'{{"uid": "e1", "status": "{status}", "download_url": {link}}}'.encode())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "export.zip"


def leftovers(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_a_file_arrives_whole_with_its_digest_and_the_key_stays_at_home(loopback, clock, target: Path) -> None:
    server = loopback()
    server.answers["/_storage/e1"] = send()
    digest = server.client(clock).download_export(export(f"{server.url}/_storage/e1?sig=1"), target, max_bytes=10**6)
    assert digest == DIGEST
    assert target.read_bytes() == DATA
    assert leftovers(target) == ["export.zip"]
    assert "x-avala-api-key" not in server.seen[-1][1]


def test_the_key_goes_along_below_the_api_only(loopback, clock, target: Path) -> None:
    server = loopback()
    server.answers["/api/v1/exports/e1/download"] = send()
    server.client(clock).download_export(export(f"{server.url}/api/v1/exports/e1/download"), target, max_bytes=10**6)
    assert server.seen[-1][1]["x-avala-api-key"].startswith("avk_")


def test_a_redirect_from_the_api_is_followed_without_the_key_and_not_to_other_servers(
    loopback, clock, target: Path
) -> None:
    server, foreign = loopback(), loopback()
    foreign.answers["/x"] = send()
    server.answers["/_storage/e1"] = send()
    server.answers["/api/v1/again"] = send()
    hop = server.answers
    hop["/api/v1/exports/e1/download"] = send(b"", 302, Location="/_storage/hop")
    hop["/_storage/hop"] = send(b"", 307, Location=f"{server.url}/_storage/e1?sig=2")
    link = export(f"{server.url}/api/v1/exports/e1/download")
    assert server.client(clock).download_export(link, target, max_bytes=10**6) == DIGEST
    assert ["x-avala-api-key" in headers for _, headers in server.seen] == [True, False, False]

    hop["/_storage/hop"] = send(b"", 302, Location=f"{server.url}/api/v1/again")
    server.client(clock).download_export(link, target, max_bytes=10**6)
    assert "x-avala-api-key" not in server.seen[-1][1], "not even back at the API"

    hop["/_storage/hop"] = send(b"", 302, Location=f"{foreign.url}/x?sig=CANARY")
    with pytest.raises(UnexpectedAnswer, match="was not used") as caught:
        server.client(clock).download_export(link, target, max_bytes=10**6)
    assert foreign.seen == []
    assert "CANARY" not in str(caught.value)


def test_redirects_in_a_circle_end(loopback, clock, target: Path) -> None:
    server = loopback()
    server.answers["/_storage/e1"] = send(b"", 302, Location="/_storage/e1")
    with pytest.raises(UnexpectedAnswer, match="more than 3 times"):
        server.client(clock).download_export(export(f"{server.url}/_storage/e1"), target, max_bytes=10**6)
    assert len(server.seen) == 4


@pytest.mark.parametrize("status", [302, 304])
def test_a_redirect_that_leads_nowhere_is_an_error(loopback, clock, target: Path, status: int) -> None:
    server = loopback()
    server.answers["/_storage/e1"] = send(b"", status)
    with pytest.raises(UnexpectedAnswer, match="redirect"):
        server.client(clock).download_export(export(f"{server.url}/_storage/e1"), target, max_bytes=10**6)
    assert leftovers(target) == []


@pytest.mark.parametrize(
    "answer", [send(), send(length=10**9), send(gzip.compress(bytes(10**7)), Content_Encoding="gzip")]
)
def test_the_cap_holds_for_announced_sent_and_unpacked_bytes(loopback, clock, target: Path, answer) -> None:
    server = loopback()
    server.answers["/_storage/e1"] = answer
    with pytest.raises(DownloadTooLarge, match="100,000 bytes"):
        server.client(clock).download_export(export(f"{server.url}/_storage/e1"), target, max_bytes=100_000)
    assert leftovers(target) == []


def test_an_earlier_file_stays_when_a_download_fails(loopback, clock, target: Path) -> None:
    target.parent.mkdir(parents=True)
    target.write_bytes(b"earlier")
    server = loopback()
    server.answers["/_storage/e1"] = send(status=500)
    with pytest.raises(ServerError):
        server.client(clock).download_export(export(f"{server.url}/_storage/e1"), target, max_bytes=10**6)
    assert target.read_bytes() == b"earlier"
    assert leftovers(target) == ["export.zip"]


def test_a_download_cut_short_is_begun_anew(loopback, clock, target: Path) -> None:
    server = loopback()

    def cut(handler) -> None:
        handler.close_connection = True
        send(DATA[:100_000], length=len(DATA))(handler)

    server.answers["/_storage/e1"] = in_turn(cut, send(b"", 503), send())
    client = server.client(clock)
    assert client.download_export(export(f"{server.url}/_storage/e1"), target, max_bytes=10**6) == DIGEST
    assert target.read_bytes() == DATA

    server.answers["/_storage/e1"] = cut
    with pytest.raises(TransportFailure):
        client.download_export(export(f"{server.url}/_storage/e1"), target, max_bytes=10**6)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_expired_link_is_asked_for_anew(loopback, clock, target: Path, status: int) -> None:
    server = loopback()
    server.answers["/_storage/old"] = send(b"<Code>Expired</Code>", status)
    server.answers["/_storage/new"] = send()
    server.answers["/api/v1/exports/e1/"] = send_export(f"{server.url}/_storage/new?sig=2")
    client = server.client(clock)
    assert client.download_export(export(f"{server.url}/_storage/old?sig=1"), target, max_bytes=10**6) == DIGEST


def test_links_that_keep_expiring_end_in_one_error(loopback, clock, target: Path) -> None:
    server = loopback()
    server.answers["/_storage/old"] = send(b"", 403)
    server.answers["/api/v1/exports/e1/"] = send_export(f"{server.url}/_storage/old?sig=CANARY")
    with pytest.raises(StorageRefused, match="expired") as caught:
        server.client(clock).download_export(export(f"{server.url}/_storage/old?sig=CANARY"), target, max_bytes=9)
    assert "CANARY" not in str(caught.value)
    assert [path for path, _ in server.seen].count("/_storage/old?sig=CANARY") == 3


def test_a_link_that_comes_late_is_waited_for(loopback, clock, target: Path) -> None:
    server = loopback()
    server.answers["/_storage/e1"] = send()
    server.answers["/api/v1/exports/e1/"] = in_turn(send_export(None), send_export(f"{server.url}/_storage/e1?sig=1"))
    assert server.client(clock).download_export(export(None), target, max_bytes=10**6) == DIGEST
    assert clock.sleeps == [1.0, 2.0]


@pytest.mark.parametrize("status", ["processing", "failed", "exported"])
def test_an_export_without_a_file_says_so(loopback, clock, target: Path, status: str) -> None:
    server = loopback()
    server.answers["/api/v1/exports/e1/"] = send_export(None, status)
    with pytest.raises(UnexpectedAnswer, match=f"is {status} and has no file"):
        server.client(clock).download_export(export(None, status), target, max_bytes=10**6)
