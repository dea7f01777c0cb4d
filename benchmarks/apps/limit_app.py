"""The limit: answers canned bytes to whatever comes, unread; on asyncio or uvloop.

Owns: writing the bytes that it was given, to each piece that comes.
Must not know: who measures it, what was asked.
Invariant: nothing is read, so that no server on this loop can answer the same for less.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys

BODY = os.environ["BENCH_CANNED"].encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: text/plain; charset=utf-8\r\n" % len(BODY)
HEAD += b"Date: Sun, 22 Nov 2026 12:00:00 GMT\r\n"
CANNED = HEAD + b"\r\n" + BODY
LAST = HEAD + b"Connection: close\r\n\r\n" + BODY


class Canned(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # a TCP server's is one

    def data_received(self, data: bytes) -> None:
        self.transport.write(CANNED)


class CannedBurst(Canned):
    """Pipelined requests must be counted: one answer for each empty line."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(CANNED * data.count(b"\r\n\r\n"))


class CannedOnce(Canned):
    def data_received(self, data: bytes) -> None:
        self.transport.write(LAST)
        self.transport.close()


async def main(port: int, certificate: str | None) -> None:
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    kind = {"burst": CannedBurst, "once": CannedOnce}.get(os.environ["BENCH_VARIANT"], Canned)
    server = await asyncio.get_running_loop().create_server(kind, "127.0.0.1", port, ssl=context, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    loop, port = sys.argv[1:3]
    certificate = sys.argv[3] if sys.argv[3:] else None
    if loop == "uvloop":
        import uvloop

        uvloop.run(main(int(port), certificate))
    else:
        asyncio.run(main(int(port), certificate))
