"""`make spans STACK=…`: how many spans came to each stage of their way, and where any are missing."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Final

import httpx
from rich.console import Console
from rich.table import Table

from dashboards.rules.stages import Leg, legs, stages
from stack.apply import DeployError, connect
from stack.metrics import Ask, asking
from stack.settings import Settings, SettingsError, load_here

_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400}
# How far back Prometheus itself looks for a series' latest sample.
_LOOKBACK_SECONDS: Final = 300

Series = list[tuple[float, float]]
"""Samples of one series: time in s since the epoch, value."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """A stage in a window."""

    stage: str
    title: str
    spans: int
    restarts: int
    """Counters that began anew; what one counted between its last scrape and its end is not known."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A leg in a window."""

    leg: str
    title: str
    waiting: int
    """More spans wait than at the window's begin; negative if fewer."""
    missing: int
    """Spans that came in and neither went out nor wait nor were given up; negative if more went out."""
    tolerated: int
    """What two scrapes at different moments, and restarts, can make of it."""
    lost: bool


@dataclass(frozen=True, kw_only=True)
class Accounting:
    """All stages and legs of a window that ended at `at`, in s since the epoch."""

    at: float
    seconds: float
    counts: list[Count]
    differences: list[Difference]

    @property
    def lost(self) -> bool:
        """Spans are missing somewhere."""
        return any(item.lost for item in self.differences)


def increase(samples: Series, since: float) -> tuple[float, int]:
    """What a counter counted after `since`, and how often it began anew. Nothing is extrapolated.

    A series whose first sample is later than `since` began at 0 after it.
    """
    before = [value for at, value in samples if at <= since]
    after = [value for at, value in samples if at > since]
    last, total, restarts = (before[-1], 0.0, 0) if before else (0.0, 0.0, 0)
    for value in after:
        restarts += value < last
        total += value if value < last else value - last
        last = value
    return total, restarts + (not before and bool(after))


def account(settings: Settings, ask: Ask, *, seconds: float, at: float) -> Accounting:
    """Counts the spans of the `seconds` before `at`.

    Raises:
        httpx.HTTPError: Prometheus cannot be asked.
    """
    since = at - seconds
    counts: dict[str, Count] = {}
    peak = 0.0
    for stage in stages(settings):
        found = ask(f"{stage.counter}[{int(seconds + _LOOKBACK_SECONDS)}s]", at)
        total, restarts = 0.0, 0
        for item in found:
            series = [(float(when), float(value)) for when, value in item["values"]]
            peak = max(peak, _per_scrape(series, since))
            added, begun = increase(series, since)
            total, restarts = total + added, restarts + begun
        counts[stage.name] = Count(stage=stage.name, title=stage.title, spans=round(total), restarts=restarts)

    def waiting(leg: Leg, when: float) -> float:
        return sum(float(item["value"][1]) for item in ask(f"sum({leg.waiting})", when)) if leg.waiting else 0.0

    differences = []
    for leg in legs(settings):
        gone = [counts[stage.name] for stage in (leg.target, *leg.given_up)]
        more = waiting(leg, at) - waiting(leg, since)
        missing = counts[leg.source.name].spans - sum(count.spans for count in gone) - more
        restarts = counts[leg.source.name].restarts + sum(count.restarts for count in gone)
        # Both ends of the window, and each restart, may hide what came within one scrape.
        tolerated = peak * (2 + restarts)
        waits_elsewhere = leg.idle is not None and not ask(leg.idle, at)
        differences.append(
            Difference(
                leg=leg.name,
                title=leg.title,
                waiting=round(more),
                missing=round(missing),
                tolerated=round(tolerated),
                lost=missing > tolerated and not waits_elsewhere,
            )
        )
    return Accounting(at=at, seconds=seconds, counts=list(counts.values()), differences=differences)


def _per_scrape(samples: Series, since: float) -> float:
    """The most that a counter counted from one scrape to the next within the window."""
    values = [value for at, value in samples if at > since]
    return max((max(0.0, later - value) for value, later in pairwise(values)), default=0.0)


def show(accounting: Accounting, settings: Settings, console: Console) -> None:
    """Prints the stages in their order, and between them what waits and what is missing."""
    table = Table()
    for heading in ("spans of the window", "count", "waiting", "missing"):
        table.add_column(heading, justify="left" if heading.startswith("spans") else "right", no_wrap=True)
    counts = {count.stage: count for count in accounting.counts}
    shown: set[str] = set()
    for leg, item in zip(legs(settings), accounting.differences, strict=True):
        for stage in (leg.source, *leg.given_up):
            if stage.name not in shown:
                table.add_row(stage.title, f"{counts[stage.name].spans:,}", "", "")
            shown.add(stage.name)
        colour = "red" if item.lost else "dim"
        table.add_row(
            f"[dim]  {leg.title}[/]",
            "",
            f"[dim]{item.waiting:+,}[/]" if leg.waiting else "",
            f"[{colour}]{item.missing:,}[/]",
        )
    last = legs(settings)[-1].target
    table.add_row(last.title, f"{counts[last.name].spans:,}", "", "")
    console.print(table)
    restarts = sum(count.restarts for count in accounting.counts)
    if restarts:
        console.print(
            f"{restarts} counters began within the window; what the one before counted after its last scrape is not "
            "known, so that much more is tolerated"
        )
    for item in accounting.differences:
        if item.lost:
            console.print(
                f"[red]{item.missing:,} spans are missing {item.title}[/]; {item.tolerated:,} could be the moment of "
                "the scrapes. See dashboards/runbooks/SpansMissing.md"
            )
    if not accounting.lost:
        console.print("[green]every span is accounted for[/], as far as two scrapes tell")


def _duration(text: str) -> float:
    match = re.fullmatch(r"([1-9]\d*)([mhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 30m, 6h or 2d")
    return float(int(match[1]) * _UNITS[match[2]])


def main() -> None:
    """Exit code 1 if spans are missing, 2 if they could not be counted."""
    parser = argparse.ArgumentParser(
        prog="python -m stack.spans", description=f"{__doc__} Exit code 1: spans are missing; 2: could not be counted."
    )
    parser.add_argument("stack", help="for example local or dev")
    parser.add_argument("--since", type=_duration, default="1h", metavar="TIME", help="window, as 30m, 6h, 2d (1h)")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    asked = parser.parse_args()
    try:
        settings = load_here(asked.stack)
        client = connect(settings.cluster)
        with asking(client, settings.cluster.namespace) as ask:
            accounting = account(settings, ask, seconds=asked.since, at=time.time())
    except (SettingsError, DeployError, httpx.HTTPError) as error:
        print(f"error: the spans of stack {asked.stack} cannot be counted: {error}", file=sys.stderr)
        sys.exit(2)
    if asked.json:
        print(json.dumps(asdict(accounting) | {"lost": accounting.lost}, indent=1))
    else:
        show(accounting, settings, Console(width=None if sys.stdout.isatty() else 120, highlight=False))
    sys.exit(1 if accounting.lost else 0)


if __name__ == "__main__":
    main()
