"""The grammar of a request head: request line and header fields, as bytes, into values.

Owns: every rule about what may stand in a head and which framing follows from it, each with its RFC section.
Must not know: where the bytes came from, that heads arrive in pieces, or what a body is made of.
Invariant: this module remembers nothing of a head, so one that was never seen costs what any other costs.

A head is cut in two: method and target, which change, and version with all fields, which a client repeats. The second
part alone decides persistence and framing (RFC 9112 6, 9.3). Usual heads are read in one go. One with a repeated name,
a rarer form of target or an error is read again, rule by rule, which also tells the rule that it breaks.

"STRICT" marks what the RFCs would let a server repair and we refuse, with the attack that lives on the repair.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv6Address

from ..errors import ProtocolError
from ..headers import Headers, QueryParams, headers_of

__all__ = ["Fields", "parse_field", "parse_fields", "parse_target", "parse_version"]

# RFC 9110 5.6.2, RFC 3986 3.3. From here to QUERY every class names the characters it holds: none is beyond ASCII. No
# class overlaps with what may follow it, so it gives nothing back (`*+`): what fails to match is refused in one look.
TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# A run of plain characters between two % is one step to the matcher, and can be read in no other way.
PATH = r"/[A-Za-z0-9\-._~!$&'()*+,;=:@/]*+(?:%[0-9A-Fa-f]{2}[A-Za-z0-9\-._~!$&'()*+,;=:@/]*+)*"
NAME = r"(?=[^:])[A-Za-z0-9\-._~!$&'()*+,;=]*+(?:%[0-9A-Fa-f]{2}[A-Za-z0-9\-._~!$&'()*+,;=]*+)*"
# Browsers send []{}|^`\ and a lone % in a query as they were typed (WHATWG URL); none of them can harm the framing.
QUERY = r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]{}|^`\\]*+"

METHOD = re.compile(TOKEN)
# RFC 9112 3, 3.2.1: method, path and query, as nearly every request line has them.
ORIGIN_FORM = re.compile(rf"(?!CONNECT |TRACE )({TOKEN}) ({PATH})(?:\?({QUERY}))?")
# RFC 9112 3.2.2. The scheme is compared without case, as RFC 3986 3.1 says.
ABSOLUTE_FORM = re.compile(rf"(?i:https?)://([^/?#]*)({PATH})?")
VERSION = re.compile(rb" HTTP/([0-9])\.([0-9])")
# RFC 3986 3.2.2, 3.2.3: an IP literal or a name, then a port. Userinfo has no place in Host.
HOST = re.compile(rf"(?:\[([0-9A-Fa-f:.]+)\]|{NAME})(?::(?:[0-9]{{0,4}}|([0-9]{{5}})))?")
# No optional whitespace in the pattern: two adjacent classes that both match a blank would backtrack quadratically.
FIELD = re.compile(rf"({TOKEN}):([\t\x20-\x7e\x80-\xff]*+)")
DIGITS = re.compile(r"[0-9]+")
# RFC 9110 5.5: every byte of a field line but the controls.
LEGAL = bytes(byte for byte in range(256) if byte == 9 or (byte >= 32 and byte != 127))


class Names(dict[str, str]):
    """Field names as they are sent, in lower case (RFC 9110 5.1): `NAMES["Host"]` is `"host"`, what is no name `""`.

    The usual ones need no pattern. None is added: what a client makes up is not remembered.
    """

    def __missing__(self, name: str) -> str:
        return name.lower() if METHOD.fullmatch(name) else ""


NAMES = Names(
    (spelled, name)
    for name in """host connection user-agent accept accept-encoding accept-language cache-control pragma cookie
    authorization referer origin content-type content-length transfer-encoding expect te dnt priority upgrade range
    upgrade-insecure-requests sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-site sec-fetch-mode
    sec-fetch-user sec-fetch-dest if-none-match if-modified-since forwarded x-forwarded-for x-forwarded-host
    x-forwarded-proto x-real-ip x-request-id x-requested-with traceparent""".split()  # noqa: SIM905  # forty quoted strings would be harder to read
    for spelled in (name, name.title(), name.upper())
)


class Fields:
    """The second half of a head: the version and all fields, and what they say about the message.

    `length` is the body's length in bytes, 0 for none and None for a chunked one; `persistent` whether the
    connection may carry another request; `expects` whether the client waits for 100 Continue; `minor` is 0 or 1.
    `last_query` is for whoever reads queries: the last one that came with these fields, and what it means.
    """

    __slots__ = ("expects", "headers", "last_query", "length", "minor", "persistent")

    def __init__(self, headers: Headers, length: int | None, persistent: bool, expects: bool, minor: int) -> None:
        self.headers = headers
        self.length = length
        self.persistent = persistent
        self.expects = expects
        self.minor = minor
        self.last_query: tuple[str, QueryParams] | None = None

    def for_authority(self, authority: str) -> Fields:
        """The same fields under the host of an absolute-form target, which wins over Host (RFC 9112 3.2.2)."""
        others = [(name, value) for name, value in self.headers.multi_items() if name != "host"]
        headers = Headers([("host", authority), *others])
        return Fields(headers, self.length, self.persistent, self.expects, self.minor)


def parse_target(line: str) -> tuple[str, str, str, str | None]:
    """Method, undecoded path and query and, for an absolute-form target, its authority (RFC 9112 3, 3.2).

    Example: `parse_target("GET /a?b")` is `("GET", "/a", "b", None)`. `line` is a request line without its version.
    Raises ProtocolError.
    """
    if match := ORIGIN_FORM.fullmatch(line):
        method, path, query = match.groups("")
        return method, path, query, None
    return parse_rare_target(line)


def parse_rare_target(line: str) -> tuple[str, str, str, str | None]:
    """An asterisk or an absolute-form; anything else is refused by the first rule that it breaks."""
    start, mark, query = line.partition("?")
    method, _, target = start.partition(" ")
    if not METHOD.fullmatch(method):
        raise ProtocolError("malformed request line", section="RFC 9112 3")
    if method in ("CONNECT", "TRACE"):
        raise ProtocolError(f"method {method} is not implemented", 501, "RFC 9110 9.3.6, 9.3.8")
    path, authority = target, None
    if absolute := ABSOLUTE_FORM.fullmatch(target):
        authority, path = absolute.groups("")
        if not authority:
            raise ProtocolError("request target without a host", section="RFC 9110 4.2.1")
        check_host(authority)
        # RFC 9112 3.2.4: OPTIONS without a path in absolute-form is the asterisk in origin-form.
        path = path or ("*" if method == "OPTIONS" else "/")
    elif start != "OPTIONS *" and not ORIGIN_FORM.fullmatch(start):
        raise ProtocolError("malformed request target", section="RFC 9112 3.2")
    if path == "*" and mark:
        raise ProtocolError("query behind an asterisk", section="RFC 9112 3.2.4")
    if not re.fullmatch(QUERY, query):
        raise ProtocolError("malformed query in the request target", section="RFC 3986 3.4")
    return method, path, query, authority


def parse_version(version: bytes) -> int:
    """The minor version, 0 or 1: HTTP/1.2 to 1.9 read as 1.1 (RFC 9110 2.5). Raises ProtocolError, 505 for HTTP/2."""
    if not (match := VERSION.fullmatch(version)):
        raise ProtocolError("malformed request line", section="RFC 9112 3")
    if match[1] != b"1":
        raise ProtocolError("only HTTP/1.1 and HTTP/1.0 are spoken here", 505, "RFC 9110 15.6.6")
    return min(int(match[2]), 1)


def parse_field(line: bytes) -> tuple[str, str]:
    """Lower-case name and value of one field line (RFC 9112 5). Raises ProtocolError."""
    if not (match := FIELD.fullmatch(line.decode("latin-1"))):
        raise refusal_of_field(line)
    return match[1].lower(), match[2].strip(" \t")


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
    if METHOD.fullmatch(name.decode("latin-1")):
        return ProtocolError(f"control character in the value of {name.decode()}", section="RFC 9110 5.5")
    return ProtocolError("illegal character in a header name", section="RFC 9110 5.1")


def parse_fields(rest: bytes, count: int) -> Fields:
    """Version and fields of a head, `b" HTTP/1.1\\r\\nhost: a"`, and the framing they state.

    Raises ProtocolError: 400, or 431 for more than `count` fields, 413, 417, 501, 505.
    """
    lines = rest.decode("latin-1").split("\r\n")
    minor = 1 if lines[0] == " HTTP/1.1" else parse_version(rest[: len(lines[0])])
    del lines[0]
    if len(lines) > count:
        raise ProtocolError(f"more than {count} header fields", 431, "RFC 6585 5")
    stated: dict[str, str] = {}
    # Without the bytes that are legal in a line, nothing but the line ends is left.
    if len(rest.translate(None, LEGAL)) == 2 * len(lines):
        for line in lines:
            name, colon, value = line.partition(":")
            if colon:
                stated[NAMES[name]] = value.strip(" \t")
    if len(stated) == len(lines) and "" not in stated:
        headers = headers_of(stated)
    else:  # a name that repeats, or an error
        headers = Headers([parse_field(line) for line in rest.split(b"\r\n")[1:]])
        stated = headers.as_dict()
    if host := stated.get("host"):
        if ", " in host and len(headers.getall("host")) > 1:
            # RFC 9112 3.2: two of them are two different sites to two parsers.
            raise ProtocolError("more than one Host", section="RFC 9112 3.2")
        check_host(host)
    # An empty Host passes: a client sends it when its target has no authority.
    elif host is None and minor == 1:
        raise ProtocolError("missing Host", section="RFC 9112 3.2")
    framed = "content-length" in stated or "transfer-encoding" in stated
    length = body_length(stated, minor) if framed else 0
    expects = "expect" in stated and expects_continue(stated["expect"]) and minor == 1 and length != 0
    persistent = is_persistent(stated["connection"], minor) if "connection" in stated else minor == 1
    return Fields(headers, length, persistent, expects, minor)


def check_host(value: str) -> None:
    if not (match := HOST.fullmatch(value)) or (match[2] and int(match[2]) > 65535):
        raise ProtocolError("malformed host", section="RFC 3986 3.2.2")
    if match[1]:
        try:
            IPv6Address(match[1])
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
    if names[-1] == "chunked" and names.count("chunked") == 1 and all(METHOD.fullmatch(n) for n in names):
        raise ProtocolError("transfer coding other than chunked", 501, "RFC 9112 6.1")
    raise ProtocolError("Transfer-Encoding is not a final chunked", section="RFC 9112 6.3")


def expects_continue(expectation: str) -> bool:
    if expectation.lower() != "100-continue":
        raise ProtocolError("unknown expectation", 417, "RFC 9110 10.1.1")
    return True


def is_persistent(connection: str, minor: int) -> bool:
    """RFC 9112 9.3: 1.1 persists unless it says close, 1.0 closes unless it says keep-alive."""
    options = [connection.lower()]
    if "," in connection:
        options = [option.strip(" \t") for option in options[0].split(",")]
    return "close" not in options and (minor == 1 or "keep-alive" in options)
