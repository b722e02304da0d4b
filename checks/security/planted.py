"""Secrets and addresses, planted in every part of a request, are searched for in all that leaves the services."""

import json
import time
import uuid
from typing import Any, Final
from urllib.parse import quote

import httpx
from confluent_kafka import Consumer, Producer

from checks.security.marks import Marks
from checks.security.outcome import Outcome
from checks.security.services import STACK_KEY, Services
from contracts.http import METRICS, TASKS
from contracts.topics import CRAWL_TOPIC, DEAD_LETTER_REASON, STATUS_TOPIC, dead_letter_topic
from lean_tracing.kafka import message_headers
from stack.polling import CheckFailure

_TOPICS: Final = [name for topic in (STATUS_TOPIC, CRAWL_TOPIC) for name in (topic, dead_letter_topic(topic))]
_EXPORT_SECONDS: Final = 2.0
"""The services export, and the task-manager consumes, within this time."""
_REQUESTS: Final = 1000
"""Requests between two searches."""
_PLAIN: Final = "no secret"
_OF_MESSAGES: Final = "message's"
_TRACEPARENT: Final = "00-{:032x}-{:016x}-01"


def planted_secrets(services: Services, count: int, seed: int) -> Outcome:
    """Plant secrets in requests and messages, and search for them in all that leaves the services.

    A mark that is no secret goes along as the correlation id of each hundredth request: a search that does not find it
    in spans, logs, output and headers is no search.

    Args:
        services: the running services.
        count: secrets; each request has about ten, and a malformed message with five goes along.
        seed: decides the secrets and their places.
    """
    marks = Marks(seed)
    places = _Places(services)
    received: set[str] = set()
    outcome = Outcome(attack="secrets planted in requests and messages")
    with httpx.Client(base_url=services.gateway, timeout=30) as client:
        while outcome.count < count:
            for number in range(_REQUESTS):
                previous = marks.count
                client.request(**_request(marks, is_marked=number % 100 == 0))
                _produce(places.producer, marks)
                outcome.count += marks.count - previous
                if outcome.count >= count:
                    break
            time.sleep(_EXPORT_SECONDS)
            for part, content in places.read(client).items():
                for what, place in marks.left_in(content):
                    if what == _PLAIN:
                        received.add(part)
                    # A malformed message goes to the dead-letter topic unchanged.
                    elif part != "headers of messages" or not place.startswith(_OF_MESSAGES):
                        outcome.successes.append(f"{what} from the {place} in {part}")
    places.close()
    if missing := {"spans and logs", "output", "headers of messages"} - received:
        raise CheckFailure(f"the search does not see the correlation ids in {', '.join(sorted(missing))}")
    return outcome


def _request(marks: Marks, *, is_marked: bool) -> dict[str, Any]:
    """Return a request with a secret in each place where one can be."""
    random = marks.random

    def encoded(place: str) -> str:
        return quote(marks.secret(place), safe="")

    correlation = marks.mark(_PLAIN, "") if is_marked else marks.secret("correlation id")
    headers = {
        "Authorization": f"Bearer {STACK_KEY}",
        "User-Agent": marks.secret("user agent"),
        "traceparent": _TRACEPARENT.format(random.getrandbits(128) | 1, random.getrandbits(64) | 1),
        "tracestate": f"a={encoded('trace state')[:250]}",
        "baggage": f"user={encoded('baggage')},{encoded('name of baggage')}=1",
        "x-correlation-id": correlation if random.random() < 0.5 else quote(correlation, safe=""),
        "Cookie": marks.secret("cookie"),
        "Referer": marks.secret("referer"),
    }
    if random.random() < 0.5:
        path = random.choice([f"{TASKS}/{encoded('path')}", f"/{encoded('path without a route')}/x", TASKS])
        query = f"cursor={encoded('query')}&{encoded('name of a parameter')}=1"
        return {"method": "GET", "url": f"{path}?{query}", "headers": headers}
    headers["Idempotency-Key"] = encoded("idempotency key")[:255]
    body = {
        "user_email": marks.secret("address")
        if random.random() < 0.1
        else f"{marks.mark('e-mail address', 'address')}@a.example",
        "user_query": marks.secret("query of the task"),
        "base_url": f"http://site.example/{encoded('path of the page')}?q={encoded('query of the page')}",
    }
    kind = random.random()
    if kind < 0.1:
        body["base_url"] = marks.secret("malformed URL")
    elif kind < 0.2:
        body[marks.secret("unknown field")] = "1"
    elif kind < 0.3:
        return {"method": "POST", "url": TASKS, "headers": headers, "content": "{" + marks.secret("malformed body")}
    return {"method": "POST", "url": TASKS, "headers": headers, "json": body}


def _produce(producer: Producer, marks: Marks) -> None:
    """Send a message as another program may: with secrets everywhere, and malformed."""
    headers = {
        "status": marks.random.choice(["new", "error", marks.secret(f"{_OF_MESSAGES} status")]),
        "id": marks.random.choice([str(uuid.uuid4()), marks.secret(f"{_OF_MESSAGES} id")]),
        "baggage": f"user={quote(marks.secret(f'{_OF_MESSAGES} baggage'), safe='')}",
        "x-correlation-id": marks.secret(f"{_OF_MESSAGES} correlation id"),
    }
    body = marks.random.choice(
        [
            marks.secret(f"{_OF_MESSAGES} text"),
            json.dumps({"user_email": marks.secret(f"{_OF_MESSAGES} field"), "error": 1}),
            json.dumps({marks.secret(f"{_OF_MESSAGES} name of a field"): "1"}),
        ]
    )
    producer.produce(STATUS_TOPIC, body, key=marks.secret(f"{_OF_MESSAGES} key"), headers=list(headers.items()))
    producer.poll(0)


class _Places:
    """Reads what left the services since the last time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._written = 0
        self.producer = Producer({"bootstrap.servers": services.brokers, "log_level": 0})
        self._consumer = Consumer(
            {
                "bootstrap.servers": services.brokers,
                "group.id": "security",
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )
        self._consumer.subscribe(_TOPICS)

    def read(self, client: httpx.Client) -> dict[str, bytes]:
        """Return the content of each part."""
        log = self._services.log
        new, self._written = log[self._written :], len(log)
        exposed = [client.get(f"{url}{METRICS}").text for url in (self._services.gateway, self._services.task_manager)]
        return {
            "spans and logs": self._services.take_exported(),
            "output": new.encode(),
            "metrics": "".join(exposed).encode(),
            **self._headers(),
        }

    def _headers(self) -> dict[str, bytes]:
        """The headers and keys of messages, and the reasons of dead letters. The bodies have the requests."""
        content: list[bytes] = []
        reasons: list[bytes] = []
        while messages := self._consumer.consume(1000, timeout=2.0):
            for message in messages:
                content.append(_bytes(message.key()))
                for name, value in message_headers(message):
                    content += [name.encode(), _bytes(value)]
                    if name == DEAD_LETTER_REASON:
                        reasons.append(_bytes(value))
        return {"headers of messages": b"\n".join(content), "reasons of dead letters": b"\n".join(reasons)}

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
