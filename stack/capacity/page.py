"""The parts of docs/capacity.md that are made from the figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stack.capacity.figures import QUANTITIES, Figures, load
from stack.settings import ROOT

PAGE: Final = ROOT / "docs" / "capacity.md"
_START: Final = "<!-- {name}: written by `./wct capacity document` -->"
_END: Final = "<!-- end -->"


def write() -> Path:
    """Write the tables into the page, and return its file."""
    PAGE.write_text(with_part(PAGE.read_text(), "figures", figures_table(load())))
    return PAGE


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


def in_digits(value: float) -> str:
    """Return a number with three digits: 37,000, 44.2, 0.0275."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:.3g}"
