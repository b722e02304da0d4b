"""Secrets, planted in spans and in the last words of a pod, are searched for in notifications and in reports."""

import io
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console

from checks.harness.collector_with_store import running_collector
from checks.harness.receiver import Receiver, receiving
from checks.security.marks import Marks
from checks.security.notified import notifying, series
from checks.security.outcome import Outcome
from contracts import endpoints
from contracts.endpoints import OTLP_MAX_MIB
from contracts.metadata import Manifest
from contracts.services import GATEWAY, SERVICES
from lean_tracing.otlp_exporter import TRACES
from stack.clients.traces import Span, TraceStoreClient
from stack.components.services.tracing import Tracing
from stack.kubernetes.diagnosis import pod_state
from stack.polling import CheckFailure, poll_until
from stack.release.journal import Journal, Phase
from stack.release.plan import Version
from stack.rollout import gate
from stack.rollout.report import StepResult, page, show_findings
from stack.rollout.traces import differences
from stack.smoke.model import Report, StoredTrace
from stack.smoke.report import show, show_json

_BATCH: Final = 500
_PLAIN: Final = "planted-without-a-secret"
"""A name that is no secret: a search that does not see it in a notification or report is no search."""
_KUBELET_BYTES: Final = 2048
"""What the kubelet keeps of the log of a container that left no message."""
_TRACE: Final = "0af7651916cd43dd8448eb211c80319c"


def planted_reports(count: int, seed: int) -> Outcome:
    """Send spans with secrets to a Collector, and make notifications and reports of what comes out of it.

    The notifications come from Alertmanager; the alerts have all labels of the Collector's span metrics, which is more
    than the rules quote. The reports are those of the smoke check and of a rollout, with its journal.

    Args:
        count: secrets; each span has nine.
        seed: decides the secrets and their places.
    """
    marks = Marks(seed)
    outcome = Outcome(attack="secrets planted in spans and in a pod's log, in notifications and reports")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="reported-")))
        store = stack.enter_context(receiving(largest=OTLP_MAX_MIB << 20))
        collector = stack.enter_context(running_collector(store, directory / "collector", queue_size=100_000))
        notifications = stack.enter_context(notifying(directory / "alertmanager"))
        stored: list[Span] = []
        while marks.count < count:
            collector.send(_request(marks))
            poll_until("the spans", lambda: sum(map(len, store.requests.values())) > 0, seconds=30)
            time.sleep(1)
            stored += _taken(store)
        poll_until("the span metrics", lambda: _PLAIN in collector.span_metrics(), seconds=30)
        notifications.send(series(collector.span_metrics()))
        poll_until("a notification", lambda: _PLAIN.encode() in notifications.content, seconds=30)
        poll_until("a mail", lambda: _PLAIN.encode() in notifications.mailed, seconds=30)
        time.sleep(2)  # another one may follow
        parts = {
            "metrics of the Collector": collector.span_metrics().encode(),
            "a notification": notifications.content,
            "a mail": notifications.mailed,
            **_reports(stored, marks),
        }
    outcome.count = marks.count
    for part, content in parts.items():
        if _PLAIN.encode() not in content:
            raise CheckFailure(f"the search does not see what is planted in {part}")
        outcome.successes += [f"{what} from the {place} in {part}" for what, place in marks.left_in(content)]
    outcome.notes = f"{len(stored)} spans, {sum(map(len, parts.values())) >> 10} KiB searched in {len(parts)} places"
    return outcome


