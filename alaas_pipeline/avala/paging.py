"""Follow the pages of a listing without being led astray.

Of a page's ``next`` only the query is used, on the path that was asked first. A listing that cannot be read
to its end is an error, never a short answer: "not found" decides here whether something is made a second
time.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from alaas_pipeline.avala.addresses import ApiAddress
from alaas_pipeline.avala.errors import UnexpectedAnswer
from alaas_pipeline.avala.transport import ApiTransport

PAGE_SIZE = 100
MAX_PAGES = 10_000
# Two names of one service: either may stand in the links that it builds.
_ALIASES = frozenset({"api.avala.ai", "server.avala.ai"})


def read_pages(
    api: ApiTransport, path: str, filters: Mapping[str, str] | None = None, *, max_pages: int = MAX_PAGES
) -> Iterator[dict[str, Any]]:
    """Yield the entries of all pages, in order; an empty page in the middle is passed over.

    Args:
        api: where to read.
        path: of the listing, with both slashes.
        filters: query parameters that stay the same on every page.
        max_pages: more pages than this are an error.

    Raises:
        UnexpectedAnswer: for a body that is no page, a ``next`` that leads to another host or path, a page
            that
            repeats, or too many pages.
    """
    call = f"GET {path}"
    query = {"limit": str(PAGE_SIZE)} | dict(filters or {})
    seen = {tuple(sorted(query.items()))}
    for _ in range(max_pages):
        page = api.get(path, query)
        entries, link = _read_page(page, call)
        yield from entries
        if not link:
            return
        query = query | _next_query(link, path, api.address, call)
        fingerprint = tuple(sorted(query.items()))
        if fingerprint in seen:
            raise _astray(call, "leads back to a page that was read already")
        seen.add(fingerprint)
    raise _astray(call, f"goes on after {max_pages:,} pages")


def _read_page(page: Any, call: str) -> tuple[list[dict[str, Any]], str]:
    if isinstance(page, list):
        entries, link = page, None
    elif isinstance(page, dict):
        entries, link = page.get("results", page.get("items")), page.get("next")
    else:
        entries, link = None, None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _astray(call, "is not a page of results")
    if link is not None and not isinstance(link, str):
        raise _astray(call, "names a next page that is no address")
    return entries, link or ""


def _next_query(link: str, path: str, address: ApiAddress, call: str) -> dict[str, str]:
    try:
        parts = urlsplit(link)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise _astray(call, "names a next page that is no address") from None
    ours = address.origin
    same_host = not host or host == ours.host or {host, ours.host} <= _ALIASES
    if not same_host or port not in (None, ours.port):
        raise _astray(call, "names a next page on another host")
    if parts.path and unquote(parts.path).rstrip("/") != unquote(f"{address.path}{path}").rstrip("/"):
        raise _astray(call, "names a next page on another path")
    return dict(parse_qsl(parts.query, keep_blank_values=True))


def _astray(call: str, what: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        f"The answer to {call} {what}, so the listing cannot be trusted to be whole. Check the base URL, or run again.",
        call=call,
    )
