"""The task-manager's domain and use cases, with fakes; the messages; the crawler's reading of pages."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from contracts.tasks import TaskStatus
from service.common import messages
from service.common.errors import MalformedMessage, Rejected, Unavailable
from service.common.kafka.received import Received
from service.common.messages import CompletedMessage, CrawlRequest, FailedMessage, NewMessage, Outgoing, TaskRequest
from service.crawler.addresses import AddressRule
from service.crawler.extract import extract
from service.crawler.fetch import Fetcher, FetchFailed
from service.crawler.handler import CrawlHandler
from service.task_manager.domain import IllegalTransition, NewTask, Task
from service.task_manager.kafka import StatusHandler
from service.task_manager.use_cases import Outcome, Tasks
from tests.support.service import Recorder

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TASK_ID = uuid.UUID("11111111-2222-4333-8444-555555555555")
NEW = NewTask(id=TASK_ID, user_email="ada@example.com", user_query="?", url="http://site.example/")
BODY = TaskRequest(user_email="ada@example.com", user_query="?", base_url="http://site.example/")


def _task(status: TaskStatus = TaskStatus.NEW) -> Task:
    return Task(
        id=TASK_ID,
        user_email="ada@example.com",
        user_query="?",
        url="http://site.example/",
        status=status,
        created_at=NOW,
        updated_at=NOW,
    )


def test_no_task_ends_before_it_was_made() -> None:
    for ended in (
        _task().complete({}, NOW - timedelta(seconds=2)),
        _task().fail("why", NOW - timedelta(days=400)),
    ):
        assert ended.updated_at == ended.created_at


class FakeTasks:
    """Repository and unit of work in one."""

    def __init__(self) -> None:
        self.stored: dict[uuid.UUID, Task] = {}
        self.away = False

    @contextmanager
    def begin(self) -> Iterator[FakeTasks]:
        if self.away:
            raise Unavailable("the database is unavailable")
        before = dict(self.stored)
        try:
            yield self
        except BaseException:
            self.stored = before
            raise

    def add(self, task: Task) -> bool:
        added = task.id not in self.stored
        self.stored.setdefault(task.id, task)
        return added

    def get(self, task_id: uuid.UUID, *, for_update: bool = False) -> Task | None:
        return self.stored.get(task_id)

    def update(self, task: Task) -> None:
        self.stored[task.id] = task

    def list(
        self, *, limit: int, after: tuple[datetime, uuid.UUID] | None = None, status: TaskStatus | None = None
    ) -> Sequence[Task]:
        newest_first = sorted(self.stored.values(), key=lambda task: (task.created_at, task.id), reverse=True)
        wanted = [task for task in newest_first if after is None or (task.created_at, task.id) < after]
        return [task for task in wanted if status in (None, task.status)][:limit]

    def count_by_status(self, since: Sequence[datetime]) -> Sequence[Mapping[TaskStatus, int]]:
        return [
            {
                status: sum(task.status is status and task.created_at >= time for task in self.stored.values())
                for status in TaskStatus
            }
            for time in since
        ]

    def oldest(self, status: TaskStatus) -> datetime | None:
        return min((task.created_at for task in self.stored.values() if task.status is status), default=None)


class FakePublisher:
    def __init__(self) -> None:
        self.requested: list[Task] = []
        self.away = False
        self.refuses = False

    def request_crawl(self, task: Task) -> None:
        if self.away:
            raise Unavailable("Kafka is unavailable")
        if self.refuses:
            raise Rejected("Kafka does not take the message")
        self.requested.append(task)


class FakeObserver:
    """Observer and operation in one; remembers what it was told."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @contextmanager
    def operation(self, name: str, task_id: uuid.UUID) -> Iterator[FakeObserver]:
        self.seen.append(name)
        yield self

    def event(self, name: str) -> None:
        self.seen.append(name)

    def task(self, task: Task) -> None:
        self.seen.append(f"is {task.status}")

    def ended(self, outcome: str) -> None:
        self.seen.append(outcome)


class World:
    """The use cases with all their fakes."""

    def __init__(self) -> None:
        self.tasks, self.publisher, self.observer = FakeTasks(), FakePublisher(), FakeObserver()
        self.cases = Tasks(self.tasks, self.publisher, self.observer, clock=lambda: NOW + timedelta(seconds=3))
        self.handle = StatusHandler(self.cases)


@pytest.fixture
def world() -> World:
    return World()


# --- domain -----------------------------------------------------------------------------------------------------------


