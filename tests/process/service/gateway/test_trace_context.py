"""W3C trace context at the HTTP boundary of the gateway's process, as W3C's own test suite asks for it.

A request goes in over a socket, and the headers of the gateway's own request to the task-manager are compared with it.
The cases are of this project; the rules are those of https://www.w3.org/TR/trace-context-2/.
"""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stack.polling import poll_until
from tests.support.service_process import answers, service_process

TASK = "/api/tasks/00000000-0000-4000-8000-000000000000"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OTHER_TRACE = "9c6f7d1f2b0e4c558f0f8a4f6f2f5d11"
VALID = f"00-{TRACE}-{PARENT}-01"
_FORM = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[0-3])")

Header = tuple[str, str]


@dataclass
class Boundary:
    """The gateway, and the headers of its requests to the task-manager."""

    url: str
    requests: list[list[Header]] = field(default_factory=list)

    def forwarded(self, *headers: Header) -> dict[str, list[str]]:
        """Send a request with these headers, also repeated ones; return the values of each header of the next hop."""
        self.requests.clear()
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        connection.putrequest("GET", TASK)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        connection.getresponse().read()
        connection.close()
        (request,) = self.requests
        values: dict[str, list[str]] = {}
        for name, value in request:
            values.setdefault(name.lower(), []).append(value)
        return values


@pytest.fixture(scope="module")
def boundary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boundary]:
    requests: list[list[Header]] = []

    class TaskManager(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith(TASK):
                requests.append(list(self.headers.items()))
            self.send_response(404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), TaskManager) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        log = tmp_path_factory.mktemp("gateway") / "log"
        with service_process("gateway", Path(log), TASK_MANAGER_URL=f"http://127.0.0.1:{server.server_port}") as (
            _,
            url,
        ):
            poll_until("answer of the gateway", partial(answers, f"{url}/api/health/live"))
            yield Boundary(url, requests)
        server.shutdown()
        thread.join()


def _context(values: dict[str, list[str]]) -> tuple[str, str]:
    """The ids of the trace and of the parent in the one traceparent of a request."""
    (traceparent,) = values["traceparent"]
    match = _FORM.fullmatch(traceparent)
    assert match, traceparent
    assert match[1] != "0" * 32
    assert match[2] != "0" * 16
    return match[1], match[2]


@pytest.mark.parametrize(
    "headers",
    [
        [("traceparent", VALID)],
        [("TraceParent", VALID)],
        [("TRACEPARENT", VALID)],
        [("traceparent", f" \t{VALID}\t ")],
        [("traceparent", f"00-{TRACE}-{PARENT}-00")],
        [("traceparent", f"cc-{TRACE}-{PARENT}-01")],
        [("traceparent", f"cc-{TRACE}-{PARENT}-01-what-comes-later")],
    ],
    ids=repr,
)
def test_a_valid_traceparent_is_continued_with_a_span_of_the_gateway(boundary: Boundary, headers: list[Header]) -> None:
    trace, parent = _context(boundary.forwarded(*headers))
    assert trace == TRACE
    assert parent != PARENT


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", VALID), ("traceparent", f"00-{OTHER_TRACE}-{PARENT}-01")],
        [("traceparent", VALID), ("traceparent", VALID)],
        [("trace-parent", VALID)],
        [("trace.parent", VALID)],
        [("traceparent", "")],
        [("traceparent", f"ff-{TRACE}-{PARENT}-01")],
        [("traceparent", f"0-{TRACE}-{PARENT}-01")],
        [("traceparent", f".0-{TRACE}-{PARENT}-01")],
        [("traceparent", f"{VALID}.")],
        [("traceparent", f"{VALID}-what-comes-later")],
        [("traceparent", f"cc-{TRACE}-{PARENT}-01.what-comes-later")],
        [("traceparent", f"00-{'0' * 32}-{PARENT}-01")],
        [("traceparent", f"00-{TRACE}-{'0' * 16}-01")],
        [("traceparent", f"00-{TRACE[:-1]}-{PARENT}-01")],
        [("traceparent", f"00-{TRACE}0-{PARENT}-01")],
        [("traceparent", f"00-{TRACE}-{PARENT}0-01")],
        [("traceparent", f"00-{TRACE.upper()}-{PARENT}-01")],
        [("traceparent", f"00-{TRACE}-{PARENT[:-1]}.-01")],
        [("traceparent", f"00-{TRACE}-{PARENT}-1")],
        [("traceparent", f"00-{TRACE}-{PARENT}-.1")],
    ],
    ids=repr,
)
def test_a_missing_doubled_or_malformed_traceparent_begins_a_trace_without_the_state(
    boundary: Boundary, headers: list[Header]
) -> None:
    values = boundary.forwarded(*headers, ("tracestate", "vendor=1"))
    assert _context(values)[0] not in (TRACE, OTHER_TRACE)
    assert "tracestate" not in values


