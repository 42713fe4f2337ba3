"""A small CONNECT proxy on loopback: a few names lead to one listener, all others nowhere."""

import asyncio
from collections.abc import Collection
from contextlib import suppress

HEAD_S = 10.0
HEAD_BYTES = 16 * 1024
CHUNK = 1 << 16
LOOPBACK = "127.0.0.1"


async def open_tunnel(names: Collection[str], port: int) -> asyncio.Server:
    """Listen on a free port of loopback.

    Args:
        names: host names that may be asked for, on port 443.
        port: of the listener on loopback that they all lead to.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # Whoever goes away in between has no answer to wait for.
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                await _serve(reader, writer, names, port)
        finally:
            writer.close()

    return await asyncio.start_server(serve, LOOPBACK, 0, limit=HEAD_BYTES)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, names: Collection[str], port: int) -> None:
    refusal = "400 Bad Request"
    with suppress(asyncio.LimitOverrunError, UnicodeDecodeError, ValueError):
        async with asyncio.timeout(HEAD_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        method, target, _ = head.partition("\r\n")[0].split(" ")
        host, _, wanted = target.rpartition(":")
        refusal = "" if method == "CONNECT" and wanted == "443" and host.lower() in names else "403 Forbidden"
    if refusal:
        body = f"This proxy leads to {', '.join(names)} on port 443 only.\n".encode()
        writer.write(f"HTTP/1.1 {refusal}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        return
    inner_reader, inner_writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with asyncio.TaskGroup() as both:
            both.create_task(_pump(reader, inner_writer))
            both.create_task(_pump(inner_reader, writer))
    finally:
        inner_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    # Either side's end is the end of both: TLS has no half-open connections that would be missed.
    writer.close()
