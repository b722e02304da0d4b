"""The crawler answers each request, with the page or with the reason of the failure."""

import dataclasses
import logging
import uuid
from typing import Any

import pytest
from opentelemetry import trace
from prometheus_client import CollectorRegistry

from contracts import span_attributes
from lean_tracing.testing import Recorder
from service.common import messages
from service.common.errors import MalformedMessage
from service.common.messages import CompletedMessage, FailedMessage, Outgoing, TaskRequest
from service.crawler.fetch import Cause, FetchFailed, Page
from service.crawler.handler import CrawlHandler
from tests.support.messages import received

TASK_ID = uuid.UUID("11111111-2222-4333-8444-555555555555")
BODY = TaskRequest(user_email="ada@example.com", user_query="?", base_url="http://site.example/")


def _fetch(url: str) -> Page:
    if url.endswith("/missing"):
        raise FetchFailed("the server answered 404")
    return Page(url=url, status_code=200, content_type="text/html", title="Home", text="hello")


def test_crawler_answers_with_the_page_or_the_reason(recorder: Recorder) -> None:
    sent: list[Outgoing] = []
    handle = CrawlHandler(_fetch, sent.append, recorder.traces, CollectorRegistry())
    missing = BODY.model_copy(update={"url": "http://site.example/missing"})
    assert handle(received(messages.crawl_request(TASK_ID, BODY))) == "completed"
    assert handle(received(messages.crawl_request(TASK_ID, missing))) == "error"
    good, bad = (messages.read_status(message.headers, message.value) for message in sent)
    assert isinstance(good, CompletedMessage)
    result: Any = good.result
    assert result["title"] == "Home"
    assert bad == FailedMessage(id=TASK_ID, error="the server answered 404")


class _Lines(logging.Handler):
    """Keeps each line with its level, its task and the trace that is active when it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str, Any, int]] = []

    def emit(self, record: logging.LogRecord) -> None:
        trace_id = trace.get_current_span().get_span_context().trace_id
        self.lines.append((record.levelname, record.getMessage(), getattr(record, span_attributes.TASK_ID), trace_id))


def test_each_crawl_writes_one_line_with_its_trace(recorder: Recorder) -> None:
    logger, lines = logging.getLogger("service.crawler.handler"), _Lines()
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        handle = CrawlHandler(_fetch, lambda _: None, recorder.traces, CollectorRegistry())
        handle(received(messages.crawl_request(TASK_ID, BODY)))
        handle(received(messages.crawl_request(TASK_ID, BODY.model_copy(update={"url": "http://a.example/missing"}))))
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)
    traces = [span.context.trace_id for span in recorder.spans() if span.context]
    assert lines.lines == [
        ("INFO", "page fetched", str(TASK_ID), traces[0]),
        ("WARNING", "page not fetched: the server answered 404", str(TASK_ID), traces[1]),
    ]


def test_a_dead_lettered_request_is_answered(recorder: Recorder) -> None:
    sent: list[Outgoing] = []
    handler = CrawlHandler(lambda _: pytest.fail("nothing to fetch"), sent.append, recorder.traces, CollectorRegistry())
    unreadable = dataclasses.replace(messages.crawl_request(TASK_ID, BODY), value=b"\xff")
    with pytest.raises(MalformedMessage):
        handler(received(unreadable))
    handler.abandon(received(unreadable), "body: Invalid JSON")
    handler.abandon(received(dataclasses.replace(unreadable, headers=())), "no task waits for it")
    (answer,) = (messages.read_status(message.headers, message.value) for message in sent)
    assert answer == FailedMessage(id=TASK_ID, error="the page could not be crawled: body: Invalid JSON")


def test_pages_are_counted_by_whose_failure_it_is(recorder: Recorder) -> None:
    causes = {"/broken": Cause.STACK, "/dead": Cause.UNREACHABLE, "/missing": Cause.PAGE}

    def fetch(url: str) -> Page:
        for path, cause in causes.items():
            if url.endswith(path):
                raise FetchFailed("it fails", cause)
        return _fetch(url)

    registry = CollectorRegistry()
    handle = CrawlHandler(fetch, lambda _: None, recorder.traces, registry, lambda url: "//own/" in url)

    def crawl(*urls: str) -> float | None:
        for number, url in enumerate(urls):
            task = BODY.model_copy(update={"url": url, "user_email": f"{number}@example.com"})
            handle(received(messages.crawl_request(TASK_ID, task)))
        return registry.get_sample_value("crawler_unreachable_sites")

    assert crawl("http://a.example/dead", "http://a.example/dead", "http://b.example/dead") == 1
    assert crawl("http://own/", "http://own/broken") == 1, "the stack's own page says nothing about the web"
    assert crawl("http://c.example/missing") == 0
    assert crawl("http://d.example/dead", "http://e.example/dead") == 1
    assert crawl("http://c.example/") == 0
    counts = {
        outcome: registry.get_sample_value("crawler_pages_total", {"outcome": outcome})
        for outcome in ("completed", "error", "failed")
    }
    assert counts == {"completed": 2, "error": 6, "failed": 1}
