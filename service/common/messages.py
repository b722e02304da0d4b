"""The messages that the services exchange: headers and bodies of the two topics, written and read."""

import math
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from contracts.tasks import TaskStatus
from contracts.topics import CRAWL_TOPIC, STATUS_TOPIC
from lean_tracing.propagation import KafkaHeader
from lean_tracing.values import check_http_url
from service.common.errors import MalformedMessage

LONGEST_OWNER: Final = 300
"""Of the name of a caller."""
MAX_BYTES: Final = 256 * 1024
"""Longest body: several times the crawler's longest page. A list of tasks has up to 100 pages in one response."""

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+\Z")


def _email(value: str) -> str:
    if not _EMAIL.match(value):
        raise ValueError("not an e-mail address")
    return value


def _storable(value: str) -> str:
    # Postgres stores no NUL in text.
    if "\x00" in value:
        raise ValueError("holds a NUL character")
    return value


def _storable_json(value: JsonValue) -> JsonValue:
    # Refused here, the same for every database, and not by the database that stores the task.
    if isinstance(value, str):
        _storable(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("holds a number that JSON has no name for")
    elif isinstance(value, dict):
        for name, inner in value.items():
            _storable(name)
            _storable_json(inner)
    elif isinstance(value, list):
        for inner in value:
            _storable_json(inner)
    return value


Text = Annotated[str, AfterValidator(_storable)]


class TaskRequest(BaseModel):
    """A page that a user wants crawled: the body of a new task and of a crawl request."""

    # `url` is `base_url` on the wire, in both directions.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, serialize_by_alias=True)

    user_email: Annotated[Text, AfterValidator(_email)] = Field(max_length=254, examples=["ada@example.com"])
    user_query: Text = Field(min_length=1, max_length=2000, examples=["What is on this page?"])
    url: Annotated[Text, AfterValidator(check_http_url)] = Field(
        alias="base_url", max_length=2048, examples=["https://example.com/"]
    )


class _New(TaskRequest):
    owner: Text | None = Field(None, min_length=1, max_length=LONGEST_OWNER)


class _Completed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
    crawl_result: Annotated[JsonValue, AfterValidator(_storable_json)]


class _Failed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
    error: Text


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """A message to publish. Its key is the task's id, so that the messages of one task stay in order."""

    topic: str
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, kw_only=True)
class NewMessage:
    """A task to create. `id` is None when the sender set none; `owner` is None when it knew no caller."""

    id: uuid.UUID | None
    task: TaskRequest
    owner: str | None = None


@dataclass(frozen=True, kw_only=True)
class CompletedMessage:
    """The crawler's answer to a request that succeeded."""

    id: uuid.UUID
    result: JsonValue


@dataclass(frozen=True, kw_only=True)
class FailedMessage:
    """The crawler's answer to a request that failed."""

    id: uuid.UUID
    error: str


@dataclass(frozen=True, kw_only=True)
class CrawlRequest:
    """A page that the crawler fetches for a task."""

    id: uuid.UUID
    task: TaskRequest


StatusMessage = NewMessage | CompletedMessage | FailedMessage
_JSON_OBJECT: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])


def new(task_id: uuid.UUID, task: TaskRequest, owner: str | None = None) -> Outgoing:
    """A task to create; owner: the caller who submitted it, if access control is on."""
    body = task.model_dump() | ({} if owner is None else {"owner": owner})
    return _message(STATUS_TOPIC, task_id, TaskStatus.NEW, body)


def crawl_request(task_id: uuid.UUID, task: TaskRequest) -> Outgoing:
    """A page to fetch."""
    return _message(CRAWL_TOPIC, task_id, TaskStatus.NEW, task.model_dump())


def completed(request: CrawlRequest, result: JsonValue) -> Outgoing:
    """A fetched page."""
    body = {**request.task.model_dump(), "crawl_result": result}
    return _message(STATUS_TOPIC, request.id, TaskStatus.COMPLETED, body)


def failed(request: CrawlRequest, error: str) -> Outgoing:
    """A page that could not be fetched, with the reason."""
    body = {**request.task.model_dump(), "error": error}
    return _message(STATUS_TOPIC, request.id, TaskStatus.ERROR, body)


def abandoned(task_id: uuid.UUID, error: str) -> Outgoing:
    """The message that ends a task because its crawl request could not be read or handled, with the reason."""
    return _message(STATUS_TOPIC, task_id, TaskStatus.ERROR, {"error": error})


def _message(topic: str, task_id: uuid.UUID, status: TaskStatus, body: dict[str, Any]) -> Outgoing:
    timestamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    headers = (("status", status.encode()), ("id", str(task_id).encode()), ("timestamp", timestamp.encode()))
    return Outgoing(topic=topic, key=str(task_id), value=_JSON_OBJECT.dump_json(body), headers=headers)


def read_status(headers: Iterable[KafkaHeader], value: bytes | None) -> StatusMessage:
    """A message of `task-status`. Raises MalformedMessage."""
    known = _known_headers(headers)
    match known.get("status"):
        case TaskStatus.NEW:
            body = _body(_New, value)
            task = TaskRequest(user_email=body.user_email, user_query=body.user_query, base_url=body.url)
            return NewMessage(id=_task_id(known) if "id" in known else None, task=task, owner=body.owner)
        case TaskStatus.COMPLETED:
            return CompletedMessage(id=_task_id(known), result=_body(_Completed, value).crawl_result)
        case TaskStatus.ERROR:
            return FailedMessage(id=_task_id(known), error=_body(_Failed, value).error)
        case status:
            raise MalformedMessage(f"header status is {'none of ' + ', '.join(TaskStatus) if status else 'missing'}")


def read_crawl_request(headers: Iterable[KafkaHeader], value: bytes | None) -> CrawlRequest:
    """A message of `requests-web-crawl`. Raises MalformedMessage."""
    return CrawlRequest(id=_task_id(_known_headers(headers)), task=_body(TaskRequest, value))


def task_of(headers: Iterable[KafkaHeader]) -> tuple[uuid.UUID | None, str | None]:
    """(id, status) of the task that a message belongs to; None for each that the headers lack."""
    known = _known_headers(headers)
    try:
        return _task_id(known), known.get("status")
    except MalformedMessage:
        return None, known.get("status")


def _known_headers(headers: Iterable[KafkaHeader]) -> Mapping[str, str]:
    return {
        name.lower(): value if isinstance(value, str) else value.decode("latin-1")
        for name, value in headers
        if value is not None and name.lower() in ("status", "id")
    }


def _task_id(headers: Mapping[str, str]) -> uuid.UUID:
    if "id" not in headers:
        raise MalformedMessage("header id is missing")
    try:
        return uuid.UUID(headers["id"])
    except ValueError:
        raise MalformedMessage("header id is no UUID") from None


Body = TypeVar("Body", bound=BaseModel)


def _body(model: type[Body], value: bytes | None) -> Body:
    if value is not None and len(value) > MAX_BYTES:
        raise MalformedMessage(f"body: longer than {MAX_BYTES} bytes")
    try:
        return model.model_validate_json(value or b"")
    except ValidationError as error:
        # Without the cause: pydantic's own text may quote the body.
        raise MalformedMessage(_describe(error)) from None


def _describe(error: ValidationError) -> str:
    """Field and reason of each problem, without the values."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}" for problem in problems)
