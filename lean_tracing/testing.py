"""For the tests of programs that use this library: spans in memory, and assertions on their trees.

Example::

    with Recorder() as recorder:
        price(Order(7), recorder.traces)
        recorder.assert_tree('''
            INTERNAL price order
              CLIENT SELECT prices
        ''')
"""

import difflib
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from lean_tracing.own_attributes import PREFIX
from lean_tracing.settings import TracingSettings
from lean_tracing.spans import TraceManager
from lean_tracing.start import Tracing, start_tracing

_FAILED = " (failed)"


class Recorder:
    """Tracing that keeps its spans. Their attributes are redacted and cut as in an export.

    Attributes:
        tracing: what `start_tracing` returns.
        exporter: holds the spans; `exporter.clear()` forgets them.
    """

    def __init__(self, service_name: str = "under-test", *, attribute_prefix: str = PREFIX, **settings: Any) -> None:
        """Starts tracing.

        Args:
            service_name: of the resource.
            attribute_prefix: see `start_tracing`.
            settings: fields of `TracingSettings`.
        """
        values: dict[str, Any] = {"delay_ms": 50, "hash_key": "a key for tests", **settings}
        self.exporter = InMemorySpanExporter()
        self.tracing: Tracing = start_tracing(
            TracingSettings(service_name=service_name, **values),
            exporter=self.exporter,
            attribute_prefix=attribute_prefix,
        )

    @property
    def traces(self) -> TraceManager:
        """Makes the spans."""
        return self.tracing.traces

    def spans(self) -> list[ReadableSpan]:
        """All ended spans, in the order of their ends."""
        assert self.tracing.flush(), "the spans are not exported in time"
        return list(self.exporter.get_finished_spans())

    def one(self, name: str) -> ReadableSpan:
        """The only span of this name."""
        spans = [span for span in self.spans() if span.name == name]
        assert len(spans) == 1, f"{len(spans)} spans named {name!r} among {[span.name for span in self.spans()]}"
        return spans[0]

    def attributes(self, name: str) -> Mapping[str, Any]:
        """The attributes of the only span of this name."""
        return dict(self.one(name).attributes or {})

    def tree(self) -> str:
        """The spans as text, a line each: kind and name, `(failed)` after a failure, children indented by two blanks.

        Roots and children are in the order of their starts.
        """
        return "\n".join(_lines(self.spans()))

    def assert_tree(self, expected: str) -> None:
        """Raises AssertionError with the difference if `tree()` is another one; outer indentation does not count."""
        lines, actual = textwrap.dedent(expected).strip("\n").rstrip().splitlines(), self.tree().splitlines()
        if lines != actual:
            raise AssertionError("\n".join(["the spans are others", *difflib.ndiff(lines, actual)]))

    def close(self) -> None:
        """Ends the tracing."""
        self.tracing.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


def _lines(spans: Sequence[ReadableSpan]) -> Iterator[str]:
    ids = {_id(span) for span in spans}
    children: dict[tuple[int, int] | None, list[ReadableSpan]] = {}
    for span in sorted(spans, key=lambda span: span.start_time or 0):
        parent = (span.parent.trace_id, span.parent.span_id) if span.parent else None
        children.setdefault(parent if parent in ids else None, []).append(span)

    def below(parent: tuple[int, int] | None, depth: int) -> Iterator[str]:
        for span in children.get(parent, ()):
            failed = _FAILED if span.status.status_code is StatusCode.ERROR else ""
            yield f"{'  ' * depth}{span.kind.name} {span.name}{failed}"
            yield from below(_id(span), depth + 1)

    return below(None, 0)


def _id(span: ReadableSpan) -> tuple[int, int]:
    return span.context.trace_id, span.context.span_id
