"""What the matrix of connections calls missing and forbidden, and its picture."""

import xml.etree.ElementTree as ElementTree

from checks.network.matrix import Edge, Matrix, declared_edges, ordered, svg
from contracts.connections import Connection

PORTS = {"gateway": frozenset({8080}), "kafka": frozenset({9092, 9093})}
DECLARED = frozenset({("gateway", "kafka", 9092)})


def matrix(*measured: Edge) -> Matrix:
    return Matrix(
        names=ordered(PORTS), ports=PORTS, declared=DECLARED, measured=frozenset(measured), pairs=2, attempts=3
    )


def test_a_difference_is_missing_or_forbidden() -> None:
    assert not matrix(*DECLARED).missing
    assert not matrix(*DECLARED).forbidden
    assert matrix().missing == [("gateway", "kafka", 9092)]
    assert matrix(*DECLARED, ("kafka", "gateway", 8080)).forbidden == [("kafka", "gateway", 8080)]


def test_only_ports_with_a_listener_are_declared() -> None:
    made = [
        Connection(caller="gateway", target="kafka", ports=(9092, 1), why="messages"),
        Connection(caller="gateway", target="loki", ports=(3100,), why="not in this stack"),
    ]
    assert declared_edges(made, PORTS) == DECLARED


def test_the_picture_has_the_ports_and_marks_what_differs() -> None:
    right, wrong = svg(matrix(*DECLARED)), svg(matrix(*DECLARED, ("kafka", "gateway", 8080)))
    for picture in (right, wrong):
        ElementTree.fromstring(picture)
        assert ">9092</text>" in picture
    assert "#c92a2a" not in right
    assert "#c92a2a" in wrong
