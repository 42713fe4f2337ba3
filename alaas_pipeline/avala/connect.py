"""From a pool's settings to a client of the right server with the right key."""

import ipaddress
import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.retry import RetryPolicy
from alaas_pipeline.config import AVALA_BASE_URL, PoolSettings, avala_key
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home, absolute_from_env
from alaas_pipeline.ledger.pools import Binding

HURRIED = RetryPolicy(attempts=3, wall_clock_s=10, longest_wait_s=5)
STATE_POINTER = "sandbox_state"
LIMITS_DIR = "ALAAS_LIMITS_DIR"


def connect(settings: PoolSettings, home: Home, *, hurried: bool = False) -> AvalaClient:
    """Return a client for the pool's platform.

    Args:
        settings: the pool.
        home: where a running sandbox has left its address, and where all processes count their calls together, unless
            `ALAAS_LIMITS_DIR` names a folder that several installations share.
        hurried: give up on a platform that is down within seconds, as a sensor must.

    Raises:
        UserError: no key, no running sandbox, an address that does not fit the platform, or a relative `ALAAS_LIMITS_DIR`.
    """
    base_url = base_url_of(settings, home)
    return AvalaClient(
        base_url,
        avala_key(settings.platform),
        allow_insecure_loopback=settings.platform == "sandbox" or _insecure_allowed(),
        retry=HURRIED if hurried else RetryPolicy(),
        limits=absolute_from_env(LIMITS_DIR) or home.locks,
    )


def base_url_of(settings: PoolSettings, home: Home) -> str:
    """Return where the pool's platform is reached.

    Raises:
        UserError: the pool is on the sandbox and none is running, or its address is not on this machine.
    """
    if settings.platform == "avala":
        return settings.avala.base_url or os.environ.get("AVALA_BASE_URL") or AVALA_BASE_URL
    from_env = os.environ.get("AVALA_BASE_URL", "")
    url = (
        os.environ.get("ALAAS_SANDBOX_URL")
        or settings.avala.base_url
        or (from_env if _loopback(from_env) else "")
        or _running_sandbox(home)
    )
    if not url:
        raise UserError(
            f"Pool '{settings.name}' is on the sandbox, and no sandbox is running. Start one with 'alaas-pipeline sandbox' or 'make ui'; "
            "then launch the run again."
        )
    if not _loopback(url):
        raise UserError(
            f"Pool '{settings.name}' is on the sandbox, but its address {url} is not on this machine. Correct avala.base_url."
        )
    return url


def binding_of(settings: PoolSettings, client: AvalaClient) -> Binding:
    """Return what a pool's first dataset ties it to: platform, address, account and owner.

    A sandbox may come back on another port, so its address is left out: its account tells which one it is.
    """
    address = (
        "sandbox"
        if settings.platform == "sandbox"
        else (settings.avala.base_url or os.environ.get("AVALA_BASE_URL") or AVALA_BASE_URL)
    )
    return Binding(settings.platform, address.rstrip("/"), client.me().uid, settings.avala.owner)


def _running_sandbox(home: Home) -> str:
    pointer = home.root / STATE_POINTER
    state = Path(pointer.read_text(encoding="utf-8").strip()) if pointer.is_file() else home.sandbox
    try:
        return str(json.loads((state / "endpoint.json").read_text(encoding="utf-8"))["base_url"])
    except (OSError, ValueError, KeyError):
        return ""


def _loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _insecure_allowed() -> bool:
    return os.environ.get("AVALA_ALLOW_INSECURE_BASE_URL", "").lower() in ("1", "true", "yes", "on")
