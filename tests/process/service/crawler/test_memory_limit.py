"""The crawler in a pod's memory limit: hostile pages in its topic, followed by a good one."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Producer

from checks.harness.ports import free_port
from contracts.section import quantity_bytes
from contracts.topics import STATUS_TOPIC
from lean_tracing.kafka import message_headers
from service.common import messages
from service.common.messages import CompletedMessage, FailedMessage, TaskRequest
from stack.components.services.settings import Services
from stack.polling import poll_until
from tests.support.brokers import mock_brokers
from tests.support.cgroups import memory_limit
from tests.support.pages import SHAPES
from tests.support.service_process import ROOT, answers, service_environment
from tests.support.sites import HOSTILE, Site, page, serving
from tests.support.topics import read_topic

_GOOD_SECONDS = 30
_LIMIT = quantity_bytes(Services().crawler.memory) >> 20
_TOO_DEEP = (
    "nested, then end tags that fit none",
    "many attributes",
    "a comment of hyphens",
    "formatting to be made again",
)


@pytest.fixture
def sites() -> Iterator[dict[str, int]]:
    """The port of each site by its name; the good site is the last."""
    all_sites: dict[str, Site] = {name: make() for name, make in HOSTILE.items()}
    for name in _TOO_DEEP:
        all_sites[name] = page(SHAPES[name]().encode(), b"content-type: text/html")
    all_sites["a charset that is none"] = page(b"<title>x</title>", b"content-type: text/html; charset=hex")
    all_sites["good"] = page(b"<title>Good</title>", b"content-type: text/html")
    with ExitStack() as stack:
        yield {name: stack.enter_context(serving(site)) for name, site in all_sites.items()}


def test_hostile_pages_neither_end_the_crawler_nor_hold_up_a_good_one(sites: dict[str, int], tmp_path: Path) -> None:
    port = free_port()
    with mock_brokers() as brokers, memory_limit(_LIMIT) as (enter, peak), (tmp_path / "log").open("wb") as log:
        names: dict[uuid.UUID, str] = {}
        producer = Producer({"bootstrap.servers": brokers.addresses})
        for name, site in sites.items():
            task_id = uuid.uuid4()
            names[task_id] = name
            task = TaskRequest(user_email="ada@example.com", user_query="?", base_url=f"http://127.0.0.1:{site}/")
            request = messages.crawl_request(task_id, task)
            producer.produce(request.topic, request.value, partition=0, headers=list(request.headers))
        assert producer.flush(60) == 0
        crawler = subprocess.Popen(
            [sys.executable, "-m", "service.crawler"],
            env=service_environment(
                PORT=str(port),
                KAFKA_BOOTSTRAP_SERVERS=brokers.addresses,
                KAFKA_PUBLISH_TIMEOUT_MS="5000",
                CRAWLER_TIMEOUT_MS="500",
                CRAWLER_ALLOWED_NETWORKS="127.0.0.0/8",
            ),
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=enter,  # the limit must apply from the first instruction on
        )
        try:
            poll_until("the crawler", partial(answers, f"http://127.0.0.1:{port}/api/health/live"))
            statuses = read_topic(brokers.addresses, STATUS_TOPIC, lambda read: len(read) == len(sites), _GOOD_SECONDS)
            assert crawler.poll() is None, "the crawler has ended"
            assert peak() < _LIMIT
        finally:
            crawler.kill()
            crawler.wait(10)
    outcomes = {}
    for message in statuses:
        answer = messages.read_status(message_headers(message), message.value())
        assert isinstance(answer, CompletedMessage | FailedMessage)
        outcomes[names[answer.id]] = isinstance(answer, CompletedMessage)
    assert {name for name, completed in outcomes.items() if not completed} == set(HOSTILE)
    assert outcomes["good"]
