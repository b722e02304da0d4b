"""The crawler's limits of time and memory hold for hostile sites, and the user gets the reason of the failure."""

import contextlib
import gzip
import ipaddress
import socket
import threading
import time
import zlib
from pathlib import Path

import pytest

from checks.harness.ports import free_port
from contracts.tasks import REFUSED
from lean_tracing.testing import Recorder
from service.crawler.addresses import AddressRule
from service.crawler.fetch import Fetcher, FetchFailed
from stack.polling import poll_until
from tests.support.sites import FOR_EVER, HOSTILE, Site, dripping, page, serving

_SECONDS = 0.4
_MOST_SECONDS = 10
"""Much less than any of these sites lasts, and more than a busy machine takes."""
"""With a margin for a busy machine."""
_MAX_BYTES = 2_000_000
_MOST_MEBIBYTES = 24
LOOPBACK = AddressRule(networks=(ipaddress.ip_network("127.0.0.0/8"),))


def _fetcher(recorder: Recorder, seconds: float = _SECONDS, max_bytes: int = _MAX_BYTES) -> Fetcher:
    return Fetcher(recorder.traces, seconds=seconds, max_bytes=max_bytes, max_redirects=3, rule=LOOPBACK)


def _peak_mebibytes(*, reset: bool = False) -> float:
    """The peak of this process's memory since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_site_costs_no_more_than_its_limits(name: str, recorder: Recorder) -> None:
    fetcher = _fetcher(recorder)
    with serving(HOSTILE[name]()) as port:
        initial_peak = _peak_mebibytes(reset=True)
        started = time.monotonic()
        with pytest.raises(FetchFailed):
            fetcher.fetch(f"http://127.0.0.1:{port}/")
        assert time.monotonic() - started < _MOST_SECONDS
        assert _peak_mebibytes() - initial_peak < _MOST_MEBIBYTES


def test_a_tls_handshake_that_never_ends_times_out(recorder: Recorder) -> None:
    started = time.monotonic()
    with serving(HOSTILE["no answer"]()) as port, pytest.raises(FetchFailed, match=r"no answer within 0\.4 s"):
        _fetcher(recorder).fetch(f"https://127.0.0.1:{port}/")
    assert time.monotonic() - started < _MOST_SECONDS


def test_a_site_that_accepts_no_connection_times_out(recorder: Recorder) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:  # fill the backlog
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        started = time.monotonic()
        with pytest.raises(FetchFailed, match="no answer within"):
            _fetcher(recorder).fetch(f"http://127.0.0.1:{port}/")
        assert time.monotonic() - started < _MOST_SECONDS
        for client in waiting:
            client.close()


def test_a_dns_lookup_that_never_ends_times_out(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(FOR_EVER) and [])
    started = time.monotonic()
    with pytest.raises(FetchFailed, match="no answer within"):
        _fetcher(recorder).fetch("http://site.example/")
    assert time.monotonic() - started < _MOST_SECONDS
    released.set()


def test_the_time_limit_includes_redirects(recorder: Recorder) -> None:
    def slow_redirect(connection: socket.socket) -> None:
        threading.Event().wait(0.3)
        connection.sendall(b"HTTP/1.1 302 Found\r\nlocation: /next\r\ncontent-length: 0\r\n\r\n")

    started = time.monotonic()
    with serving(slow_redirect) as port, pytest.raises(FetchFailed, match=r"no answer within 0\.4 s"):
        _fetcher(recorder).fetch(f"http://127.0.0.1:{port}/")
    assert time.monotonic() - started < _MOST_SECONDS


_HTML = "<title>Caf\u00e9</title>" + "<p>all of it</p>" * 50


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(_HTML.encode()), b"gzip"),
        (gzip.compress(_HTML.encode()) + b"what follows is not read" * 9, b"X-GZIP"),
        (zlib.compress(_HTML.encode()), b"deflate"),
        (zlib.compress(_HTML.encode())[2:-4], b"deflate"),
        (_HTML.encode(), b"identity"),
        (gzip.compress(_HTML.encode()), b"identity, gzip,"),
    ],
    ids=["gzip", "gzip with bytes after its end", "deflate", "deflate without its header", "identity", "a list"],
)
def test_one_content_encoding_is_decoded(body: bytes, encoding: bytes, recorder: Recorder) -> None:
    with serving(page(body, b"content-encoding: " + encoding)) as port:
        fetched = _fetcher(recorder, seconds=5).fetch(f"http://127.0.0.1:{port}/")
    assert fetched.title == "Caf\u00e9"
    assert fetched.text.startswith("all of it all of it")


def test_a_page_may_be_as_long_as_the_limit(recorder: Recorder) -> None:
    for body, fits in ((b"a" * 100_000, True), (b"a" * 100_001, False)):
        for sent in (page(body), page(gzip.compress(body, 0), b"content-encoding: gzip")):
            with serving(sent) as port:
                fetcher = _fetcher(recorder, seconds=5, max_bytes=100_000)
                if fits:
                    assert fetcher.fetch(f"http://127.0.0.1:{port}/").text == "a" * 2000
                else:
                    with pytest.raises(FetchFailed, match="longer than 100000 bytes"):
                        fetcher.fetch(f"http://127.0.0.1:{port}/")


def test_each_redirect_has_its_own_span(recorder: Recorder) -> None:
    def twice(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 302 Found\r\nlocation: /next\r\n\r\nnot read")

    with serving(twice) as port, pytest.raises(FetchFailed, match="too many redirects"):
        _fetcher(recorder, seconds=5).fetch(f"http://127.0.0.1:{port}/")
    redirects = [span.attributes for span in recorder.spans() if span.name == "GET"][-4:]
    assert [attributes["http.request.resend_count"] for attributes in redirects[1:] if attributes] == [1, 2, 3]


def test_the_spans_of_a_slow_site_end(recorder: Recorder) -> None:
    earlier = len(recorder.spans())
    with serving(dripping(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n", 0.05)) as port, pytest.raises(FetchFailed):
        _fetcher(recorder).fetch(f"http://127.0.0.1:{port}/")
    assert [span.name for span in recorder.spans()[earlier:]] == ["GET"]


@pytest.mark.parametrize("error", [MemoryError, RecursionError, OverflowError, OSError, RuntimeError, ValueError])
def test_a_lookup_that_raises_fails_the_fetch(
    error: type[Exception], recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(FetchFailed, match="cannot be fetched"):
        _fetcher(recorder).fetch("http://site.example/")


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_without_threads_a_fetch_fails_and_the_next_does_not(
    error: Exception, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> None:
        raise error

    used = _fetcher(recorder)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fails)
        for _ in range(20):
            with pytest.raises(FetchFailed, match="has no thread left"):
                used.fetch("http://site.example/")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    with pytest.raises(FetchFailed, match="not a public one"):
        used.fetch("http://site.example/")


def test_lookups_that_hang_are_limited(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(FOR_EVER) and [])
    used = _fetcher(recorder, 0.01)
    thread_count = threading.active_count()
    failures = []
    for _ in range(30):
        with pytest.raises(FetchFailed) as failed:
            used.fetch("http://site.example/")
        failures.append(str(failed.value))
    assert threading.active_count() - thread_count == 16
    assert failures[15:17] == ["no answer within 0.01 s", "too many DNS lookups have no answer yet"]
    released.set()
    poll_until("the threads' end", lambda: threading.active_count() == thread_count)
    with pytest.raises(FetchFailed, match="not a public one"):
        used.fetch("http://site.example/")


def _no_tls(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def _no_http(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


@pytest.mark.parametrize(
    ("site", "url", "reason"),
    [
        (None, "http://127.0.0.1:{port}/", REFUSED),
        (None, "http://no-such-host.invalid/", "its host has no address"),
        (_no_tls, "https://127.0.0.1:{port}/", "the server speaks no TLS there"),
        (_no_http, "http://127.0.0.1:{port}/", "the server's answer is not valid HTTP"),
    ],
    ids=["closed port", "unknown host", "no TLS", "no HTTP"],
)
def test_a_user_reads_why_a_page_cannot_be_fetched(
    site: Site | None, url: str, reason: str, recorder: Recorder
) -> None:
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(serving(site)) if site else free_port()
        with pytest.raises(FetchFailed, match=reason):
            _fetcher(recorder, seconds=5).fetch(url.format(port=port))
