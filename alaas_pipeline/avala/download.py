"""Fetch one file from a signed link: streamed, capped, hashed, and put in place in one step."""

import hashlib
from pathlib import Path
from typing import BinaryIO

import httpx
from pydantic import SecretStr

from alaas_pipeline.avala.errors import AvalaError, DownloadTooLarge, UnexpectedAnswer
from alaas_pipeline.avala.retry import Retrying, passing, retry_after_s
from alaas_pipeline.avala.storage import StorageTransport, storage_error
from alaas_pipeline.avala.transport import ApiTransport, read_capped, transport_failure
from alaas_pipeline.whole_file import whole_file

MAX_REDIRECTS = 3
_CALL = "GET of the export file"


class Downloader:
    """Downloads through the API (with the key, first hop only) or through storage (never with it)."""

    def __init__(self, api: ApiTransport, storage: StorageTransport) -> None:
        self._api = api
        self._storage = storage
        self._retrying = Retrying(api.retry, api.timing)

    def fetch(self, url: SecretStr, target: Path, *, max_bytes: int) -> str:
        """Download to ``target`` and return the SHA-256 of the bytes, in hex.

        The target appears whole or not at all. Its name is ours: no name that the server suggests is used.

        Args:
            url: the signed link.
            target: where the file goes; missing folders are made.
            max_bytes: most bytes to accept, after any transfer compression.

        Raises:
            StorageRefused: the link is not, or no longer, good.
            DownloadTooLarge: the file is larger than allowed.
            AvalaError: any other failure, after retries.
        """
        with whole_file(target) as file:
            return self._retrying.run(lambda: self._attempt(url, file, max_bytes), passing)

    def _attempt(self, url: SecretStr, file: BinaryIO, max_bytes: int) -> tuple[str | AvalaError, float | None]:
        """One walk from the link to the bytes; each of the few redirects is checked anew."""
        file.seek(0)
        file.truncate()
        current = url.get_secret_value()
        for hop in range(MAX_REDIRECTS + 1):
            # Who redirects may not send the key anywhere, not even back to the API.
            source = self._api if hop == 0 and self._api.address.contains(current) else self._storage
            try:
                with source.open(current) as response:
                    if response.next_request is None:
                        return self._receive(response, file, max_bytes)
                    current = str(response.next_request.url)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                return transport_failure(error, _CALL), None
        message = f"The {_CALL} was redirected more than {MAX_REDIRECTS} times. Report it to Avala."
        return UnexpectedAnswer(message, call=_CALL), None

    def _receive(
        self, response: httpx.Response, file: BinaryIO, max_bytes: int
    ) -> tuple[str | AvalaError, float | None]:
        if response.status_code != 200:
            hint = retry_after_s(response.headers, self._api.timing.wall())
            body = read_capped(response, 1 << 16) or b""
            return storage_error(_CALL, response.status_code, body, hint), hint
        announced = response.headers.get("Content-Length", "")
        if announced.isdigit() and int(announced) > max_bytes:
            return _too_large(max_bytes), None
        digest = hashlib.sha256()
        received = 0
        for chunk in response.iter_bytes(1 << 16):
            received += len(chunk)
            if received > max_bytes:
                return _too_large(max_bytes), None
            digest.update(chunk)
            file.write(chunk)
        return digest.hexdigest(), None


def _too_large(max_bytes: int) -> DownloadTooLarge:
    return DownloadTooLarge(
        f"The export file is larger than the {max_bytes:,} bytes that are allowed for it; nothing was kept. "
        "Raise the limit if the project is really that large.",
        call=_CALL,
    )
