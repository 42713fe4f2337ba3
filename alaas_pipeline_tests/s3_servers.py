"""S3 over HTTP for the tests: moto's server, a proxy before it that makes faults, and a bucket that is only a long listing."""

import http.client
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from dagster_aws.s3 import S3Resource
from moto.server import ThreadedMotoServer

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    # Keep the developer's own settings, and the metadata service of cloud machines, out of the tests.
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


@contextmanager
def moto() -> Iterator[str]:
    """Serve S3; yields its endpoint."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def use(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything in this process that asks AWS's environment go to this endpoint."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"AWS_ENDPOINT_URL_S3": endpoint, **ENVIRONMENT}.items():
        monkeypatch.setenv(name, value)


def connect(endpoint: str, key: str | None = "testing", secret: str | None = "testing", attempts: int = 1) -> Any:
    return S3Resource(
        endpoint_url=endpoint,
        region_name="us-east-1",
        max_attempts=attempts,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    ).get_client()


@dataclass
class Fault:
    """What happens to some requests. A `code` is answered in their place; without one the answer breaks off half way.

    Attributes:
        code: error code of S3.
        status: of HTTP.
        method: only requests of this method.
        where: only requests whose address has this in it.
        skip: so many of them pass before.
        times: so many of them fail.
    """

    code: str = ""
    status: int = 400
    method: str = ""
    where: str = ""
    skip: int = 0
    times: float = 1

    def meets(self, method: str, path: str) -> bool:
        if self.where not in path or self.method not in ("", method) or not self.times:
            return False
        self.skip -= 1
        if self.skip >= 0:
            return False
        self.times -= 1
        return True


class FaultyS3(ThreadingHTTPServer):
    """Passes requests on, and does as it is told to some of them.

    Attributes:
        faults: what is to go wrong; may be changed at any time.
        seen: method and address of each request.
        endpoint: where it listens.
    """

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = urllib.parse.urlsplit(behind).netloc
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.endpoint = f"http://127.0.0.1:{self.server_port}"

    def count(self, method: str, where: str = "") -> int:
        """How many requests of a method there were."""
        return sum(one == method and where in path for one, path in self.seen)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self) -> None:
        assert isinstance(self.server, FaultyS3)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urllib.parse.unquote(self.path)
        with self.server.lock:
            self.server.seen.append((self.command, path))
            fault = next((one for one in self.server.faults if one.meets(self.command, path)), None)
        if fault and fault.code:
            text = f"<Error><Code>{fault.code}</Code><Message>the key is in here</Message></Error>".encode()
            self._answer(fault.status, [("Content-Type", "application/xml")], text)
            return
        behind = http.client.HTTPConnection(self.server.behind)
        behind.request(
            self.command, self.path, body, {name: value for name, value in self.headers.items() if name != "Expect"}
        )
        answer = behind.getresponse()
        content = answer.read()
        behind.close()
        kept = [
            pair
            for pair in answer.getheaders()
            if pair[0].lower() not in ("connection", "content-length", "date", "server")
        ]
        size = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self._answer(answer.status, kept, content, size, cut=bool(fault))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, size: str | None = None, *, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", size or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def faulty(behind: str) -> Iterator[FaultyS3]:
    """Serve a proxy that makes faults."""
    with FaultyS3(behind) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Listing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pages = 0

    def do_GET(self) -> None:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        page = int(query.get("continuation-token", ["0"])[0])
        more = page + 1 < self.pages
        rows = "".join(
            f"<Contents><Key>drive {page:05}/{row:05}.jpg</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f'<ETag>"{page:016x}{row:016x}"</ETag><Size>{100_000 + row}</Size><StorageClass>STANDARD</StorageClass></Contents>'
            for row in range(1000)
        )
        token = f"<NextContinuationToken>{page + 1}</NextContinuationToken>" if more else ""
        body = (
            f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{rows}{token}</ListBucketResult>".encode()
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def long_listing(pages: int) -> Iterator[str]:
    """Serve a bucket of so many pages of 1,000 objects; yields the endpoint."""
    with ThreadingHTTPServer(("127.0.0.1", 0), type("_Pages", (_Listing,), {"pages": pages})) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
