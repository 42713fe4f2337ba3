"""The listeners beside the server's own, and what a client's environment must hold to use them."""

import asyncio
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from alaas_pipeline.sandbox.errors import SandboxError
from alaas_pipeline.sandbox.gate import STORAGE
from alaas_pipeline.sandbox.proxy import HOSTS
from alaas_pipeline.sandbox.proxy.certificates import serving_context
from alaas_pipeline.sandbox.proxy.tunnel import LOOPBACK, open_tunnel
from alaas_pipeline.sandbox.state import write_durably


@dataclass(frozen=True)
class Ways:
    """What was opened.

    Attributes:
        servers: the TLS listener and the proxy; whoever opened them closes them.
        environment: variables that lead a client's uploads here.
    """

    servers: list[asyncio.Server]
    environment: Mapping[str, str]


class StorageOnly:
    """An application of which only the storage can be reached."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        here = scope["type"] == "http" and scope["path"].startswith(STORAGE + "/")
        await (self._app if here else Response(status_code=404))(scope, receive, send)


async def open_ways(folder: Path, protocol: Callable[[], asyncio.Protocol]) -> Ways:
    """Open the TLS listener and the proxy that leads to it, both on free ports of loopback.

    Writes ``ca.pem`` and ``environment``, lines for a shell, into the folder.

    Args:
        folder: made if it is missing.
        protocol: makes what answers one connection of the TLS listener.

    Raises:
        SandboxError: if the folder cannot be written.
    """
    authority = folder.absolute() / "ca.pem"
    try:
        authority.parent.mkdir(parents=True, exist_ok=True)
        context = serving_context(HOSTS, authority)
        listener = await asyncio.get_running_loop().create_server(protocol, LOOPBACK, 0, ssl=context)
        proxy = await open_tunnel(HOSTS, listener.sockets[0].getsockname()[1])
        environment = {
            "HTTPS_PROXY": f"http://{LOOPBACK}:{proxy.sockets[0].getsockname()[1]}",
            "NO_PROXY": "127.0.0.1,localhost",
            "SSL_CERT_FILE": str(authority),
        }
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()]
        write_durably(authority.with_name("environment"), "".join(lines).encode())
    except OSError as error:
        raise SandboxError(f"Official uploads cannot use the folder {folder}: {error.strerror or error}.") from None
    return Ways([listener, proxy], environment)
