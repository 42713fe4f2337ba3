"""Whatever address an answer names, by whatever way: no connection is opened but to the API itself."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from alaas_pipeline.avala.errors import AvalaError, UnexpectedAnswer
from alaas_pipeline.avala.models import Export
from alaas_pipeline_tests.avala.conftest import FakeTime, Loopback
from alaas_pipeline_tests.avala.tricks import TRICKS


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every name that is looked up and every address that is connected to."""
    told: list[str] = []
    look_up, connect = socket.getaddrinfo, socket.socket.connect

    def looks_up(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        told.append(f"{host}:{port}")
        return look_up(host, port, *args, **more)

    def connects(self: socket.socket, address: Any) -> None:
        told.append(f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address))
        connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", looks_up)
    monkeypatch.setattr(socket.socket, "connect", connects)
    return told


def redirect(location: str, status: int = 302) -> Callable[[Any], None]:
    def answer(handler: Any) -> None:
        handler.send_response(status)
        handler.send_header("Location", location.encode().decode("latin-1"))
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def only(server: Loopback, reached: list[str]) -> bool:
    """Whether nothing else was reached."""
    return set(reached) <= {server.url.removeprefix("http://")}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_link_that_leads_elsewhere_is_not_followed(
    loopback: Callable[[], Loopback], clock: FakeTime, reached: list[str], tmp_path: Path, trick: str
) -> None:
    server = loopback()
    with server.client(clock) as client:
        if trick:
            export = Export.model_validate({"uid": "e1", "status": "exported", "download_url": trick})
            with pytest.raises(UnexpectedAnswer, match="was not used"):
                client.download_export(export, tmp_path / "file", max_bytes=9)
        with pytest.raises(UnexpectedAnswer, match="was not used"):
            client.storage.put(SecretStr(trick), b"x", {})
        with pytest.raises(UnexpectedAnswer, match="was not used"):
            client.storage.post_form(SecretStr(trick), {}, "a.jpg", b"x", "image/jpeg")
    assert reached == []
    assert list(tmp_path.iterdir()) == []


# A line break ends a header, and a port that goes without saying is dropped before a redirect is looked at.
@pytest.mark.parametrize("trick", [trick for trick in TRICKS if "\r" not in trick and ":443/" not in trick])
def test_a_redirect_that_leads_elsewhere_is_not_followed(
    loopback: Callable[[], Loopback], clock: FakeTime, reached: list[str], tmp_path: Path, trick: str
) -> None:
    server = loopback()
    server.answers["/_storage/e1"] = redirect(f"{server.url}/_storage/e2")
    server.answers["/_storage/e2"] = redirect(trick)
    server.answers["/api/v1/users/me/"] = redirect(trick, 308)
    link = f"{server.url}/_storage/e1?X-Amz-Signature=canary"
    with server.client(clock) as client:
        with pytest.raises(AvalaError) as caught:
            client.download_export(
                Export.model_validate({"uid": "e1", "status": "exported", "download_url": link}), tmp_path / "file", max_bytes=9
            )  # fmt: skip
        with pytest.raises(AvalaError):
            client.me()
    assert "canary" not in str(caught.value)
    assert only(server, reached)
    assert not any("x-avala-api-key" in headers for path, headers in server.seen if path.startswith("/_storage/"))


@pytest.mark.parametrize("trick", [trick for trick in TRICKS if trick.startswith("http")])
def test_a_next_page_elsewhere_is_not_read(
    loopback: Callable[[], Loopback], clock: FakeTime, reached: list[str], trick: str
) -> None:
    server = loopback()

    def page(handler: Any) -> None:
        body = json.dumps({"results": [{"uid": "1"}], "next": f"{trick}?cursor=2"}).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    server.answers["/api/v1/exports/"] = page
    with server.client(clock) as client, pytest.raises(UnexpectedAnswer, match="names a next page"):
        list(client.exports())
    assert only(server, reached)
    assert len(server.seen) == 1
