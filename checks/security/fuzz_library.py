"""Hostile inputs at what runs in the process of the check: the library, settings, and files."""

import uuid
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from checks.faults.journal import Journal
from checks.security.fuzz_limits import numbers, try_input
from checks.security.mutation import Mutator
from checks.security.outcome import Outcome
from contracts.errors import UserError
from lean_tracing import Redactor, SettingsError, TracingSettings
from lean_tracing.propagation import Propagator
from service.crawler.config import CrawlerSettings
from service.gateway.config import GatewaySettings
from service.task_manager.config import TaskManagerSettings

TRACEPARENT: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def fuzz_headers(count: int, seed: int) -> Outcome:
    """Try hostile trace headers at the propagator."""
    outcome = Outcome(attack="hostile trace headers")
    mutator = Mutator(
        seed,
        [
            TRACEPARENT.encode(),
            b"vendor=1,other@system=abc",
            b"user=ada,tenant=7;secret=1",
            b"0af7651916cd43dd8448eb211c80319c",
            str(uuid.UUID(int=1)).encode(),
        ],
    )
    names = ["traceparent", "tracestate", "baggage", "x-correlation-id", "TraceParent"]
    propagator = Propagator(redactor=Redactor("a key of the check"), baggage_entries=("user", "tenant"))

    def carry(sent: list[tuple[str, bytes]]) -> None:
        over_http = propagator.from_http([(name.encode(), value) for name, value in sent])
        for context in (over_http, propagator.from_kafka([*sent])):
            for value in propagator.inject(context).values():
                assert value.isascii()
                assert value.isprintable()
                assert len(value) <= 8192

    for _ in numbers(count):
        sent = [(mutator.random.choice(names), mutator.next()) for _ in range(mutator.random.randint(1, 3))]
        try_input(outcome, partial(carry, sent))
    return outcome


def fuzz_settings(count: int, seed: int) -> Outcome:
    """Try hostile variables at the settings of the library and of the services."""
    outcome = Outcome(attack="hostile settings")
    models = (TracingSettings, GatewaySettings, TaskManagerSettings, CrawlerSettings)
    samples = [
        b"true", b"0.5", b"8080", b"http://collector:4317", b"a=b,c=d", b"GET /a=0.1;topic:*=1", b"sqlite:///x.db",
        b"kafka:9092", b"INFO", b"/tmp", b"tracecontext,baggage", b"1000", b"user:a:0123456789abcdef",
    ]  # fmt: skip
    mutator = Mutator(seed, samples)
    for _ in numbers(count):
        model = mutator.random.choice(models)
        names = [model.variable(field) for field in model.model_fields]
        chosen = mutator.random.sample(names, mutator.random.randint(1, 3))
        # What an environment can hold: text without NUL.
        environ = {
            name: mutator.next()[:100_000].decode("utf-8", "surrogateescape").replace("\0", "") for name in chosen
        }
        try_input(outcome, partial(model.from_env, environ), allowed=SettingsError)
    return outcome


def fuzz_journal(count: int, seed: int) -> Outcome:
    """Try damaged files at the journal of faults."""
    outcome = Outcome(attack="damaged journal of faults")
    with TemporaryDirectory(prefix="fuzz-") as directory:
        path = Path(directory) / "fault.json"
        journal = Journal(path)
        journal.add("a-fault", {"kind": "scale", "name": "kafka", "replicas": 1})
        mutator = Mutator(seed, [path.read_bytes()])
        for _ in numbers(count):
            path.write_bytes(mutator.next())
            try_input(outcome, journal.read, allowed=UserError)
    return outcome
