"""The parts of docs/capacity.md that are made from the figures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from stack.capacity.command import Request, needs_of, simulation_of
from stack.capacity.figures import QUANTITIES, Figures, in_digits, load
from stack.capacity.picture import in_units, picture_of
from stack.capacity.simulation import Simulated
from stack.settings import ROOT

PAGE: Final = ROOT / "docs" / "capacity.md"
PICTURE: Final = ROOT / "docs" / "capacity.svg"
PLANNED: Final = Request(stack="prod", traces_per_second=50)
"""What the table of a plan shows."""
SIMULATED: Final = Request(stack="prod", traces_per_second=1_000_000)
"""What the picture shows."""
SKEW: Final = 0.7
_START: Final = "<!-- {name}: written by a command -->"
_END: Final = "<!-- end -->"


def write() -> list[Path]:
    """Write the tables into the page, and the picture, and return the files."""
    PAGE.write_text(with_figures(PAGE.read_text()))
    PICTURE.write_text(picture_of(simulation_of(SIMULATED, skew=SKEW, seed=1)))
    return [PAGE, PICTURE]


def with_figures(text: str) -> str:
    """Return the text of the page with the tables of the recorded figures."""
    parts = {"figures": figures_table(load()), "plan": plan_table(), "simulation": simulation_table()}
    for name, lines in parts.items():
        text = with_part(text, name, lines)
    return text


def plan_table() -> list[str]:
    """Return the table of what a load and its multiples need, in Markdown."""
    rows = ["| | the load | 10 x | 1,000 x |", "|---|---|---|---|"]
    return [*rows, *(f"| {' | '.join(row)} |" for row in needs_of(PLANNED))]


def simulation_table() -> list[str]:
    """Return the table of what simulations show, in Markdown."""
    rows = [
        "| traces/s | cells | skew | fullest partition | in Kafka | in the samplers' queues | deleted | empty after |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for rate in (1_000, 1_000_000):
        for skew in (0.0, SKEW, 1.0):
            request = replace(SIMULATED, traces_per_second=rate)
            rows.append(_row(simulation_of(request, skew=skew, seed=1), skew))
    return rows


def _row(simulated: Simulated, skew: float) -> str:
    result, partitions = simulated.result, simulated.model.shares
    recovery = "not in a day" if result.recovery_seconds is None else f"{result.recovery_seconds:,.0f} s"
    waiting = [in_units(result.most(place) * simulated.cells) for place in ("kafka", "samplers")]
    cells = [
        f"{simulated.load.traces_per_second:,.0f}",
        f"{simulated.cells:,}",
        f"{skew:g}",
        f"{max(partitions) * len(partitions):.2f} x",
        *waiting,
        in_units(result.lost * simulated.cells),
        recovery,
    ]
    return f"| {' | '.join(cells)} |"


def with_part(text: str, name: str, lines: Sequence[str]) -> str:
    """Return the text of the page with other lines in one of its written parts."""
    start = _START.format(name=name)
    head, _, rest = text.partition(f"{start}\n")
    _, _, tail = rest.partition(f"{_END}\n")
    return "\n".join([head + start, *lines, _END, ""]) + tail


def figures_table(figures: Figures) -> list[str]:
    """Return the table of all figures, in Markdown."""
    rows = ["| what | figure | date | command |", "|---|---|---|---|"]
    for name, quantity in QUANTITIES.items():
        figure = figures[name]
        rows.append(
            f"| {quantity.title} | {in_digits(figure.value)} {quantity.unit} | {figure.date} | `{quantity.command}` |"
        )
    sources = sorted({f"{figure.machine}" for figure in figures.values()})
    return [*rows, "", f"Machine: {'; '.join(sources)}. `stack/capacity/figures.yaml` has the spread and the commits."]
