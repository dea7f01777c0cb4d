"""Each contender's answer, compared with what every contender must answer, before anything is measured.

Owns: asking a server over one connection, the comparison, and warming it up by asking again.
Must not know: who answers.
Invariant: what passes here has the right status and body, and kept the connection open unless asked to close it. Other
header fields are free (Date, Server, Content-Type's parameters, Content-Length or chunks): their names are recorded.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from typing import Any

from benchmarks.databases import person
from benchmarks.workloads import MEBIBYTES, Workload

WARM = 200  # requests before the first measurement of a workload
ID, AGE = 7, 7  # the age that this person has: updating changes nothing for those who come after


class WrongAnswer(RuntimeError):
    """The contender answers something else; the text says what."""


def expected(workload: Workload) -> Any:
    if workload.kind == "upload":
        return str(int(MEBIBYTES * 2**20))
    if workload.expect is not None:
        return workload.expect
    if workload.method == "POST":
        return {"id": ID, "age": AGE}
    return person(ID) if "{id}" in workload.path else [person(n) for n in range(1, 21)]


def canned(workload: Workload) -> str:
    """An answer that passes, as a server writes it that reads nothing."""
    right = expected(workload)
    return json.dumps(right) if workload.compare == "json" else str(right)


def normal(workload: Workload, text: str) -> Any:
    """What is compared of an answer: all of it, the value it means, or a page without the white space in between."""
    if workload.compare == "json":
        return json.loads(text)
    if workload.compare == "html":
        return re.sub(r">\s+<", "><", text.strip())
    return text


def compare(workload: Workload, status: int, text: str) -> None:
    """Raises WrongAnswer."""
    right = expected(workload)
    try:
        same = normal(workload, text) == (normal(workload, right) if workload.compare == "html" else right)
    except ValueError:
        same = False
    if status != 200 or not same:
        raise WrongAnswer(f"{workload.name}: answered {status} {text[:120]!r} instead of {str(right)[:120]!r}")


def connect(workload: Workload, port: int) -> http.client.HTTPConnection:
    if workload.variant != "tls":
        return http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # wrk looks at no certificate either
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)


def ask(workload: Workload, connection: http.client.HTTPConnection) -> tuple[http.client.HTTPResponse, bytes]:
    path = workload.path.replace("{id}", str(ID)).replace("{new}", "1")
    body = workload.body.replace("{age}", str(AGE)).encode() or None
    connection.request(workload.method, path, body, dict(workload.headers))
    answer = connection.getresponse()
    return answer, answer.read()


def check(workload: Workload, port: int) -> dict[str, Any]:
    """Compare, then ask some more to warm up; returns what is recorded of the answer. Raises WrongAnswer."""
    connection = connect(workload, port)
    try:
        answer, body = ask(workload, connection)
        compare(workload, answer.status, body.decode())
        if answer.will_close and workload.variant != "once":
            raise WrongAnswer(f"{workload.name}: the connection is not kept open")
        for _ in range(WARM):
            again, _ = ask(workload, connection)
            if again.status != 200:
                raise WrongAnswer(f"{workload.name}: answered 200 first, and {again.status} later")
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswer(f"{workload.name}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    if workload.depth > 1:
        check_burst(workload, port)
    return {"fields": sorted({name.lower() for name, _ in answer.getheaders()}), "body_bytes": len(body)}


def check_burst(workload: Workload, port: int) -> None:
    """As many answers as requests that came in one write."""
    request = f"{workload.method} {workload.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    wanted, answered = str(workload.expect).encode(), b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(request * workload.depth)
        while answered.count(wanted) < workload.depth:
            data = client.recv(65536)
            if not data:
                raise WrongAnswer(f"{workload.name}: {answered.count(wanted)} of {workload.depth} answers came")
            answered += data