def test_a_new_task_can_end_both_ways_and_an_ended_one_stays() -> None:
    later = NOW + timedelta(seconds=1)
    completed = _task().complete({"title": "x"}, later)
    failed = _task().fail("gone", later)
    assert (completed.status, completed.result, completed.updated_at) == (TaskStatus.COMPLETED, {"title": "x"}, later)
    assert (failed.status, failed.result) == (TaskStatus.ERROR, {"error": "gone"})
    for ended in (completed, failed):
        with pytest.raises(IllegalTransition, match="cannot become"):
            ended.complete(None, later)
        with pytest.raises(IllegalTransition):
            ended.fail("again", later)


# --- use cases --------------------------------------------------------------------------------------------------------


def test_create_stores_then_requests(world: World) -> None:
    assert world.cases.create(NEW) is Outcome.CREATED
    assert world.publisher.requested == [world.tasks.stored[TASK_ID]]
    assert world.observer.seen == ["create task", "is new", "task.stored", "task.crawl_requested", "created"]


def test_create_again_is_a_duplicate_and_requests_again_only_while_new(world: World) -> None:
    world.cases.create(NEW)
    assert world.cases.create(NEW) is Outcome.DUPLICATE
    assert len(world.publisher.requested) == 2
    world.cases.complete(TASK_ID, "page")
    assert world.cases.create(NEW) is Outcome.DUPLICATE
    assert len(world.publisher.requested) == 2
    assert world.tasks.stored[TASK_ID].status is TaskStatus.COMPLETED


def test_a_request_that_failed_is_made_up_for_by_the_next_try(world: World) -> None:
    world.publisher.away = True
    with pytest.raises(Unavailable):
        world.cases.create(NEW)
    world.publisher.away = False
    assert world.cases.create(NEW) is Outcome.DUPLICATE
    assert len(world.publisher.requested) == 1


def test_ends_are_idempotent_and_visible_when_out_of_order(world: World) -> None:
    assert world.cases.complete(TASK_ID, "page") is Outcome.UNKNOWN_TASK
    world.cases.create(NEW)
    assert world.cases.complete(TASK_ID, "page") is Outcome.COMPLETED
    assert world.cases.complete(TASK_ID, "other") is Outcome.DUPLICATE
    assert world.cases.fail(TASK_ID, "late") is Outcome.OUT_OF_ORDER
    assert world.tasks.stored[TASK_ID].result == "page"
    assert world.observer.seen[-1] == "out_of_order"


def test_list_and_count(world: World) -> None:
    world.cases.create(NEW)
    task = world.cases.get(TASK_ID)
    assert task is not None
    assert world.cases.list(limit=10) == [task]
    assert world.cases.list(limit=10, after=(task.created_at, task.id)) == []
    assert world.cases.list(limit=10, status=TaskStatus.ERROR) == []
    recent, none = world.cases.count_by_status([timedelta(hours=1), timedelta(hours=-1)])
    assert (recent[TaskStatus.NEW], recent[TaskStatus.ERROR], none[TaskStatus.NEW]) == (1, 0, 0)


def test_age_of_the_oldest_open_task(world: World) -> None:
    assert world.cases.oldest_open() == timedelta()
    world.cases.create(NEW)
    first = world.cases.oldest_open()
    assert timedelta() <= first < timedelta(minutes=1)
    world.tasks.stored[TASK_ID] = dataclasses.replace(
        world.tasks.stored[TASK_ID], created_at=world.tasks.stored[TASK_ID].created_at - timedelta(hours=1)
    )
    assert world.cases.oldest_open() >= timedelta(hours=1)
    world.cases.complete(TASK_ID, "page")
    assert world.cases.oldest_open() == timedelta()


def test_another_request_under_the_same_id_changes_nothing(world: World) -> None:
    world.cases.create(NEW)
    before = world.tasks.stored[TASK_ID]
    assert world.cases.create(dataclasses.replace(NEW, user_query="something else")) is Outcome.CONFLICT
    assert world.tasks.stored[TASK_ID] == before
    assert len(world.publisher.requested) == 1


# --- messages ---------------------------------------------------------------------------------------------------------


def _received(message: Outgoing, offset: int = 0) -> Received:
    return Received(headers=message.headers, value=message.value, topic=message.topic, partition=0, offset=offset)


def test_messages_read_back_as_written() -> None:
    request = CrawlRequest(id=TASK_ID, task=BODY)
    written = [
        messages.new(TASK_ID, BODY),
        messages.completed(request, {"title": "x"}),
        messages.failed(request, "gone"),
    ]
    assert [messages.read_status(message.headers, message.value) for message in written] == [
        NewMessage(id=TASK_ID, task=BODY),
        CompletedMessage(id=TASK_ID, result={"title": "x"}),
        FailedMessage(id=TASK_ID, error="gone"),
    ]
    asked = messages.crawl_request(TASK_ID, BODY)
    assert messages.read_crawl_request(asked.headers, asked.value) == request
    assert {message.key for message in (*written, asked)} == {str(TASK_ID)}
    assert {name for name, _ in written[0].headers} == {"status", "id", "timestamp"}


