"""One request layer for the API: where the key goes, what is retried, and how failures are named.

Reads are retried on connect errors, time-outs, 408, 429 and 5xx, within bounds of attempts and of wall clock.
A state-changing call is sent again only when no byte can have reached the server, or on 429, which is refused
before anything happens. Each attempt first takes a permit of the key's limiter. Redirects are never followed:
HTTP libraries carry custom headers, and so the key, along.
"""

import logging
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

import httpx
from pydantic import SecretStr

from alaas_pipeline.avala.addresses import ApiAddress
from alaas_pipeline.avala.answers import error_from, read_json
from alaas_pipeline.avala.errors import RateLimited, TransportFailure, UnexpectedAnswer
from alaas_pipeline.avala.limiter import Limiter
from alaas_pipeline.avala.retry import (
    Retrying,
    RetryPolicy,
    Timing,
    nothing_happened,
    passing,
    retry_after_s,
)
from alaas_pipeline.errors import UserError

# Both log full URLs, signatures included, at INFO and below.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

API_KEY_HEADER = "X-Avala-Api-Key"
MAX_ANSWER_BYTES = 64 << 20

_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_ALL_SENT = (httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError)


@cache
def _tls(trust_env: bool) -> ssl.SSLContext:
    """Verifying; kept, since reading all certificate authorities takes longer than a call."""
    return httpx.create_ssl_context(trust_env=trust_env)


def build_http(address: ApiAddress, timeout_s: float) -> httpx.Client:
    """An HTTP client for one API or for the storage beside it.

    Proxies and certificate authorities of the environment are honoured, as company networks need them, but
    not for a server on loopback, which no proxy can reach.
    """
    trust_env = not address.origin.loopback
    return httpx.Client(
        follow_redirects=False,
        verify=_tls(trust_env),
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0)),
        trust_env=trust_env,
        headers={"User-Agent": "alaas-pipeline"},
    )


def transport_failure(error: httpx.HTTPError | httpx.InvalidURL, call: str) -> TransportFailure:
    """Name a failure of httpx without its text, request or URL, any of which may hold secrets."""
    sent = False if isinstance(error, _NOTHING_SENT) else True if isinstance(error, _ALL_SENT) else None
    what = {False: "could not be reached", True: "did not answer", None: "lost the connection"}[sent]
    kind = type(error).__name__
    return TransportFailure(
        f"The server {what} for {call} ({kind}). Check the network, the base URL and whether the server "
        "is running, then run again.",
        sent=sent,
        call=call,
    )


def read_capped(response: httpx.Response, max_bytes: int) -> bytes | None:
    """Read a streamed body, decompressed; ``None`` when it is longer than ``max_bytes``."""
    body = bytearray()
    for chunk in response.iter_bytes(1 << 16):
        body += chunk
        if len(body) > max_bytes:
            return None
    return bytes(body)


class ApiTransport:
    """Sends JSON requests below one base URL, with the key, and nowhere else."""

    def __init__(
        self,
        address: ApiAddress,
        api_key: SecretStr,
        *,
        timeout_s: float,
        retry: RetryPolicy,
        timing: Timing,
        limiter: Limiter,
    ) -> None:
        key = api_key.get_secret_value()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise UserError(
                "The Avala API key is empty or holds spaces or other characters that no key has. "
                "Set AVALA_API_KEY to the key as Avala shows it."
            )
        self.address = address
        self.retry = retry
        self.timing = timing
        self._key = api_key
        self._http = build_http(address, timeout_s)
        self._limiter = limiter
        self._retrying = Retrying(retry, timing)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address.url!r})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must appear in no text."""
        return (self._key.get_secret_value(),)

    @contextmanager
    def open(self, url: str) -> Iterator[httpx.Response]:
        """GET a full URL as a stream; the key goes along, and the call counts, only if it lies below the base URL.

        Raises:
            RateLimited: if too long a wait would be needed to stay below the limits; nothing is sent then.
        """
        headers = self._key_headers(url)
        if headers:
            self._limiter.wait(self.retry.longest_wait_s)
        with self._http.stream("GET", url, headers=headers) as response:
            if headers:
                self._heed(response)
            yield response

    def _key_headers(self, url: str) -> dict[str, str]:
        return {API_KEY_HEADER: self._key.get_secret_value()} if self.address.contains(url) else {}

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """GET ``/path/`` below the base URL and return the parsed JSON.

        Args:
            path: made of checked segments, with both slashes.
            params: the query.

        Raises:
            AvalaError: the one that fits, after retries.
        """
        return self._call("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """POST to ``/path/`` and return the parsed JSON, or ``None`` for an empty answer.

        Args:
            path: made of checked segments, with both slashes.
            body: sent as JSON; ``None`` sends no body.

        Raises:
            AvalaError: the one that fits; ``may_have_taken_effect`` tells whether to look before trying
                again.
        """
        return self._call("POST", path, body=body)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _call(
        self,
        method: Literal["GET", "POST"],
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        call = f"{method} {path}"
        repeatable = passing if method == "GET" else nothing_happened
        try:
            return self._retrying.run(lambda: self._attempt(call, method, path, params, body), repeatable)
        except RateLimited as error:
            # What the caller is told holds for everybody who uses the key, also when the server named no time. (What
            # the limiter refuses names no call, and is known to it.)
            if error.call:
                self._limiter.hold(error.retry_after)
            raise

    def _attempt(
        self,
        call: str,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
    ) -> tuple[Any, float | None]:
        """Send once; answer (parsed JSON or error, seconds that the server asks to wait)."""
        self._limiter.wait(self.retry.longest_wait_s)
        url = f"{self.address.url}{path}"
        headers = {"Accept": "application/json"} | self._key_headers(url)
        try:
            with self._http.stream(method, url, params=params, json=body, headers=headers) as response:
                raw = read_capped(response, MAX_ANSWER_BYTES)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failure = transport_failure(error, call)
        else:
            return self._read(call, response, raw, self._heed(response))
        return failure, None

    def _heed(self, response: httpx.Response) -> float | None:
        """Learn the limits from an answer; return the seconds that it asks to wait."""
        self._limiter.learn(response.headers)
        if response.is_success:
            return None
        hint = retry_after_s(response.headers, self.timing.wall())
        if response.status_code == 429 and hint is not None:
            self._limiter.hold(hint)
        return hint

    def _read(
        self, call: str, response: httpx.Response, raw: bytes | None, hint: float | None
    ) -> tuple[Any, float | None]:
        status = response.status_code
        if raw is None:
            message = f"Avala's answer to {call} is longer than {MAX_ANSWER_BYTES >> 20} MiB and was not read on."
            return UnexpectedAnswer(message, call=call, status=status), None
        if 200 <= status < 300:
            try:
                return read_json(call, status, raw), None
            except UnexpectedAnswer as error:
                return error, None
        return error_from(call, status, raw, retry_after=hint, known=self.secrets), hint
