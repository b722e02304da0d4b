"""`make spans STACK=…`: how many spans came to each stage of their way, and where any are missing."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Final

import httpx
from rich.console import Console
from rich.table import Table

from contracts import endpoints
from dashboards.rules.stages import Leg, legs, processes_ended, stages, unseen_seconds
from stack.clients.prometheus import Query, Series, connect_prometheus
from stack.errors import DeployError
from stack.kubernetes.client import connect
from stack.settings import Settings, SettingsError, load_here
from stack.settings.monitoring import monitoring_config

_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400}
# How far back Prometheus itself looks for a series' latest sample.
_LOOKBACK_SECONDS: Final = 300
# A sampler that restarts is away for less.
_AWAY_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True)
class Count:
    """A stage in a window."""

    stage: str
    title: str
    spans: int
    restarts: int
    """Counters that began within the window, at 0."""


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
    """What two scrapes at different moments, and processes that ended, can make of it."""
    lost: bool


@dataclass(frozen=True, kw_only=True)
class Accounting:
    """All stages and legs of a window that ended at `at`, in s since the epoch."""

    at: float
    seconds: float
    counts: list[Count]
    differences: list[Difference]
    ended: int = 0
    """Processes on the way that ended; what one counted after its last scrape is not known."""
    other_way_until: float | None = None
    """When spans last went another way than the settings say, in s since the epoch: samplers were switched on or off
    within the window, and what is missing in it cannot be told. None if the way was the same all the time."""

    @property
    def lost(self) -> bool:
        """Spans are missing somewhere."""
        return self.other_way_until is None and any(item.lost for item in self.differences)

    @property
    def tolerated(self) -> int:
        """The most that is not known of any leg, in spans."""
        return max((item.tolerated for item in self.differences), default=0)


def increase(samples: Sequence[tuple[float, float]], since: float) -> tuple[float, int]:
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


def account(settings: Settings, ask: Query, *, seconds: float, at: float) -> Accounting:
    """Counts the spans of the `seconds` before `at`.

    Raises:
        httpx.HTTPError: Prometheus cannot be asked.
    """
    since = at - seconds
    config = monitoring_config(settings)
    scrape = config.scrape_interval_seconds
    counts: dict[str, Count] = {}
    rates: dict[str, float] = {}
    for stage in stages(config):
        all_series = ask(f"{stage.counter}[{int(seconds + _LOOKBACK_SECONDS)}s]", at)
        increases = [increase(series.points, since) for series in all_series]
        total, restarts = sum(added for added, _ in increases), sum(begun for _, begun in increases)
        rates[stage.name] = _highest_rate(all_series, since, scrape)
        counts[stage.name] = Count(stage=stage.name, title=stage.title, spans=round(total), restarts=restarts)

    def waiting(leg: Leg, when: float) -> float:
        return sum(series.value for series in ask(f"sum({leg.waiting})", when)) if leg.waiting else 0.0

    ended = sum(series.value for series in ask(processes_ended(config, f"{int(seconds)}s"), at))
    differences = []
    for leg in legs(config):
        gone = [counts[stage.name] for stage in (leg.target, *leg.given_up)]
        more = waiting(leg, at) - waiting(leg, since)
        missing = counts[leg.source.name].spans - sum(count.spans for count in gone) - more
        rate = max(rates[stage.name] for stage in (leg.source, leg.target, *leg.given_up))
        # Both ends of the window may hide what came within one scrape, each process what it counted at its end.
        tolerated = rate * (2 * scrape + ended * unseen_seconds(config))
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
    return Accounting(
        at=at,
        seconds=seconds,
        counts=list(counts.values()),
        differences=differences,
        ended=round(ended),
        other_way_until=_other_way_until(settings, ask, since, at),
    )


def _other_way_until(settings: Settings, ask: Query, since: float, at: float) -> float | None:
    """When the window last had samplers where the settings have none, or none where they have some."""

    def seen(job: str) -> list[float]:
        found = ask(f'up{{job="{job}"}}[{int(at - since)}s]', at)
        return sorted(when for series in found for when, _ in series.points)

    sampled, samplers = settings.collector.sampling is not None, seen(endpoints.SAMPLER)

    def near(when: float) -> bool:
        return bisect_right(samplers, when + _AWAY_SECONDS) > bisect_left(samplers, when - _AWAY_SECONDS)

    if not sampled:
        return samplers[-1] if samplers else None
    # Prometheus may have been away as well; Collectors that it saw alone had no samplers behind them.
    return max((when for when in seen(endpoints.COLLECTOR) if not near(when)), default=None)


def _highest_rate(all_series: Iterable[Series], since: float, scrape: float) -> float:
    """The most that counters counted together within the time between two scrapes, in spans a second."""
    counted: Counter[int] = Counter()
    for series in all_series:
        for (begin, value), (end, later) in pairwise(series.points):
            if end > since:
                # Counted evenly over a gap: one long wait for a scrape is no burst.
                gap = max(1.0, (end - begin) / scrape)
                counted[int(end // scrape)] += round(max(0.0, later - value) / gap)
    return max(counted.values(), default=0) / scrape


def show(accounting: Accounting, settings: Settings, console: Console) -> None:
    """Prints the stages in their order, and between them what waits and what is missing."""
    table = Table()
    for heading in ("spans of the window", "count", "waiting", "missing", "within"):
        table.add_column(heading, justify="left" if heading.startswith("spans") else "right", no_wrap=True)
    counts = {count.stage: count for count in accounting.counts}
    can_tell = accounting.other_way_until is None
    way = legs(monitoring_config(settings))
    shown: set[str] = set()
    for leg, item in zip(way, accounting.differences, strict=True):
        for stage in (leg.source, *leg.given_up):
            if stage.name not in shown:
                table.add_row(stage.title, f"{counts[stage.name].spans:,}", "", "", "")
            shown.add(stage.name)
        colour = "red" if item.lost and can_tell else "dim"
        table.add_row(
            f"[dim]  {leg.title}[/]",
            "",
            f"[dim]{item.waiting:+,}[/]" if leg.waiting else "",
            f"[{colour}]{max(0, item.missing):,}[/]" if can_tell else "[dim]?[/]",
            f"[dim]±{item.tolerated:,}[/]" if can_tell else "",
        )
    last = way[-1].target
    table.add_row(last.title, f"{counts[last.name].spans:,}", "", "", "")
    console.print(table)
    for line in _verdict(accounting, settings):
        console.print(line, soft_wrap=True)


def _verdict(accounting: Accounting, settings: Settings) -> list[str]:
    """What the counts come to, in words."""
    if accounting.other_way_until is not None:
        return [f"[yellow]whether spans are missing cannot be told for this window[/]: {_other_window(accounting)}"]
    ended = f"{accounting.ended} process{'es' if accounting.ended != 1 else ''} ended in this time"
    known = (
        f"since {ended}, and what each counted after its last scrape is not known"
        if accounting.ended
        else "which is what comes between two scrapes"
    )
    lines = [
        f"{-item.missing:,} more spans left {item.title} than came in: what is sent again is counted again"
        for leg, item in zip(legs(monitoring_config(settings)), accounting.differences, strict=True)
        if -item.missing > item.tolerated and not leg.has_other_sources
    ]
    lines += [
        f"[red]{item.missing:,} spans are missing {item.title}[/]; {item.tolerated:,} of them could be unknown, "
        f"{known}. See dashboards/runbooks/SpansMissing.md"
        for item in accounting.differences
        if item.lost
    ]
    if accounting.lost:
        return lines
    most = max(count.spans for count in accounting.counts)
    if most and accounting.tolerated >= most:
        unknown = f"{accounting.tolerated:,} spans could be unknown, {known}"
        return [*lines, f"[yellow]no loss could be seen in this window[/]: {unknown}. Ask for a longer or a later one"]
    return [*lines, f"[green]every span is accounted for within {accounting.tolerated:,} spans[/], {known}"]


def _other_window(accounting: Accounting) -> str:
    """Why a window cannot be judged, and which one can."""
    assert accounting.other_way_until is not None
    when = time.strftime("%H:%M:%S", time.localtime(accounting.other_way_until))
    # Spans on their way at that moment are counted on both sides of it.
    minutes = int((accounting.at - accounting.other_way_until - _AWAY_SECONDS) // 60)
    ask = f"ask with ARGS=--since={minutes}m" if minutes > 0 else "ask in some minutes, with ARGS=--since=1m"
    return f"samplers were switched on or off within it, so until {when} spans went another way; {ask}"


def _duration(text: str) -> float:
    match = re.fullmatch(r"([1-9]\d*)([mhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 30m, 6h or 2d")
    return float(int(match[1]) * _UNITS[match[2]])


def main() -> None:
    """Exit code 1 if spans are missing, 2 if they could not be counted, or the window cannot be judged."""
    parser = argparse.ArgumentParser(
        prog="python -m stack.accounting",
        description=f"{__doc__} Exit code 1: spans are missing; 2: it cannot be told.",
    )
    parser.add_argument("stack", help="for example local or dev")
    parser.add_argument("--since", type=_duration, default="1h", metavar="TIME", help="window, as 30m, 6h, 2d (1h)")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    asked = parser.parse_args()
    try:
        settings = load_here(asked.stack)
        client = connect(settings.cluster)
        with connect_prometheus(client, settings.cluster.namespace) as prometheus:
            accounting = account(settings, prometheus.query, seconds=asked.since, at=time.time())
    except (SettingsError, DeployError, httpx.HTTPError) as error:
        print(f"error: the spans of stack {asked.stack} cannot be counted: {error}", file=sys.stderr)
        sys.exit(2)
    if asked.json:
        print(json.dumps(asdict(accounting) | {"lost": accounting.lost}, indent=1))
    else:
        show(accounting, settings, Console(width=None if sys.stdout.isatty() else 120, highlight=False))
    sys.exit(2 if accounting.other_way_until is not None else 1 if accounting.lost else 0)


if __name__ == "__main__":
    main()