@pytest.mark.parametrize(
    ("headers", "value", "reason"),
    [
        ([], b"{}", "header status is missing"),
        ([("status", b"odd")], b"{}", "none of new, completed, error"),
        ([("status", b"completed")], b'{"crawl_result": 1}', "header id is missing"),
        ([("status", b"completed"), ("id", b"7")], b'{"crawl_result": 1}', "header id is no UUID"),
        ([("status", b"new")], b"", "body"),
        ([("status", b"new")], None, "body"),
        ([("status", b"new")], b'{"user_email": "private@", "user_query": "x", "base_url": "http://x"}', "user_email"),
        ([("status", b"new")], b'{"user_email": "a@b.cc", "user_query": "x", "base_url": "file:///x"}', "base_url"),
        ([("status", b"new")], b'{"user_email": "a@b.cc", "user_query": "\\u0000", "base_url": "http://x"}', "NUL"),
        ([("status", b"completed"), ("id", str(TASK_ID).encode())], b'{"crawl_result": {"a": ["\\u0000"]}}', "NUL"),
        ([("status", b"completed"), ("id", str(TASK_ID).encode())], b'{"crawl_result": [NaN]}', "crawl_result|body"),
        ([("status", b"completed"), ("id", str(TASK_ID).encode())], b'{"crawl_result": 1e999}', "crawl_result|body"),
    ],
)
def test_malformed_messages_say_why_without_values(
    headers: list[tuple[str, bytes]], value: bytes | None, reason: str
) -> None:
    with pytest.raises(MalformedMessage, match=reason) as error:
        messages.read_status(headers, value)
    assert "private@" not in str(error.value)


@given(
    headers=st.lists(st.tuples(st.sampled_from(["status", "id", "ID", "x"]), st.one_of(st.none(), st.binary()))),
    value=st.one_of(st.none(), st.binary()),
)
def test_any_message_is_read_or_refused(headers: list[tuple[str, bytes | None]], value: bytes | None) -> None:
    with pytest.raises(MalformedMessage):
        messages.read_status([*headers, ("status", b"new")], value)


def test_new_without_id_gets_the_same_one_when_delivered_again(world: World) -> None:
    message = messages.new(TASK_ID, BODY)
    nameless = Outgoing(topic=message.topic, key="", value=message.value, headers=(("status", b"new"),))
    assert world.handle(_received(nameless, 5)) == "created"
    assert world.handle(_received(nameless, 5)) == "duplicate"
    assert world.handle(_received(nameless, 6)) == "created"


def test_handler_runs_the_use_case_of_each_status(world: World) -> None:
    request = CrawlRequest(id=TASK_ID, task=BODY)
    assert world.handle(_received(messages.new(TASK_ID, BODY))) == "created"
    assert world.handle(_received(messages.completed(request, "page"))) == "completed"
    assert world.handle(_received(messages.completed(request, "page"))) == "duplicate"
    assert world.handle(_received(messages.failed(request, "gone"))) == "out_of_order"


def test_an_answer_to_no_task_and_a_second_task_of_one_id_are_put_aside(world: World) -> None:
    request = CrawlRequest(id=TASK_ID, task=BODY)
    for answer in (messages.completed(request, "page"), messages.failed(request, "gone")):
        with pytest.raises(Rejected, match="no task"):
            world.handle(_received(answer))
    world.handle(_received(messages.new(TASK_ID, BODY)))
    with pytest.raises(Rejected, match="something else"):
        world.handle(_received(messages.new(TASK_ID, BODY.model_copy(update={"user_query": "other"}))))
    assert world.observer.seen.count("unknown_task") == 2
    assert world.observer.seen[-1] == "conflict"


# --- messages that are put aside --------------------------------------------------------------------------------------


def _status(world: World) -> TaskStatus | None:
    task = world.tasks.stored.get(TASK_ID)
    return task.status if task else None


def test_a_new_message_that_is_put_aside_ends_its_task(world: World) -> None:
    message = _received(messages.new(TASK_ID, BODY))
    world.publisher.refuses = True
    with pytest.raises(Rejected):
        world.handle(message)
    assert _status(world) is TaskStatus.NEW
    world.handle.abandon(message, "Kafka does not take the message")
    assert world.tasks.stored[TASK_ID].result == {
        "error": "the task could not be done: Kafka does not take the message"
    }


