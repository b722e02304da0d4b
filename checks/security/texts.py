"""Secrets and addresses, planted in what a service records, are searched for in OTLP and in log lines.

The library records here without a service, so that a million of them take minutes.
"""

import logging
from collections.abc import Callable
from typing import Final

from opentelemetry.trace import Span

from checks.harness.receiver import Receiver, receiving
from checks.security.marks import Marks
from checks.security.outcome import Outcome
from lean_tracing import Tracing, TracingSettings, start_tracing
from lean_tracing.logs import JsonFormatter

_BATCH: Final = 300
"""Operations between two exports."""
_logger = logging.getLogger("planted")


def planted_texts(count: int, seed: int) -> Outcome:
    """Plant secrets in attributes, names, events, errors and log lines, and search for them in what is exported.

    Args:
        count: secrets; each operation has about twelve.
        seed: decides the secrets, and the text around them.
    """
    marks = Marks(seed)
    outcome = Outcome(attack="secrets planted in what a service records")
    lines = _Lines()
    with receiving(largest=64 << 20) as receiver:
        tracing = start_tracing(
            TracingSettings(service_name="planted", endpoint=receiver.endpoint, logs_exporter="otlp")
        )
        lines.setFormatter(JsonFormatter("planted", tracing.redactor))
        handlers = [lines, *([tracing.log_handler] if tracing.log_handler else [])]
        _logger.handlers, _logger.propagate = handlers, False
        try:
            while outcome.count < count:
                previous = marks.count
                for _ in range(_BATCH):
                    _operate(tracing, marks)
                tracing.flush()
                outcome.count += marks.count - previous
                parts = {"OTLP": _take(receiver), "log lines": lines.take()}
                assert all(parts.values()), "nothing was recorded"
                outcome.successes += [
                    f"{what} from the {place} in {part}"
                    for part, content in parts.items()
                    for what, place in marks.left_in(content)
                ]
        finally:
            _logger.handlers = []
            tracing.shutdown()
    return outcome


def _operate(tracing: Tracing, marks: Marks) -> None:
    """Record a span and log records as an application does that takes no care."""
    secret = marks.secret
    with tracing.traces.span(f"call {secret('name of a span')}") as span:
        span.set_attributes(
            {
                "url.full": f"https://site.example/a/{secret('URL')}",
                "db.query.text": f"SELECT * FROM tasks WHERE note = '{secret('SQL text')}'",
                "http.request.header.x-note": [secret("header"), "x"],
                "page.content": f"<p>{'text ' * marks.random.randrange(40)}{secret('page')} and more</p>",
                "user_agent.original": secret("user agent"),
                f"key {secret('key of an attribute')}": 1,
            }
        )
        span.add_event(secret("name of an event"), {"detail": secret("event")})
        _logger.info("handled %s", secret("argument of a log line"), extra={"note": secret("field of a log line")})
        _fail(span, tracing, secret)


def _fail(span: Span, tracing: Tracing, secret: Callable[[str], str]) -> None:
    try:
        raise ValueError(f"refused: {secret('exception')}")
    except ValueError as error:
        tracing.traces.fail(span, error)
        _logger.exception("failed at %s", secret("log line with an exception"))


def _take(receiver: Receiver) -> bytes:
    return b"\n".join(requests.pop() for requests in receiver.requests.values() for _ in requests[:])


class _Lines(logging.Handler):
    """Keeps the lines that would go to standard output."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))

    def take(self) -> bytes:
        """Return the lines since the last call."""
        lines, self._lines = self._lines, []
        return "\n".join(lines).encode()
