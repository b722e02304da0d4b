"""The recorder for tests draws the spans as trees, and shows what differs from the expected ones."""

import pytest
from opentelemetry.trace import SpanKind

from lean_tracing.testing import Recorder


@pytest.fixture
def own() -> Recorder:
    """A recorder without the spans of other tests."""
    return Recorder("orders", attribute_prefix="shop")


def _order(recorder: Recorder) -> None:
    with recorder.traces.span("POST /orders", kind=SpanKind.SERVER, attributes={"order.id": 7}):
        with recorder.traces.span("price order"), recorder.traces.span("SELECT prices", kind=SpanKind.CLIENT):
            pass
        with pytest.raises(ZeroDivisionError), recorder.traces.span("send orders", kind=SpanKind.PRODUCER):
            raise ZeroDivisionError
    with recorder.traces.span("clean up"):
        pass


TREE = """
    SERVER POST /orders
      INTERNAL price order
        CLIENT SELECT prices
      PRODUCER send orders (failed)
    INTERNAL clean up
"""


def test_spans_are_drawn_in_the_order_of_their_starts(own: Recorder) -> None:
    with own:
        _order(own)
        own.assert_tree(TREE)


@pytest.mark.parametrize(
    ("expected", "shown"),
    [
        (TREE.replace(" (failed)", ""), r"- +PRODUCER send orders\n.*\+ +PRODUCER send orders \(failed\)"),
        (TREE.replace("    INTERNAL clean up\n", ""), r"\+ INTERNAL clean up"),
        (TREE.replace("        CLIENT", "      CLIENT"), r"- +CLIENT SELECT prices"),
        ("", r"\+ SERVER POST /orders"),
    ],
)
def test_a_difference_is_shown(own: Recorder, expected: str, shown: str) -> None:
    with own:
        _order(own)
        with pytest.raises(AssertionError, match=f"(?s){shown}"):
            own.assert_tree(expected)


def test_one_span_and_its_attributes(own: Recorder) -> None:
    with own:
        _order(own)
        assert own.attributes("POST /orders")["order.id"] == 7
        assert own.one("clean up").resource.attributes["service.name"] == "orders"
        with pytest.raises(AssertionError, match="0 spans named 'other' among"):
            own.one("other")
        assert own.traces.own.outcome == "shop.outcome"
        own.exporter.clear()
        own.assert_tree("")