@pytest.mark.parametrize(("flags", "forwarded"), [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("fd", "01")])
def test_the_flags_are_forwarded_but_those_that_no_version_knows(
    boundary: Boundary, flags: str, forwarded: str
) -> None:
    (traceparent,) = boundary.forwarded(("traceparent", f"00-{TRACE}-{PARENT}-{flags}"))["traceparent"]
    assert traceparent.endswith(f"-{forwarded}")


_ALL_KEYS = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
_ALL_VALUES = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",=")


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        # In parts, with blanks and empty members.
        (["a=1,b=2"], "a=1,b=2"),
        (["a=1", "b=2"], "a=1,b=2"),
        (["a=1", "", "b=2"], "a=1,b=2"),
        (["a=1 \t,\t b=2"], "a=1,b=2"),
        ([""], None),
        # Of duplicate keys the first member, which is the newest, is kept.
        (["a=1,b=2,a=1"], "a=1,b=2"),
        (["a=1,a=2"], "a=1"),
        (["a=1", "b=2,a=3"], "a=1,b=2"),
        # Keys of several tenants, and all characters of level 2.
        (["tenant@vendor=1"], "tenant@vendor=1"),
        (["0@v=1,a@=2,b@@c=3"], "0@v=1,a@=2,b@@c=3"),
        ([f"{'t' * 241}@{'v' * 14}=1"], f"{'t' * 241}@{'v' * 14}=1"),
        ([f"{'t' * 242}@v=1"], f"{'t' * 242}@v=1"),
        ([f"{_ALL_KEYS}={_ALL_VALUES.lstrip()}"], f"{_ALL_KEYS}={_ALL_VALUES.lstrip()}"),
        # What is malformed takes the whole header with it, and not the trace.
        (["a=1,@v=2"], None),
        (["a=1,B=2"], None),
        (["a=1,b =2"], None),
        (["a=1,b=2=3"], None),
        (["a=1,b"], None),
        ([f"a=1,{'k' * 257}=2"], None),
        ([f"a=1,b={'x' * 257}"], None),
        ([",".join(f"k{number}=1" for number in range(33))], None),
        # As long as the limits allow.
        ([",".join(f"k{number}=1" for number in range(32))], ",".join(f"k{number}=1" for number in range(32))),
        ([f"a={'x' * 256},b={'y' * 251}"], f"a={'x' * 256},b={'y' * 251}"),
        # Longer than 512 characters: members above 128 characters go first, then those at the end.
        ([f"a={'x' * 200},b={'y' * 200},c={'z' * 200},d=4"], f"a={'x' * 200},b={'y' * 200},d=4"),
        ([",".join(f"k{number}={'x' * 60}" for number in range(10))], ",".join(f"k{n}={'x' * 60}" for n in range(8))),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_tracestate_is_forwarded_by_the_rules(boundary: Boundary, states: list[str], expected: str | None) -> None:
    values = boundary.forwarded(("traceparent", VALID), *(("tracestate", state) for state in states))
    assert _context(values)[0] == TRACE
    assert values.get("tracestate") == ([expected] if expected else None)
