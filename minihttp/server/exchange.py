"""One request and its answer: what every Task of the server runs.

Owns: the way from the handler's result, or its exception, to an answer on the connection.
Must not know: how the request arrived, or what the connection does next.
Invariant: whatever the handler does, at most one answer is sent, and `finish` is called exactly once.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from ..errors import HTTPError, ProtocolError
from ..request import Request
from ..response import Response, error_response, log_failure
from ..wire.writer import CLOSE, encode_head
from .sending import Outlet, encode_response, send
from .service import Service
from .stages import Late

__all__ = ["encode_refusal", "serve_request"]


class Carrier(Outlet, Protocol):
    """What an exchange needs of its connection."""

    service: Service[Any]
    is_gone: bool
    cancelled_for: Late | None

    def finish(self) -> None: ...

    def abort(self) -> None: ...


async def serve_request(connection: Carrier, request: Request) -> None:
    """One request, from its handler to the last byte of its answer."""
    try:
        response = await connection.service.handler(request)
        if not isinstance(response, Response):
            raise TypeError(f"the server's handler returned {type(response).__name__}, not a Response: use an App")
        if response.at_hand:
            connection.write(encode_response(request, response, connection))
        else:
            await send(request, response, connection)
    except (Exception, asyncio.CancelledError) as error:
        fail(connection, request, error)
    connection.finish()


def fail(connection: Carrier, request: Request, error: BaseException) -> None:
    """An exception instead of an answer, or in the middle of one."""
    if connection.is_gone:
        if not isinstance(error, asyncio.CancelledError):
            log_failure(error, request)
        # Unanswered, so nothing behind it may be: it would be taken for this answer by a client half gone.
        connection.abort()
        return
    if isinstance(error, asyncio.CancelledError):
        if connection.cancelled_for is Late.HANDLER:
            error = HTTPError(503, "the server took too long for this request")
        elif connection.service.stopping:
            error = HTTPError(503, "the server is stopping")
    log_failure(error, request)
    if connection.head_sent:
        # Half an answer is out. Only the end of the connection can tell the client that the rest is missing.
        connection.abort()
        return
    connection.write(encode_response(request, error_response(error, request), connection))


def encode_refusal(error: ProtocolError) -> bytes:
    """The last answer on a connection whose peer broke the protocol."""
    answer = error_response(error)
    return encode_head(answer.status, answer.only_type, answer.fields, len(answer.body), CLOSE, answer.body)