def _request(marks: Marks) -> bytes:
    """Return spans as a program sends them that takes no care."""
    request = ExportTraceServiceRequest()
    random, secret = marks.random, marks.secret
    for number in range(_BATCH // len(SERVICES)):
        for service in SERVICES:
            part = request.resource_spans.add()
            part.resource.attributes.add(key="service.name").value.string_value = service
            deployment = endpoints.track(service, "canary") if number % 2 else service
            part.resource.attributes.add(key="k8s.deployment.name").value.string_value = deployment
            span = part.scope_spans.add().spans.add(
                trace_id=bytes.fromhex(_TRACE),
                span_id=random.randbytes(8),
                name=_PLAIN if number < 10 else f"GET {secret('name of a span')}",
                kind=random.choice((2, 5)),
                start_time_unix_nano=1_000_000,
                end_time_unix_nano=2_000_000 + number * 10_000_000,
            )
            span.status.code = random.choice((1, 2))
            span.status.message = f"refused: {secret('message of a status')}"
            for key, place in _ATTRIBUTES.items():
                span.attributes.add(key=key).value.string_value = secret(place)
            event = span.events.add(name="exception", time_unix_nano=1_500_000)
            event.attributes.add(key="exception.message").value.string_value = secret("exception")
    return bytes(request.SerializeToString())


_ATTRIBUTES: Final = {
    "http.route": "route",
    "messaging.destination.name": "topic",
    "error.type": "type of an error",
    "url.full": "URL",
    "db.query.text": "SQL text",
    "http.request.header.x-note": "header",
}


def _taken(store: Receiver) -> list[Span]:
    """Return the spans that the store has got since the last time, as its API answers with them."""
    requests, store.requests[TRACES] = store.requests[TRACES], []
    resources = [
        resource
        for request in requests
        for resource in MessageToDict(ExportTraceServiceRequest.FromString(request)).get("resourceSpans", ())
    ]
    answer = {"trace": {"resourceSpans": resources}}
    client = TraceStoreClient("tempo", "http://store", get=lambda *_, **__: httpx.Response(200, json=answer))
    return client.trace(_TRACE)


def _reports(spans: Sequence[Span], marks: Marks) -> dict[str, bytes]:
    """Return each report by its name."""
    findings = [gate.problem(f"pods: {_PLAIN}", text) for text in _last_words(marks)]
    step = StepResult(title="stage 1", start=0.0, end=1.0, findings=findings, outcome=gate.reason(findings))
    version = Version(image="service:1", tracing=Tracing())
    journal = Journal(stable=version, canary=version, stage=1, passed=0, phase=Phase.PROGRESSING, since=0.0)
    printed = io.StringIO()
    show_findings(findings, Console(file=printed, width=4000))
    compared = differences({_TRACE: spans})
    return {
        "the report of the smoke check": _smoke_report(spans),
        "the report of a rollout": page("test", [], [step], step.outcome, differences={step.title: compared}).encode(),
        "the output of a rollout": printed.getvalue().encode(),
        "the journal": journal.enter(Phase.ROLLING_BACK, reason=gate.reason(findings)).dump().encode(),
    }


def _smoke_report(spans: Sequence[Span]) -> bytes:
    report = Report(
        trace_id=_TRACE,
        stored=StoredTrace(
            spans=spans,
            hops={},
            trace_seconds=1.0,
            search_seconds=1.0,
            query="/api/traces",
            search_query={"query": "{}"},
        ),
        calls=dict.fromkeys({span.service for span in spans}, 1.0),
        metrics_query="calls",
    )
    output = io.StringIO()
    with redirect_stdout(output):
        show(report)
        show_json(report)
    return output.getvalue().encode()


def _last_words(marks: Marks) -> Iterable[str]:
    """Yield the states of pods that end with a traceback, whose end the kubelet keeps."""
    for _ in range(100):
        lines = [f'  File "/app/service.py", line {number}: {marks.secret("log of a pod")}' for number in range(40)]
        log = "\n".join([*lines, f"ValueError: {_PLAIN} {marks.secret('log of a pod')}"])
        status = {
            "name": GATEWAY,
            "restartCount": 9,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "message": log.encode()[-_KUBELET_BYTES:].decode()}},
        }
        metadata = {"labels": {"app.kubernetes.io/name": GATEWAY}, "creationTimestamp": ""}
        pod: Manifest = {"metadata": metadata, "status": {"containerStatuses": [status], "phase": "Running"}}
        yield str(pod_state([pod], GATEWAY))
