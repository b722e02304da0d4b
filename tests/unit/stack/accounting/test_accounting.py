"""Counting spans along their way: exact over restarts, and honest about what it cannot know."""

import re
from collections.abc import Sequence

import pytest
from rich.console import Console

from stack.accounting.count import increase
from stack.accounting.judge import account
from stack.accounting.model import Accounting
from stack.accounting.report import show
from stack.clients.prometheus import Series
from stack.settings import Settings, load
from stack.settings.monitoring import monitoring_config
from tests.support.command_line import wct

END = 10_000.0
SECONDS = 600.0


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([(1, 5), (2, 5)], (0, 0)),
        ([(1, 5), (2, 9), (3, 12)], (7, 0)),
        ([(1, 5), (2, 9), (3, 2), (4, 6)], (10, 1)),  # was reset to 0 after it had counted to 9
        ([(2, 9), (3, 12)], (12, 1)),  # began within the window
        ([(0, 3), (1, 5)], (0, 0)),  # ended before it
        ([], (0, 0)),
    ],
)
def test_what_a_counter_counted(samples: list[tuple[float, float]], expected: tuple[float, int]) -> None:
    assert increase(samples, start=1) == expected


def instant(time: float, value: float) -> Series:
    return Series(labels={}, points=((time, value),))


class Prometheus:
    """Answers with counters that go from `before` to `after` in steps of `scrape` spans."""

    def __init__(
        self,
        after: dict[str, float],
        waiting: tuple[float, float] = (0, 0),
        lag: float = 0,
        *,
        ended: int = 0,
        up: dict[str, Sequence[float]] | None = None,
    ) -> None:
        self._after = after
        self._waiting = waiting
        self._lag = lag
        self._ended = ended
        self._up = up or {}

    def __call__(self, query: str, time: float) -> Sequence[Series]:
        if "offset_lag" in query:
            return [] if self._lag else [instant(time, 0)]
        if query.startswith("count("):
            return [instant(time, self._ended)]
        if query.startswith("up{"):
            times = next((when for job, when in self._up.items() if f'"{job}"' in query), ())
            return [Series(labels={}, points=tuple((when, 1.0) for when in times))]
        if query.startswith("sum("):
            value = self._waiting[0 if time < END else 1] if "queue_size" in query else 0
            return [instant(time, value)]
        name, job = query.partition("{")[0], re.search(r'job="([^"]+)"', query)
        after = self._after.get(f"{name} {job[1]}" if job else name)
        if after is None:
            return []
        start = END - SECONDS
        steps = [(start - 5, 1000.0)] + [(start + 15 * n, 1000.0 + after * n / 40) for n in range(1, 41)]
        return [Series(labels={}, points=tuple(steps))]


def counters(**changes: float) -> dict[str, float]:
    """40,000 spans that all arrive, but for the changes; the keys are the stages."""
    names = {
        "ended": "tracing_items_ended_total",
        "exported": "tracing_items_exported_total",
        "dropped": "tracing_items_dropped_total",
        "accepted": "otelcol_receiver_accepted_spans_total collector",
        "sent": "otelcol_exporter_sent_spans_total collector",
        "read": "otelcol_receiver_accepted_spans_total sampler",
        "kept": "otelcol_exporter_sent_spans_total sampler",
        "stored": "otelcol_exporter_sent_spans_total trace-store",
    }
    counts = dict.fromkeys(names, 40_000.0) | {"dropped": 0.0} | changes
    return {names[stage]: count for stage, count in counts.items()}


def settings(stack: str = "dev") -> Settings:
    loaded = load(stack)
    return loaded.model_copy(update={"traces": loaded.traces.model_copy(update={"backend": "jaeger"})})


def counted(prometheus: Prometheus, stack: str = "dev") -> Accounting:
    return account(monitoring_config(settings(stack)), prometheus, seconds=SECONDS, end=END)


def missing(accounting: Accounting) -> dict[str, int]:
    return {item.leg: item.missing for item in accounting.differences if item.lost}


def test_nothing_is_missing_where_everything_is_stored_given_up_for_a_reason_or_waiting() -> None:
    assert not counted(Prometheus(counters())).is_lost
    dropped = counted(Prometheus(counters(exported=35_000, dropped=5_000, accepted=35_000, sent=35_000, stored=35_000)))
    assert not dropped.is_lost
    waiting = counted(Prometheus(counters(sent=10_000, stored=10_000), waiting=(500, 30_500)))
    assert (waiting.is_lost, waiting.differences[2].waiting) == (False, 30_000)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"exported": 35_000, "accepted": 35_000, "sent": 35_000, "stored": 35_000}, "service"),
        ({"accepted": 35_000, "sent": 35_000, "stored": 35_000}, "handover"),
        ({"sent": 35_000, "stored": 35_000}, "collector"),
        ({"stored": 35_000}, "store"),
    ],
)
def test_missing_spans_are_reported_with_their_leg(changes: dict[str, float], where: str) -> None:
    assert missing(counted(Prometheus(counters(**changes)))) == {where: 5_000}


def test_a_queue_that_was_emptied_hides_no_loss() -> None:
    accounting = counted(Prometheus(counters(), waiting=(20_000, 0)))
    assert missing(accounting) == {"collector": 20_000}


