"""Fetches a page within limits of time, size and redirects."""

from __future__ import annotations

import codecs
import time
from dataclasses import dataclass

import httpx

from service.crawler.addresses import AddressRefused, AddressRule, GuardedTransport
from service.crawler.extract import extract
from service.tracing import TraceManager
from service.tracing.httpx import TracingTransport

_READABLE = ("text/html", "text/plain", "application/xhtml+xml")


class FetchFailed(Exception):
    """The page could not be had; the text says why, for the user."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a task's result holds."""

    url: str
    status_code: int
    content_type: str
    title: str
    text: str


class Fetcher:
    """An HTTP client with limits."""

    def __init__(
        self,
        traces: TraceManager,
        *,
        seconds: float,
        max_bytes: int,
        max_redirects: int,
        rule: AddressRule,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """seconds: for the whole fetch, redirects and body included. transport: replaces the network, in tests."""
        # No connection is kept: see GuardedTransport.
        network = GuardedTransport(rule, httpx.HTTPTransport(limits=httpx.Limits(max_keepalive_connections=0)))
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._client = httpx.Client(
            # Foreign sites get the trace's ids, which lead nowhere for them, but no baggage.
            transport=TracingTransport(traces, transport or network, trusted=False),
            trust_env=False,  # a proxy or a .netrc of this machine is not the users'
            timeout=httpx.Timeout(seconds, connect=min(seconds, 5.0)),
            follow_redirects=True,
            max_redirects=max_redirects,
            # Called for every hop of a redirect as well.
            event_hooks={"request": [_only_http]},
            headers={"User-Agent": "web-crawl-tracing", "Accept": "text/html,text/plain;q=0.9,*/*;q=0.1"},
        )

    def fetch(self, url: str) -> Page:
        """The page at an http(s) URL. Raises FetchFailed for whatever goes wrong on the way."""
        deadline = time.monotonic() + self._seconds
        try:
            with self._client.stream("GET", url) as response:
                if response.status_code >= 400:
                    raise FetchFailed(f"the server answered {response.status_code}")
                content_type = response.headers.get("content-type", "text/html").partition(";")[0].strip().lower()
                title, text = "", ""
                if content_type in _READABLE:
                    body = self._body(response, deadline).decode(_encoding(response), "replace")
                    title, text = extract(body)
                return Page(
                    url=str(response.url)[:2048],
                    status_code=response.status_code,
                    content_type=content_type[:100],
                    title=title,
                    text=text,
                )
        except AddressRefused as error:
            raise FetchFailed(str(error)) from None
        except httpx.TimeoutException:
            raise FetchFailed(f"no answer within {self._seconds:g} s") from None
        except httpx.TooManyRedirects:
            raise FetchFailed("too many redirects") from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise FetchFailed(f"cannot be fetched ({type(error).__name__})") from error
        finally:
            # A site's cookies must not pass from one user's task to the next.
            self._client.cookies.clear()

    def _body(self, response: httpx.Response, deadline: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > self._max_bytes:
                raise FetchFailed(f"longer than {self._max_bytes} bytes")
            # httpx limits each read; a server that drips would take for ever.
            if time.monotonic() > deadline:
                raise FetchFailed(f"no complete answer within {self._seconds:g} s")
        return bytes(body)

    def start(self) -> None:
        """Nothing to do: connects when first used."""

    def stop(self) -> None:
        """Closes the connections."""
        self._client.close()


def _only_http(request: httpx.Request) -> None:
    if request.url.scheme not in ("http", "https") or not request.url.host:
        raise FetchFailed("only http and https URLs are fetched")


def _encoding(response: httpx.Response) -> str:
    name = response.charset_encoding or "utf-8"
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "utf-8"
