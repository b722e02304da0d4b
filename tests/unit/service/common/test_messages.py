"""Messages are read as they were written, and malformed ones are refused."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.common import messages
from service.common.errors import MalformedMessage
from service.common.messages import CompletedMessage, CrawlRequest, FailedMessage, NewMessage, TaskRequest

TASK_ID = uuid.UUID("11111111-2222-4333-8444-555555555555")
BODY = TaskRequest(user_email="ada@example.com", user_query="?", base_url="http://site.example/")


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


def test_a_body_may_not_be_longer_than_a_list_of_tasks_can_bear() -> None:
    message = messages.completed(CrawlRequest(id=TASK_ID, task=BODY), "x" * messages.MAX_BYTES)
    with pytest.raises(MalformedMessage, match="longer than"):
        messages.read_status(message.headers, message.value)
