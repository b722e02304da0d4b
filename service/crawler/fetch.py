"""Fetches a page, with limits of time, size and redirects."""

import contextlib
import itertools
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import cast

import httpx

from lean_tracing import TraceManager
from lean_tracing.httpx import TracingTransport
from service.crawler import body, charset
from service.crawler.addresses import AddressRefused, AddressRule, GuardedTransport
from service.crawler.extract import PageReader
from service.crawler.network import DEADLINE, Deadline, DeadlineTransport, NoThread

_PORTS = {"http": 80, "https": 443}
_READABLE = ("text/html", "text/plain", "application/xhtml+xml")


class Cause(Enum):
    """What made a fetch fail. The outside world is never a failure of the stack."""

    PAGE = "page"
    """The site answered, or the URL can never be fetched."""
    UNREACHABLE = "unreachable"
    """The site did not answer."""
    STACK = "stack"
    """The crawler, or a page that the stack serves itself."""


class FetchFailed(Exception):
    """The page could not be fetched. The text is the reason, for the user."""

    def __init__(self, reason: str, cause: Cause = Cause.PAGE) -> None:
        super().__init__(reason)
        self.cause = cause


@dataclass(frozen=True, kw_only=True)
class Page:
    """A fetched page, as the result of a task."""

    url: str
    status_code: int
    content_type: str
    title: str
    text: str


def host_of(url: str) -> str:
    """Return the host of a URL that the crawler has requested."""
    return httpx.URL(url).host


class Fetcher:
    """An HTTP client with limits on the memory and the time that a page can cost: see `network`, `body`, `extract`."""

    def __init__(
        self,
        traces: TraceManager,
        *,
        seconds: float,
        max_bytes: int,
        max_redirects: int,
        rule: AddressRule,
        ca: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Prepares it.

        Args:
            traces: traces each request.
            seconds: for the whole fetch, from the first DNS lookup to the end of the body.
            max_bytes: of a page.
            max_redirects: of a page.
            rule: the addresses that may be fetched.
            ca: PEM of an authority that is trusted in addition to the public ones.
            transport: for tests.
        """
        network = transport or GuardedTransport(rule, DeadlineTransport(_trust(ca)))
        self._rule = rule
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._max_redirects = max_redirects
        self._client = httpx.Client(
            # Foreign sites get the trace's ids, which mean nothing to them, but no baggage.
            transport=TracingTransport(traces, network, trusted=False),
            trust_env=False,  # users must not use this machine's proxy or .netrc
            # An address that does not answer leaves time for the next one.
            timeout=httpx.Timeout(seconds, connect=min(seconds, 5.0)),
            # Called for each redirect as well.
            event_hooks={"request": [_only_http]},
            headers={
                "User-Agent": "web-crawl-tracing",
                "Accept": "text/html,text/plain;q=0.9,*/*;q=0.1",
                "Accept-Encoding": body.ACCEPTED,
            },
        )

    def fetch(self, url: str) -> Page:
        """The page at an http(s) URL. Raises FetchFailed for any failure."""
        unanswered = Cause.STACK if self.is_own(url) else Cause.UNREACHABLE
        try:
            return self._follow(url, Deadline(time.monotonic() + self._seconds))
        except FetchFailed:
            raise
        except (AddressRefused, body.BodyRefused) as error:
            raise FetchFailed(str(error)) from None
        except NoThread as error:
            # The lookups before it hang, so name servers do not answer.
            raise FetchFailed(str(error), unanswered) from None
        except httpx.TimeoutException:
            raise FetchFailed(f"no answer within {self._seconds:g} s", unanswered) from None
        except Exception as error:  # also a lack of memory and the like: the task ends with a reason
            cause = _cause(error) or unanswered
            raise FetchFailed(f"cannot be fetched: {_reason(error)}", cause) from error
        finally:
            # A site's cookies must not reach the next user's task.
            self._client.cookies.clear()

    def is_own(self, url: str) -> bool:
        """Whether the stack serves the page itself: the settings name its host."""
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, UnicodeError):
            return False
        return self._rule.names(parsed.host, parsed.port or _PORTS.get(parsed.scheme, 0))

    def _follow(self, url: str, deadline: Deadline) -> Page:
        request = self._client.build_request("GET", url, extensions={DEADLINE: deadline})
        for _ in range(self._max_redirects + 1):
            # Not `follow_redirects`: httpx reads the whole body of each redirect.
            with contextlib.closing(self._client.send(request, stream=True)) as response:
                if response.next_request is None:
                    return self._page(response, deadline)
                request = response.next_request
        raise FetchFailed("too many redirects")

    def _page(self, response: httpx.Response, deadline: Deadline) -> Page:
        if response.status_code >= 400:
            is_failure_of_stack = response.is_server_error and self.is_own(str(response.url))
            cause = Cause.STACK if is_failure_of_stack else Cause.PAGE
            raise FetchFailed(f"the server answered {response.status_code}", cause)
        content_type = response.headers.get("content-type", "text/html")
        media_type = content_type.partition(";")[0].strip().lower()
        title, text = "", ""
        if media_type in _READABLE:
            try:
                title, text = self._read(response, content_type, deadline)
            except httpx.TimeoutException:
                raise FetchFailed(f"no complete answer within {self._seconds:g} s") from None
        return Page(
            url=str(response.url)[:2048],
            status_code=response.status_code,
            content_type=media_type[:100],
            title=title,
            text=text,
        )

    def _read(self, response: httpx.Response, content_type: str, deadline: Deadline) -> tuple[str, str]:
        # Not `iter_bytes`: httpx decodes any number of encodings, without a limit.
        raw = cast(Iterable[bytes], response.stream)  # the client is synchronous
        pieces = body.pieces(raw, response.headers.get("content-encoding", ""), self._max_bytes)
        head = b""
        while len(head) < charset.HEAD_BYTES and (piece := next(pieces, b"")):
            deadline.left()
            head += piece
        decoder = charset.decoder(content_type, head)
        reader = PageReader()
        for piece in itertools.chain([head], pieces):
            deadline.left()
            reader.feed(decoder.decode(piece))
        reader.feed(decoder.decode(b"", final=True))
        return reader.close()

    def start(self) -> None:
        """Does nothing: connections open at their first use."""

    def stop(self) -> None:
        """Closes the connections."""
        self._client.close()


def _trust(ca: str | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    if ca:
        context.load_verify_locations(cadata=ca)
    return context


def _cause(error: Exception) -> Cause | None:
    """Returns the cause, or None if the site did not answer."""
    if isinstance(error, (httpx.InvalidURL, httpx.RemoteProtocolError, httpx.UnsupportedProtocol, UnicodeError)):
        return Cause.PAGE
    if isinstance(error, (httpx.TransportError, OSError)):
        return None
    return Cause.STACK


def _reason(error: Exception) -> str:
    """For the user: without addresses, and without anything that the server sent."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (socket.gaierror, UnicodeError)):
            return "its host has no address"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "the server's certificate is not valid for it"
        if isinstance(cause, ssl.SSLError):
            return "the server speaks no TLS there"
        if isinstance(cause, ConnectionRefusedError):
            return "the server accepts no connections"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.RemoteProtocolError):
        return "the server's answer is not valid HTTP"
    if isinstance(error, httpx.NetworkError):
        return "the connection was lost"
    if isinstance(error, httpx.InvalidURL):
        return "the URL is not valid"
    return type(error).__name__


def _only_http(request: httpx.Request) -> None:
    if request.url.scheme not in ("http", "https") or not request.url.host:
        raise FetchFailed("only http and https URLs are fetched")