def test_a_new_message_that_was_never_stored_ends_as_an_error(world: World) -> None:
    world.handle.abandon(_received(messages.new(TASK_ID, BODY)), "the process ended 3 times")
    assert _status(world) is TaskStatus.ERROR


@pytest.mark.parametrize(
    "message",
    [
        messages.completed(CrawlRequest(id=TASK_ID, task=BODY), {"title": "cannot be stored"}),
        messages.failed(CrawlRequest(id=TASK_ID, task=BODY), "cannot be stored"),
        dataclasses.replace(messages.completed(CrawlRequest(id=TASK_ID, task=BODY), 1), value=b"\xff"),
        dataclasses.replace(messages.completed(CrawlRequest(id=TASK_ID, task=BODY), 1), value=b"[" * 100_000),
        dataclasses.replace(
            messages.completed(CrawlRequest(id=TASK_ID, task=BODY), 1), headers=(("id", str(TASK_ID).encode()),)
        ),
    ],
)
def test_an_answer_that_is_put_aside_ends_its_task_unless_it_has_ended(message: Outgoing, world: World) -> None:
    world.cases.create(NEW)
    world.handle.abandon(_received(message), "why")
    assert _status(world) is TaskStatus.ERROR
    world.tasks.stored[TASK_ID] = _task(TaskStatus.COMPLETED)
    world.handle.abandon(_received(message), "why")
    assert _status(world) is TaskStatus.COMPLETED


@pytest.mark.parametrize(
    "message",
    [
        messages.new(TASK_ID, BODY.model_copy(update={"user_query": "other"})),
        dataclasses.replace(messages.new(TASK_ID, BODY), value=b"no JSON"),
        dataclasses.replace(messages.new(TASK_ID, BODY), headers=(("status", b"error"), ("id", b"4711"))),
        dataclasses.replace(messages.new(TASK_ID, BODY), headers=()),
    ],
)
def test_a_message_about_something_else_ends_no_task(message: Outgoing, world: World) -> None:
    world.cases.create(NEW)
    world.handle.abandon(_received(message), "why")
    assert _status(world) is TaskStatus.NEW


def test_a_body_may_not_be_longer_than_a_list_of_tasks_can_bear() -> None:
    message = messages.completed(CrawlRequest(id=TASK_ID, task=BODY), "x" * messages.MAX_BYTES)
    with pytest.raises(MalformedMessage, match="longer than"):
        messages.read_status(message.headers, message.value)


# --- crawler ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<title> A\n B </title><p>x</p><script>no</script> y", ("A B", "x y")),
        ("<title>open", ("open", "")),
        ("no tags &amp; \x00 text", ("", "no tags & text")),
        ("", ("", "")),
    ],
)
def test_title_and_text(html: str, expected: tuple[str, str]) -> None:
    assert extract(html) == expected


@given(st.text())
def test_no_page_breaks_the_reader(html: str) -> None:
    for piece in extract(f"<![{html}"):
        piece.encode()


def _site(request: httpx.Request) -> httpx.Response:
    path = request.url.path
    if path == "/slow":
        raise httpx.ReadTimeout("slow", request=request)
    if path == "/loop":
        return httpx.Response(302, headers={"location": "/loop"})
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


def test_crawler_answers_with_the_page_or_the_reason(fetcher: Fetcher, recorder: Recorder) -> None:
    sent: list[Outgoing] = []
    handle = CrawlHandler(fetcher.fetch, sent.append, recorder.traces, CollectorRegistry())
    missing = BODY.model_copy(update={"url": "http://site.example/missing"})
    assert handle(_received(messages.crawl_request(TASK_ID, BODY))) == "completed"
    assert handle(_received(messages.crawl_request(TASK_ID, missing))) == "error"
    good, bad = (messages.read_status(message.headers, message.value) for message in sent)
    assert isinstance(good, CompletedMessage)
    result: Any = good.result
    assert result["title"] == "Home"
    assert bad == FailedMessage(id=TASK_ID, error="the server answered 404")


def test_a_request_that_is_put_aside_is_answered(recorder: Recorder) -> None:
    sent: list[Outgoing] = []
    handler = CrawlHandler(lambda _: pytest.fail("nothing to fetch"), sent.append, recorder.traces, CollectorRegistry())
    unreadable = dataclasses.replace(messages.crawl_request(TASK_ID, BODY), value=b"\xff")
    with pytest.raises(MalformedMessage):
        handler(_received(unreadable))
    handler.abandon(_received(unreadable), "body: Invalid JSON")
    handler.abandon(_received(dataclasses.replace(unreadable, headers=())), "nobody waits for it")
    (answer,) = (messages.read_status(message.headers, message.value) for message in sent)
    assert answer == FailedMessage(id=TASK_ID, error="the page could not be crawled: body: Invalid JSON")
