"""TLS to a database server.

Owns: what is verified.
Must not know: a driver.
Invariant: certificate and host name are verified unless the URL says otherwise, aloud.
"""

from __future__ import annotations

import ssl

from .errors import QueryError
from .url import DatabaseURL

__all__ = ["tls_context"]


def tls_context(url: DatabaseURL) -> ssl.SSLContext:
    """TLS that verifies certificate and host name, unless the URL says `tls_verify=no`. Raises QueryError."""
    try:
        context = ssl.create_default_context(cafile=url.options.tls_ca)
    except (OSError, ssl.SSLError) as error:
        raise QueryError(f"database option tls_ca: cannot read {url.options.tls_ca!r} ({error})") from error
    if not url.options.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
