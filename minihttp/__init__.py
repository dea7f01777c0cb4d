"""minihttp: an asyncio HTTP/1.1 server, coroutine router and async MySQL repository.

Owns: the public names of the HTTP side; `minihttp.db` and the extras are modules of their own.
Must not know: any of them: importing minihttp imports no driver, no template engine.
Invariant: every name in `__all__` is documented where it is defined.
"""

from __future__ import annotations

from .app import App, in_thread, serve
from .errors import ClientDisconnected, ConfigError, HTTPError, MiniHTTPError, abort
from .options import Limits, Options
from .request import Request
from .response import HTML, JSON, File, Redirect, Response, Stream
from .routing import Router
from .server.server import Server

__version__ = "0.1.0"

__all__ = [
    "HTML", "JSON", "App", "ClientDisconnected", "ConfigError", "File", "HTTPError", "Limits", "MiniHTTPError",
    "Options", "Redirect", "Request", "Response", "Router", "Server", "Stream", "abort", "in_thread", "serve",
]  # fmt: skip
