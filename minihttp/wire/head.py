"""The grammar of a request head: request line and header fields, as bytes, into values.

Owns: every rule about what may stand in a head and which framing follows from it, each with its RFC section, and
the two memos that make a repeated head cheap.
Must not know: where the bytes came from, that heads arrive in pieces, or what a body is made of.
Invariant: nothing enters a memo before it has passed the whole grammar, and nothing a client might want kept secret
enters one at all: only paths without their query, and only the fields named in MEMORABLE. A full memo is emptied:
clients repeat themselves, so it is warm again after a few requests, and an attacker who fills it gains nothing.

A head is cut where its parts repeat: `GET /path` (before the query), the query, and ` HTTP/1.1` together with all
fields. The last part alone decides version, persistence and framing (RFC 9112 6, 9.3).

"STRICT" marks what the RFCs would let a server repair and we refuse, with the attack that lives on the repair.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv6Address

from ..errors import ProtocolError
from ..headers import Headers

__all__ = ["Fields", "parse_field", "parse_fields", "parse_query", "parse_start", "parse_version"]

# RFC 9110 5.6.2, RFC 3986 3.3. Bytes patterns: the classes below cannot match anything beyond ASCII.
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# A run of plain characters between two % is one step to the matcher, and can be read in no other way.
PATH = rb"/[A-Za-z0-9\-._~!$&'()*+,;=:@/]*(?:%[0-9A-Fa-f]{2}[A-Za-z0-9\-._~!$&'()*+,;=:@/]*)*"
NAME = rb"(?=[^:])[A-Za-z0-9\-._~!$&'()*+,;=]*(?:%[0-9A-Fa-f]{2}[A-Za-z0-9\-._~!$&'()*+,;=]*)*"

METHOD = re.compile(TOKEN)
ORIGIN_FORM = re.compile(PATH)
# RFC 9112 3.2.2. The scheme is compared without case, as RFC 3986 3.1 says.
ABSOLUTE_FORM = re.compile(rb"(?i:https?)://([^/?#]*)(" + PATH + rb")?")
# Browsers send []{}|^`\ and a lone % in a query as they were typed (WHATWG URL); none of them can harm the framing.
QUERY = re.compile(rb"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]{}|^`\\]*")
VERSION = re.compile(rb" HTTP/([0-9])\.([0-9])")
# RFC 3986 3.2.2, 3.2.3: an IP literal or a name, then a port. Userinfo has no place in Host.
HOST = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|" + NAME + rb")(?::([0-9]{0,5}))?")
# No optional whitespace in the pattern: two adjacent classes that both match a blank would backtrack quadratically.
FIELD = re.compile(rf"({TOKEN.decode()}):([\t\x20-\x7e\x80-\xff]*)")
DIGITS = re.compile(r"[0-9]+")

# Fields that clients repeat and that are nobody's secret.
MEMORABLE = frozenset(
    """host connection user-agent accept accept-encoding accept-language accept-charset cache-control pragma
    content-type content-length transfer-encoding expect te upgrade upgrade-insecure-requests origin dnt priority
    sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-site sec-fetch-mode sec-fetch-user sec-fetch-dest
    x-forwarded-proto x-requested-with""".split()  # noqa: SIM905  # thirty quoted strings would be harder to read
)
MEMO_ENTRIES = 1024
MEMO_LINE = 256  # bytes; longer lines are rarely repeated and would make the memo large

STARTS: dict[bytes, tuple[str, str, str | None]] = {}
FIELDS: dict[bytes, tuple[str, str]] = {}


class Fields:
    """The second half of a head: the version and all fields, and what they say about the message.

    `length` is the body's length in bytes, 0 for none and None for a chunked one; `persistent` whether the
    connection may carry another request; `expects` whether the client waits for 100 Continue; `minor` is 0 or 1.
    """

    __slots__ = ("expects", "headers", "length", "minor", "persistent")

    def __init__(self, headers: Headers, length: int | None, persistent: bool, expects: bool, minor: int) -> None:
        self.headers = headers
        self.length = length
        self.persistent = persistent
        self.expects = expects
        self.minor = minor

    def for_authority(self, authority: str) -> Fields:
        """The same fields under the host of an absolute-form target, which wins over Host (RFC 9112 3.2.2)."""
        others = [(name, value) for name, value in self.headers.multi_items() if name != "host"]
        headers = Headers([("host", authority), *others])
        return Fields(headers, self.length, self.persistent, self.expects, self.minor)


def parse_start(start: bytes) -> tuple[str, str, str | None]:
    """Method, undecoded path and, for an absolute-form target, its authority: `b"GET /a"` is `("GET", "/a", None)`.

    `start` is the request line up to the query or, without one, up to the version. Raises ProtocolError.
    """
    known = STARTS.get(start)
    if known is not None:
        return known
    method, _, target = start.partition(b" ")
    if not METHOD.fullmatch(method):
        raise ProtocolError("malformed request line", section="RFC 9112 3")
    if method in (b"CONNECT", b"TRACE"):
        raise ProtocolError(f"method {method.decode()} is not implemented", 501, "RFC 9110 9.3.6, 9.3.8")
    if ORIGIN_FORM.fullmatch(target):
        parsed = (method.decode(), target.decode(), None)
        if len(start) <= MEMO_LINE:
            if len(STARTS) >= MEMO_ENTRIES:
                STARTS.clear()
            STARTS[start] = parsed
        return parsed
    if target == b"*" and method == b"OPTIONS":
        return ("OPTIONS", "*", None)
    absolute = ABSOLUTE_FORM.fullmatch(target)
    if absolute is None:
        raise ProtocolError("malformed request target", section="RFC 9112 3.2")
    authority, path = absolute.groups()
    if not authority:
        raise ProtocolError("request target without a host", section="RFC 9110 4.2.1")
    check_host(authority)
    # RFC 9112 3.2.4: OPTIONS without a path in absolute-form is the asterisk in origin-form.
    return (method.decode(), (path or (b"*" if method == b"OPTIONS" else b"/")).decode(), authority.decode())


def parse_query(query: bytes, path: str) -> str:
    """The query behind `path`, undecoded. Raises ProtocolError for a character that cannot stand there."""
    if path == "*":
        raise ProtocolError("query behind an asterisk", section="RFC 9112 3.2.4")
    if not QUERY.fullmatch(query):
        raise ProtocolError("malformed query in the request target", section="RFC 3986 3.4")
    return query.decode()


def parse_version(version: bytes) -> int:
    """The minor version, 0 or 1: HTTP/1.2 to 1.9 read as 1.1 (RFC 9110 2.5). Raises ProtocolError, 505 for HTTP/2."""
    match = VERSION.fullmatch(version)
    if match is None:
        raise ProtocolError("malformed request line", section="RFC 9112 3")
    if match[1] != b"1":
        raise ProtocolError("only HTTP/1.1 and HTTP/1.0 are spoken here", 505, "RFC 9110 15.6.6")
    return min(int(match[2]), 1)


def parse_field(line: bytes) -> tuple[str, str]:
    """Lower-case name and value of one field line (RFC 9112 5). Raises ProtocolError."""
    known = FIELDS.get(line)
    if known is not None:
        return known
    match = FIELD.fullmatch(line.decode("latin-1"))
    if match is None:
        raise refusal_of_field(line)
    name, value = match[1].lower(), match[2].strip(" \t")
    if name in MEMORABLE and len(line) <= MEMO_LINE:
        if len(FIELDS) >= MEMO_ENTRIES:
            FIELDS.clear()
        FIELDS[line] = (name, value)
    return name, value


def refusal_of_field(line: bytes) -> ProtocolError:
    """Which rule a malformed field line breaks."""
    if line[:1] in (b" ", b"\t"):
        # STRICT: a server may unfold; proxies that do not would see another header (RFC 9112 5.2).
        return ProtocolError("folded header field", section="RFC 9112 5.2")
    name, colon, _ = line.partition(b":")
    if not colon or not name:
        return ProtocolError("header field without a name", section="RFC 9112 5")
    if name[-1:] in (b" ", b"\t"):
        # Hides a Content-Length or Transfer-Encoding from one of two parsers.
        return ProtocolError("space before the colon of a header field", section="RFC 9112 5.1")
    if METHOD.fullmatch(name):
        return ProtocolError(f"control character in the value of {name.decode()}", section="RFC 9110 5.5")
    return ProtocolError("illegal character in a header name", section="RFC 9110 5.1")


def parse_fields(rest: bytes, count: int) -> Fields:
    """Version and fields of a head, `b" HTTP/1.1\\r\\nhost: a"`, and the framing they state.

    Raises ProtocolError: 400, or 431 for more than `count` fields, 417, 501, 505.
    """
    version, *lines = rest.split(b"\r\n")
    minor = 1 if version == b" HTTP/1.1" else parse_version(version)
    if len(lines) > count:
        raise ProtocolError(f"more than {count} header fields", 431, "RFC 6585 5")
    headers = Headers([FIELDS.get(line) or parse_field(line) for line in lines])
    stated = headers.as_dict()
    check_hosts(headers, minor)
    framed = "content-length" in stated or "transfer-encoding" in stated
    length = body_length(stated, minor) if framed else 0
    expects = "expect" in stated and expects_continue(stated["expect"]) and minor == 1 and length != 0
    return Fields(headers, length, is_persistent(stated.get("connection"), minor), expects, minor)


def check_hosts(headers: Headers, minor: int) -> None:
    """RFC 9112 3.2: exactly one Host, and a valid one. Two of them are two different sites to two parsers."""
    host = headers.as_dict().get("host")
    if host is None and minor == 1:
        raise ProtocolError("missing Host", section="RFC 9112 3.2")
    # An empty Host is what a client sends whose target has no authority (RFC 9112 3.2).
    if host:
        if ", " in host and len(headers.getall("host")) > 1:
            raise ProtocolError("more than one Host", section="RFC 9112 3.2")
        check_host(host.encode("latin-1"))


def check_host(value: bytes) -> None:
    match = HOST.fullmatch(value)
    if match is None or (match[2] and int(match[2]) > 65535):
        raise ProtocolError("malformed host", section="RFC 3986 3.2.2")
    if match[1] is not None:
        try:
            IPv6Address(match[1].decode())
        except AddressValueError:
            raise ProtocolError("malformed IPv6 address as host", section="RFC 3986 3.2.2") from None


def body_length(stated: Mapping[str, str], minor: int) -> int | None:
    """The length of the body that follows, in bytes; None if it is chunked (RFC 9112 6.3)."""
    codings, length = stated.get("transfer-encoding"), stated.get("content-length", "")
    if codings is not None:
        check_codings(codings, minor)
        if "content-length" in stated:
            # STRICT: the RFC lets Transfer-Encoding win; two parsers that choose differently are smuggled through.
            raise ProtocolError("both Transfer-Encoding and Content-Length", section="RFC 9112 6.1")
        return None
    if not DIGITS.fullmatch(length):
        # STRICT: also equal values in a list ("5, 5"), which RFC 9110 8.6 would allow us to join.
        raise ProtocolError("malformed or repeated Content-Length", section="RFC 9110 8.6")
    if len(length) > 18:
        raise ProtocolError("Content-Length beyond any limit", 413, "RFC 9110 8.6")
    return int(length)


def check_codings(codings: str, minor: int) -> None:
    """Nothing but one final `chunked` (RFC 9112 6.1, 6.3, 7)."""
    if minor == 0:
        # A 1.0 proxy in front would not know this framing and see another message.
        raise ProtocolError("Transfer-Encoding in HTTP/1.0", section="RFC 9112 6.1")
    names = [name.strip(" \t").lower() for name in codings.split(",")]
    if names == ["chunked"]:
        return
    if names[-1] == "chunked" and names.count("chunked") == 1 and all(METHOD.fullmatch(n.encode()) for n in names):
        raise ProtocolError("transfer coding other than chunked", 501, "RFC 9112 6.1")
    raise ProtocolError("Transfer-Encoding is not a final chunked", section="RFC 9112 6.3")


def expects_continue(expectation: str) -> bool:
    if expectation.lower() != "100-continue":
        raise ProtocolError("unknown expectation", 417, "RFC 9110 10.1.1")
    return True


def is_persistent(connection: str | None, minor: int) -> bool:
    """RFC 9112 9.3: 1.1 persists unless it says close, 1.0 closes unless it says keep-alive."""
    options = [] if connection is None else [option.strip(" \t").lower() for option in connection.split(",")]
    return "close" not in options and (minor == 1 or "keep-alive" in options)
