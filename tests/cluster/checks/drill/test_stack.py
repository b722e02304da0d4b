"""A short drill on the local stack; at night all faults are injected, seen and undone."""

import pytest
from rich.console import Console

from checks.drill.command import drill
from checks.drill.report import FOLDER
from checks.drill.verify import verify
from checks.faults.catalogue import faults
from checks.faults.journal import Journal
from contracts import endpoints
from tests.support.profiles import is_nightly


def test_a_short_drill_pages_and_takes_the_answer() -> None:
    console = Console(record=True, width=120)
    answers = ["hint", "kafka, stopped", "crawler -> web pages, connections reset"]
    (played,) = drill(console, names=["crawler-failing"], answers=answers, warm_up=1)
    assert played.result.is_solved
    assert (played.result.hints, played.result.wrong) == (1, 1)
    assert "page: users complain" in console.export_text()
    assert Journal().read() == []
    assert "crawler-failing" in max(FOLDER.glob("*.md")).read_text()


@pytest.mark.nightly
@pytest.mark.skipif(not is_nightly(), reason="takes two minutes for each fault")
@pytest.mark.parametrize("name", faults(endpoints.TEMPO))
def test_a_fault_shows_its_runbook_shows_it_and_it_ends(name: str) -> None:
    (verification,) = verify(Console(width=140), names=[name])
    assert verification.is_right, verification
