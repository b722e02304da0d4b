"""A short drill on the local stack."""

from rich.console import Console

from checks.drill.command import drill
from checks.drill.report import FOLDER
from checks.faults.journal import Journal


def test_a_short_drill_pages_and_takes_the_answer() -> None:
    console = Console(record=True, width=120)
    answers = ["hint", "kafka, stopped", "crawler -> web pages, connections reset"]
    result = drill(console, names=["crawler-failing"], answers=answers, warm_up=1)
    assert result.is_solved
    assert (result.hints, result.wrong) == (1, 1)
    assert "page: users complain" in console.export_text()
    assert Journal().read() == []
    assert "crawler-failing" in max(FOLDER.glob("*.md")).read_text()
