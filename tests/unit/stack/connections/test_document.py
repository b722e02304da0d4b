"""The page about connections is the one that the table gives."""

from contracts.connections import COMPONENTS, CONNECTIONS
from stack.connections.document import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run ./wct connections --document"


def test_the_page_has_each_connection_and_each_component() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| ")]
    assert len(rows) == len(CONNECTIONS) + 1
    assert all(name in page() for name in COMPONENTS)
