"""Which addresses may be talked to: the API's own, and storage hosts from an allow-list.

The allow-list names the object stores that Avala signs links for. Anything else, every IP address and every
port are refused, but for the API's own origin.
"""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from alaas_pipeline.errors import UserError

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

# An S3 endpoint label must stand right before amazonaws.com: most other names below it can be had by anybody.
_S3 = r"s3(?:[.-](?:accelerate|dualstack|fips))*(?:[.-][a-z]{2}(?:-[a-z]+)+-\d)?"
_BUCKETS = r"(?:[a-z0-9](?:[a-z0-9_.-]*[a-z0-9])?\.)?"
_STORAGE_HOSTS = re.compile(
    rf"{_BUCKETS}{_S3}\.amazonaws\.com(?:\.cn)?"
    rf"|{_BUCKETS}storage\.googleapis\.com"
    r"|[a-z0-9]{3,24}\.blob\.core\.windows\.net"
    rf"|{_BUCKETS}[0-9a-f]{{32}}(?:\.(?:eu|fedramp))?\.r2\.cloudflarestorage\.com"
    r"|(?:data|storage)\.avala\.ai"
)
_URL_ALPHABET = re.compile(r"[\x21\x23-\x5b\x5d\x5f\x61-\x7a\x7e]+")


@dataclass(frozen=True)
class Origin:
    """Scheme, host and port of a URL, all written out."""

    scheme: str
    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether the host is this machine, by one of its three usual names."""
        return self.host in LOOPBACK_HOSTS


def _origin(parts: SplitResult) -> Origin:
    host = (parts.hostname or "").lower()
    return Origin(parts.scheme.lower(), host, parts.port or {"http": 80, "https": 443}.get(parts.scheme.lower(), 0))


@dataclass(frozen=True)
class ApiAddress:
    """The validated base URL of the API, without a trailing slash."""

    url: str
    origin: Origin
    path: str

    def contains(self, url: str) -> bool:
        """Whether a URL lies below the base URL, so that the API key may go there."""
        parts = _split(url)
        if parts is None or _origin(parts) != self.origin:
            return False
        return parts.path.startswith(f"{self.path}/") and _plain_path(parts.path)


def read_base_url(base_url: str, *, allow_insecure_loopback: bool = False) -> ApiAddress:
    """Validate the base URL of the API.

    Args:
        base_url: such as ``https://api.avala.ai/api/v1``; trailing slashes are dropped.
        allow_insecure_loopback: permit ``http`` to ``localhost``, ``127.0.0.1`` and ``::1``.

    Raises:
        UserError: if it is not such a URL.
    """
    parts = _split(base_url.strip().rstrip("/"))
    if parts is None or parts.query or not _plain_path(parts.path):
        raise UserError(
            "The Avala base URL is not a plain web address. Give scheme, host and path only, such as "
            "https://api.avala.ai/api/v1, with no user name, query or fragment."
        )
    origin = _origin(parts)
    if origin.scheme != "https" and not (origin.scheme == "http" and origin.loopback and allow_insecure_loopback):
        raise UserError(
            f"The Avala base URL {origin.scheme}://{origin.host} is not encrypted, so a key "
            "could be read on the way: use https. Plain http is for a local sandbox and must be permitted."
        )
    return ApiAddress(parts.geturl(), origin, parts.path)


def storage_refusal(url: str, api: ApiAddress) -> str | None:
    """Say why a signed link must not be used, or ``None`` if it may.

    Args:
        url: the link as the service gave it.
        api: the API; links to exactly its own origin are permitted too, which is how a local one stores files.
    """
    parts = _split(url)
    if parts is None:
        return "it is not a plain web address"
    origin = _origin(parts)
    if origin == api.origin:
        return None
    if origin.scheme != "https":
        return "it is not https"
    if parts.port is not None:
        return "it names a port"
    if not _STORAGE_HOSTS.fullmatch(origin.host):
        return "its host is not a storage service that Avala is known to use"
    return None


def _split(url: str) -> SplitResult | None:
    """Split a URL; ``None`` for anything that two parsers might read differently."""
    if not _URL_ALPHABET.fullmatch(url) or not re.match(r"https?://[^/]", url, re.IGNORECASE):
        return None
    try:
        parts = urlsplit(url)
        port_readable = parts.port is None or parts.port > 0
    except ValueError:
        return None
    if not parts.hostname or "@" in parts.netloc or "#" in url or "%" in parts.netloc or not port_readable:
        return None
    return parts


def _plain_path(path: str) -> bool:
    lowered = path.lower()
    return "//" not in path and "%2e" not in lowered and "%2f" not in lowered and not re.search(r"/\.{1,2}(/|$)", path)
