"""Figures are recorded with their source, and a missing one names the command that measures it."""

import re
from datetime import date
from pathlib import Path

import pytest

from contracts.errors import UserError
from stack.capacity.figures import QUANTITIES, Source, load, record
from stack.settings import ROOT

SOURCE = Source(date="2026-01-01", machine="2 cores, a processor", version="abc1234")


def test_each_quantity_has_a_figure_with_its_source() -> None:
    for name, figure in load().items():
        assert figure.low <= figure.value <= figure.high, name
        assert figure.value >= 0, name
        assert figure.rounds > 0
        assert date.fromisoformat(figure.date)
        assert re.match(r"\d+ cores, .+", figure.machine)
        assert figure.version


def test_a_record_keeps_the_median_and_leaves_the_others(tmp_path: Path) -> None:
    file = tmp_path / "figures.yaml"
    record({name: [7.0] for name in QUANTITIES}, SOURCE, file)
    record({"tempo.bytes": [100.0, 300.0, 123.456]}, SOURCE, file)
    figures = load(file)
    assert (figures["tempo.bytes"].value, figures["tempo.bytes"].low, figures["tempo.bytes"].high) == (123.5, 100, 300)
    assert figures["tempo.bytes"].rounds == 3
    assert figures["jaeger.bytes"].value == 7.0
    assert (figures["tempo.bytes"].date, figures["tempo.bytes"].version) == ("2026-01-01", "abc1234")
    assert list(figures) == list(QUANTITIES)


def test_a_missing_figure_is_reported_with_the_command_that_measures_it(tmp_path: Path) -> None:
    file = tmp_path / "figures.yaml"
    record({name: [7.0] for name in QUANTITIES if name != "jaeger.cpu"}, SOURCE, file)
    with pytest.raises(UserError, match=r"the figure jaeger\.cpu is missing; `make path ARGS=--record` measures it"):
        load(file)


@pytest.mark.parametrize("target", sorted({quantity.command for quantity in QUANTITIES.values()}))
def test_each_command_is_a_target_of_make(target: str) -> None:
    assert re.search(rf"^{target.removeprefix('make ')}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_a_figure_below_zero_is_not_recorded(tmp_path: Path) -> None:
    file = tmp_path / "figures.yaml"
    with pytest.raises(UserError, match=r"path\.kafka was measured as less than 0"):
        record({"path.sampler": [100.0], "path.kafka": [-5.0, 3.0, -1.0]}, SOURCE, file)
    assert not file.exists()
