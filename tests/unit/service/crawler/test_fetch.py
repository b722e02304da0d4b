"""Pages are fetched within limits; each failure has a reason for the user."""

import httpx
import pytest

from lean_tracing.testing import Recorder
from service.crawler.addresses import AddressRule
from service.crawler.fetch import Cause, Fetcher, FetchFailed


def _site(request: httpx.Request) -> httpx.Response:
    path = request.url.path
    if path == "/slow":
        raise httpx.ReadTimeout("slow", request=request)
    if path == "/loop":
        return httpx.Response(302, headers={"location": "/loop"})
    if path == "/broken":
        return httpx.Response(503)
    if path == "/refused":
        raise httpx.ConnectError("refused", request=request)
    if path == "/bug":
        raise KeyError("bug")
    if path == "/local":
        return httpx.Response(302, headers={"location": "file:///etc/passwd"})
    if path == "/long":
        return httpx.Response(200, html="x" * 5000)
    if path == "/image":
        return httpx.Response(200, content=b"\x89PNG", headers={"content-type": "image/png"})
    if path == "/odd":
        return httpx.Response(200, content=b"<title>\xe9</title>", headers={"content-type": "text/html; charset=odd"})
    return httpx.Response(200 if path == "/" else 404, html="<title>Home</title>hello")


@pytest.fixture
def fetcher(recorder: Recorder) -> Fetcher:
    site = httpx.MockTransport(_site)
    return Fetcher(recorder.traces, seconds=5, max_bytes=1000, max_redirects=3, rule=AddressRule(), transport=site)


def test_page_is_fetched(fetcher: Fetcher) -> None:
    page = fetcher.fetch("http://site.example/")
    assert (page.title, page.text, page.status_code, page.content_type) == ("Home", "hello", 200, "text/html")
    assert fetcher.fetch("http://site.example/image").text == ""
    assert fetcher.fetch("http://site.example/odd").title == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://site.example/missing", "answered 404"),
        ("http://site.example/slow", "no answer within 5 s"),
        ("http://site.example/loop", "too many redirects"),
        ("http://site.example/local", "only http and https"),
        ("http://site.example/long", "longer than 1000 bytes"),
        ("ftp://site.example/", "only http and https"),
        ("http://", "only http and https"),
        ("http://x\x00y/", "cannot be fetched"),
    ],
)
def test_what_cannot_be_fetched_says_why(fetcher: Fetcher, url: str, reason: str) -> None:
    with pytest.raises(FetchFailed, match=reason):
        fetcher.fetch(url)


@pytest.mark.parametrize(
    ("path", "of_web_site", "of_own_page"),
    [
        ("missing", Cause.PAGE, Cause.PAGE),
        ("loop", Cause.PAGE, Cause.PAGE),
        ("broken", Cause.PAGE, Cause.STACK),
        ("slow", Cause.UNREACHABLE, Cause.STACK),
        ("refused", Cause.UNREACHABLE, Cause.STACK),
        ("bug", Cause.STACK, Cause.STACK),
    ],
)
def test_only_own_pages_and_bugs_are_failures_of_the_stack(
    path: str, of_web_site: Cause, of_own_page: Cause, recorder: Recorder
) -> None:
    rule = AddressRule(hosts=frozenset({"own:8080"}))
    site = httpx.MockTransport(_site)
    fetcher = Fetcher(recorder.traces, seconds=5, max_bytes=1000, max_redirects=3, rule=rule, transport=site)
    for host, cause in (("site.example", of_web_site), ("own:8080", of_own_page)):
        with pytest.raises(FetchFailed) as failed:
            fetcher.fetch(f"http://{host}/{path}")
        assert failed.value.cause is cause
