"""File storage behind signed links: a client that never holds the API key.

A link carries its own authority, so it is used on allow-listed hosts only and appears in no message: what is
told is the status and, where the storage gives one, its error code.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from pydantic import SecretStr

from alaas_pipeline.avala.addresses import ApiAddress, storage_refusal
from alaas_pipeline.avala.errors import AvalaError, RateLimited, ServerError, StorageRefused, UnexpectedAnswer
from alaas_pipeline.avala.limiter import Limiter
from alaas_pipeline.avala.retry import Retrying, RetryPolicy, Timing, nothing_happened, passing, retry_after_s
from alaas_pipeline.avala.transport import build_http, read_capped, transport_failure

_MAX_ANSWER_BYTES = 1 << 20
_STORAGE_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,60})</Code>")
# What HTTP itself decides, and our key's header, are not for a foreign answer to set.
_HEADERS_NOT_TAKEN = frozenset({"host", "content-length", "transfer-encoding", "connection", "x-avala-api-key"})


def storage_error(call: str, status: int, body: bytes, retry_after: float | None) -> AvalaError:
    """The error that a non-2xx answer of storage stands for; of its body only the error code is kept."""
    found = _STORAGE_CODE.search(body)
    code = found.group(1).decode() if found else None
    what = f"{call} ({status}{f', {code}' if code else ''})"
    if status == 429:
        wait = 60.0 if retry_after is None else retry_after
        return RateLimited(f"Storage is throttling {what}: go on in {wait:.0f} s.", retry_after=wait, call=call)
    if status >= 500:
        return ServerError(f"Storage failed at {what}: run again later.", call=call, status=status, code=code)
    if 300 <= status < 400:
        message = f"Storage answered {what} with a redirect, which is not followed. Report it to Avala."
        return UnexpectedAnswer(message, call=call, status=status)
    return StorageRefused(
        f"Storage refused {what}. The signed link may have expired: run again for a fresh one.",
        call=call,
        status=status,
        code=code,
    )


class StorageTransport:
    """Sends to and reads from allow-listed storage hosts; knows no key and follows no redirect.

    Storage has limits of its own; of the API's it shares the one on uploads at a time.
    """

    def __init__(
        self, api: ApiAddress, *, timeout_s: float, retry: RetryPolicy, timing: Timing, limiter: Limiter
    ) -> None:
        self._api = api
        self._retry = retry
        self._limiter = limiter
        self._timing = timing
        self._http = build_http(api, timeout_s)
        self._retrying = Retrying(retry, timing)

    def put(self, url: SecretStr, data: bytes, headers: Mapping[str, SecretStr]) -> None:
        """PUT bytes to a signed link; 412 counts as stored already. Repeated like a read, since PUT replaces.

        Raises:
            AvalaError: the one that fits.
        """
        plain = {name: value.get_secret_value() for name, value in headers.items()}
        kept = {name: value for name, value in plain.items() if name.lower() not in _HEADERS_NOT_TAKEN}
        call = "PUT to storage"
        address = self._checked(url, call)
        self._retrying.run(lambda: self._send(call, "PUT", address, content=data, headers=kept), passing)

    def post_form(
        self, url: SecretStr, fields: Mapping[str, SecretStr], file_name: str, data: bytes, content_type: str
    ) -> None:
        """POST a signed form: all fields in their order, then the part ``file``.

        Raises:
            AvalaError: the one that fits.
        """
        form = {name: value.get_secret_value() for name, value in fields.items()}
        declared = next((value for name, value in form.items() if name.lower() == "content-type"), content_type)
        files = {"file": (file_name, data, declared)}
        call = "POST to storage"
        address = self._checked(url, call)
        self._retrying.run(lambda: self._send(call, "POST", address, data=form, files=files), nothing_happened)

    @contextmanager
    def open(self, url: str) -> Iterator[httpx.Response]:
        """GET a signed link as a stream.

        Raises:
            UnexpectedAnswer: if the link leads to a host that is not allowed; nothing is sent then.
        """
        with self._http.stream("GET", self._checked(SecretStr(url), "GET from storage")) as response:
            yield response

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _checked(self, url: SecretStr, call: str) -> str:
        plain = url.get_secret_value()
        refusal = storage_refusal(plain, self._api)
        if refusal is not None:
            raise UnexpectedAnswer(
                f"The link for {call} was not used: {refusal}. Check the base URL, or report it to Avala.",
                call=call,
            )
        return plain

    def _send(self, call: str, method: str, url: str, **content: Any) -> tuple[AvalaError | None, float | None]:
        try:
            with (
                self._limiter.slot("upload", self._retry.longest_wait_s),
                self._http.stream(method, url, **content) as response,
            ):
                body = read_capped(response, _MAX_ANSWER_BYTES) or b""
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return transport_failure(error, call), None
        if response.is_success or (method == "PUT" and response.status_code == 412):
            return None, None
        hint = retry_after_s(response.headers, self._timing.wall())
        return storage_error(call, response.status_code, body, hint), hint