def test_what_samplers_leave_out_is_not_missing_and_what_kafka_loses_is() -> None:
    assert not counted(Prometheus(counters(kept=4_000, stored=4_000)), "staging").is_lost
    lost = counters(read=20_000, kept=2_000, stored=2_000)
    assert missing(counted(Prometheus(lost), "staging")) == {"kafka": 20_000}
    assert not counted(Prometheus(lost, lag=7), "staging").is_lost, "messages that are not read yet are not lost"


def test_two_scrapes_at_different_moments_are_no_loss() -> None:
    assert not counted(Prometheus(counters(stored=39_000))).is_lost  # one scrape is 1,000 spans


def test_the_table_says_what_is_missing_where(capsys: pytest.CaptureFixture[str]) -> None:
    accounting = counted(Prometheus(counters(stored=35_000)))
    show(accounting, monitoring_config(settings()), Console(width=120))
    printed = capsys.readouterr().out
    assert "5,000 spans are missing between the last Collector and the store" in printed
    assert re.search(r"stored by the trace store\s*│\s*35,000", printed)


def test_a_stack_that_cannot_be_asked_is_exit_code_2() -> None:
    result = wct("spans", "no-such-stack")
    assert result.exit_code == 2
    assert "there is no stack 'no-such-stack'" in result.stderr


def printed(accounting: Accounting, capsys: pytest.CaptureFixture[str], stack: str = "dev") -> str:
    show(accounting, monitoring_config(settings(stack)), Console(width=120))
    return capsys.readouterr().out


def test_spans_that_stopped_processes_may_have_counted_are_a_tolerance_that_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # 1,000 spans come in the 15 s of one scrape; a process counts up to 25 s of them after its last one.
    stopped = Prometheus(counters(stored=35_000), ended=2)
    accounting = counted(stopped)
    assert (accounting.is_lost, accounting.tolerated) == (False, round(1000 / 15 * (2 * 15 + 2 * 25)))
    text = printed(accounting, capsys)
    assert "5,000 spans are missing between the last Collector and the store, and whether they are lost is" in text
    assert "5,333 could be, since 2 processes stopped or could not be scraped" in text
    assert "no loss" not in text
    assert re.search(r"between the last Collector and the store\s*│\s*│\s*│\s*5,000 │\s*±5,333", text)
    assert "counters began" not in text
    lost = counted(Prometheus(counters(stored=34_000), ended=2))
    assert missing(lost) == {"store": 6_000}
    text = printed(lost, capsys)
    assert "6,000 spans are missing between the last Collector and the store; 5,333 of them could be unknown" in text
    assert "no loss is seen" not in text


def test_what_passes_between_two_scrapes_is_no_loss(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(counted(Prometheus(counters(stored=39_000))), capsys)
    assert "no loss is seen; up to 2,000 spans would not show, which is the number between two scrapes" in text


def test_a_window_in_which_no_loss_could_be_seen_is_not_green(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(counted(Prometheus(counters(stored=30_000), ended=40)), capsys)
    assert "this window could hide a loss" in text
    assert "no loss is seen" not in text


def test_one_process_that_ended_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert "since 1 process stopped" in printed(counted(Prometheus(counters(), ended=1)), capsys)


def test_more_that_went_out_than_came_in_is_no_negative_loss(capsys: pytest.CaptureFixture[str]) -> None:
    little = printed(counted(Prometheus(counters(stored=41_327))), capsys)
    assert "-1,327" not in little
    assert "counted again" not in little
    much = printed(counted(Prometheus(counters(stored=60_000))), capsys)
    assert "20,000 more spans left between the last Collector and the store than came in" in much
    assert "counted again" not in printed(
        counted(Prometheus(counters(accepted=90_000, sent=90_000, stored=90_000))), capsys
    )


COLLECTORS = [END - SECONDS + 15 * number for number in range(41)]


@pytest.mark.parametrize(
    ("stack", "samplers", "until"),
    [
        ("dev", [], None),
        ("dev", COLLECTORS[:21], COLLECTORS[20]),  # switched off in the middle
        ("staging", COLLECTORS, None),
        ("staging", [when + 7 for when in COLLECTORS if not when - END + SECONDS > 5_000], None),
        ("staging", COLLECTORS[20:], COLLECTORS[15]),  # switched on in the middle
        ("staging", [], COLLECTORS[40]),
        ("staging", COLLECTORS[:10] + COLLECTORS[13:], None),  # one that restarts
        ("staging", COLLECTORS[:10] + COLLECTORS[30:], COLLECTORS[25]),
    ],
)
def test_a_window_in_which_samplers_were_switched_on_or_off_is_not_judged(
    stack: str, samplers: list[float], until: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    lossy = Prometheus(counters(stored=1_000), up={"collector": COLLECTORS, "sampler": samplers})
    accounting = counted(lossy, stack)
    assert (accounting.route_changed_at, accounting.is_lost) == (until, until is None)
    text = printed(accounting, capsys, stack)
    assert ("in this window is unknown" in text) is (until is not None)
    assert "no loss is seen" not in text
    if until is not None:
        minutes = int((END - until - 60) // 60)
        assert (f"--since={minutes}m" if minutes > 0 else "in some minutes") in text
        assert re.search(r"the store\s*│\s*│\s*│\s*\? │", text)
