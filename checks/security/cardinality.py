"""Names that a caller invents must not become series: of the services' metrics, and of the Collector's span metrics."""

import re
from contextlib import ExitStack
from pathlib import Path
from random import Random
from string import ascii_lowercase
from tempfile import TemporaryDirectory
from typing import Final

import httpx
from confluent_kafka import Producer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from checks.harness.collector import CollectorProcess
from checks.harness.collector_with_store import running_collector
from checks.harness.receiver import receiving
from checks.security.access import BODY, bearer
from checks.security.issuer import Issuer
from checks.security.outcome import Outcome
from checks.security.services import STACK_KEY, Services
from contracts.endpoints import OTLP_MAX_MIB
from contracts.http import METRICS, TASKS
from contracts.services import SERVICES
from contracts.topics import STATUS_TOPIC
from stack.polling import poll_until

_WARM_UP: Final = 200
"""Requests that bring up each series that may be there."""
_SERIES: Final = 5_000
"""Series of span metrics of one process, at most (`collector/parts.j2`), apart from the one of all others."""
_BATCH: Final = 500
_MOST_MIB: Final = 1024


def invented_names(services: Services, issuer: Issuer, count: int, seed: int) -> Outcome:
    """Send requests and messages whose names differ, and count the series of both services before and after."""
    outcome = Outcome(attack="names that callers invent become series of the services")
    random = Random(seed)
    producer = Producer({"bootstrap.servers": services.brokers, "log_level": 0})
    with httpx.Client(base_url=services.gateway, timeout=30) as client:
        for _ in range(_WARM_UP):
            _send(client, producer, random, issuer)
        producer.flush(30)
        _series(services)  # has series of its own
        at_start = _series(services)
        for _ in range(count):
            _send(client, producer, random, issuer)
            outcome.count += 1
        producer.flush(30)
    for name in sorted(_series(services) - at_start):
        outcome.successes.append(f"the series {name[:120]}")
    outcome.notes = f"{len(at_start)} series"
    return outcome


def _name(random: Random) -> str:
    return "".join(random.choices(ascii_lowercase, k=12))


def _send(client: httpx.Client, producer: Producer, random: Random, issuer: Issuer) -> None:
    name = _name(random)
    headers = {
        **bearer(STACK_KEY if random.random() < 0.9 else issuer.token(sub=f"tenant-{name}")),
        "User-Agent": f"{name}/1",
        "Host": f"{name}.example",
        f"x-{name}": name,
        "baggage": f"{name}=1",
        "x-correlation-id": name,
        "Idempotency-Key": name,
    }
    requests = (
        lambda: client.request(name.upper(), TASKS, headers=headers),
        lambda: client.get(f"/{name}/{name}", headers=headers),
        lambda: client.get(f"{TASKS}/{name}", headers=headers),
        lambda: client.get(TASKS, headers=headers, params={name: name, "status": name}),
        lambda: client.post(TASKS, headers=headers, json={**BODY, name: name, "base_url": f"http://{name}.example/"}),
        lambda: client.post(TASKS, headers={**headers, "Content-Type": f"text/{name}"}, content=name),
        lambda: client.get(TASKS, headers={**headers, "Authorization": f"{name} {name}"}),
    )
    random.choice(requests)()
    producer.produce(STATUS_TOPIC, name, key=name, headers=[("status", name.encode()), (name, name.encode())])
    producer.poll(0)


def _series(services: Services) -> set[str]:
    exposed = [httpx.get(f"{url}{METRICS}", timeout=30).text for url in (services.gateway, services.task_manager)]
    return {
        f"{number} {line.rpartition(' ')[0]}"
        for number, text in enumerate(exposed)
        for line in text.splitlines()
        if not line.startswith("#")
    }


def invented_spans(count: int, seed: int) -> Outcome:
    """Send spans whose names, routes, topics and methods differ to a Collector, and count its span metrics.

    Only a holder of the token can invent names of services and processes; each has this many series.
    """
    outcome = Outcome(attack="names in spans become series of the Collector")
    random = Random(seed)
    with ExitStack() as stack:
        store = stack.enter_context(receiving(largest=OTLP_MAX_MIB << 20))
        store.keep = lambda _method, _request: None
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="cardinality-")))
        collector = stack.enter_context(running_collector(store, directory / "collector", queue_size=100_000))
        while outcome.count < count:
            collector.send(_request(random, min(_BATCH, count - outcome.count)))
            outcome.count += _BATCH
        limit = len(SERVICES) * (_SERIES + 1)
        poll_until("the span metrics", lambda: _calls(collector) >= min(count, limit) * 0.9, seconds=30)
        series, peak = _calls(collector), collector.peak_mib()
    outcome.notes = f"{series} series, {peak:.0f} MiB"
    if series > limit:
        outcome.successes.append(f"{series} series")
    if peak > _MOST_MIB:
        outcome.successes.append(f"{peak:.0f} MiB of memory")
    return outcome


def _calls(collector: CollectorProcess) -> int:
    return len(re.findall(r"^\w*calls_total{", collector.span_metrics(), re.MULTILINE))


def _request(random: Random, spans: int) -> bytes:
    request = ExportTraceServiceRequest()
    for _ in range(spans):
        name = _name(random)
        part = request.resource_spans.add()
        part.resource.attributes.add(key="service.name").value.string_value = random.choice(SERVICES)
        span = part.scope_spans.add().spans.add(
            trace_id=random.randbytes(16),
            span_id=random.randbytes(8),
            name=f"{name.upper()} /{name}",
            kind=random.choice((2, 3, 4, 5)),
            start_time_unix_nano=1,
            end_time_unix_nano=2,
        )
        for key in ("http.route", "http.request.method", "messaging.destination.name", "error.type", f"x.{name}"):
            span.attributes.add(key=key).value.string_value = name
    return bytes(request.SerializeToString())
