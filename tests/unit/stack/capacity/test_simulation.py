"""The model of the queues, compared with what is computed by hand, and with an outage that was measured."""

import re
from dataclasses import replace

import pytest

from stack.capacity.picture import draw
from stack.capacity.simulation import Model, Result, shares, simulate

DIRECT = Model(
    arriving=800,
    collector_rate=10_000,
    collector_queue=2_000_000,
    store_rate=5_700,
)
"""Collectors that send to the store, as in `make chaos`. That run did not measure what the store takes: 5,700 spans/s
are what its 98 s mean. `make prediction` measures an outage with the rate of another one."""
SAMPLED = replace(
    DIRECT,
    arriving=1000,
    shares=[0.25] * 4,
    partition_room=1e9,
    kafka_rate=100_000,
    samplers=2,
    sampler_rate=2000,
    sampler_queue=3000,
    stored=0.1,
    store_rate=500,
)


def recovery(result: Result) -> float:
    """Seconds after the outage; nothing waits then."""
    assert result.recovery_seconds is not None
    return result.recovery_seconds


def test_it_is_as_deep_and_as_long_as_the_outage_that_was_measured() -> None:
    # `make chaos`: 10 min at 800 spans/s; 483,200 spans waited at most, none after 98 s.
    result = simulate(DIRECT, outage_seconds=600)
    assert result.most("collectors") == pytest.approx(483_200, rel=0.01)
    assert recovery(result) == pytest.approx(98, abs=2)


def test_a_queue_empties_with_what_the_store_takes_beyond_what_arrives() -> None:
    # 100 s x 800 = 80,000 spans, at 1,600 - 800 per second.
    assert recovery(simulate(replace(DIRECT, store_rate=1600), outage_seconds=100)) == pytest.approx(100, abs=2)


def test_a_store_that_takes_no_more_than_arrives_never_catches_up() -> None:
    result = simulate(replace(DIRECT, store_rate=800), outage_seconds=10, limit_seconds=1000)
    assert result.recovery_seconds is None
    assert result.depths[-1].collectors == pytest.approx(8000, abs=800)
    assert len(result.depths) == 1010


def test_the_time_to_catch_up_begins_after_the_outage() -> None:
    result = simulate(replace(DIRECT, store_rate=1600), outage_seconds=100, limit_seconds=110)
    assert recovery(result) == pytest.approx(100, abs=2)


def test_a_full_queue_leaves_spans_at_the_senders() -> None:
    # Room for 40,000 spans, after 50 s; 40,000 more wait at the senders.
    result = simulate(replace(DIRECT, collector_queue=40_000), outage_seconds=100)
    assert result.most("collectors") == 40_000
    assert result.most("senders") == pytest.approx(40_000, rel=0.03)
    assert result.lost == 0


def test_a_full_sampler_stops_reading_and_kafka_holds_the_rest() -> None:
    # 100 spans/s are kept; two queues of 3,000 are full after 60 s. In 140 s more, 140,000 spans wait in Kafka.
    result = simulate(SAMPLED, outage_seconds=200)
    assert result.most("samplers") == pytest.approx(6000)
    assert result.most("kafka") == pytest.approx(140_000, rel=0.02)
    assert result.most("hottest") == pytest.approx(35_000, rel=0.02)
    # The store takes 500 of the 4,000 x 0.1 kept spans that the samplers can read: the samplers are the slower part.
    assert recovery(result) == pytest.approx(140_000 / (4000 - 1000), rel=0.05)


def test_kafka_deletes_what_a_full_partition_has_no_room_for() -> None:
    result = simulate(replace(SAMPLED, partition_room=10_000), outage_seconds=200)
    assert result.most("hottest") == 10_000
    assert result.lost == pytest.approx(140_000 - 40_000, rel=0.03)


def test_a_hot_partition_is_read_by_one_sampler_alone() -> None:
    # The first partition gets 700 spans/s more than the others; its sampler reads 600 in all.
    model = replace(SAMPLED, shares=[0.7, 0.1, 0.1, 0.1], sampler_rate=600)
    result = simulate(model, outage_seconds=20, limit_seconds=80)
    # It reads partitions 0 and 2, with 800 spans/s; 200 of them more wait each second.
    assert result.recovery_seconds is None
    assert result.depths[-1].kafka == pytest.approx(100 * 200, rel=0.05)
    assert result.depths[-1].hottest > 0.8 * result.depths[-1].kafka


def test_no_span_appears_or_vanishes() -> None:
    result = simulate(replace(SAMPLED, stored=1, store_rate=0), outage_seconds=300, limit_seconds=0)
    assert result.depths[-1].waiting + result.lost == pytest.approx(300 * SAMPLED.arriving)


def test_shares_add_up_and_depend_on_the_seed() -> None:
    even, uneven = shares(32, 0, seed=1), shares(32, 1, seed=1)
    assert sum(even) == pytest.approx(1)
    assert sum(uneven) == pytest.approx(1)
    assert max(even) < 1.2 / 32
    # The first key alone has 1 / (1 + 1/2 + … + 1/20,000) = 0.095 of the spans.
    assert max(uneven) > 0.095
    assert shares(32, 1, seed=1) == uneven != shares(32, 1, seed=2)


def test_labels_of_a_short_recovery_do_not_cover_each_other() -> None:
    result = simulate(replace(DIRECT, store_rate=80_000), outage_seconds=100)
    assert recovery(result) < 5
    labels = re.findall(r'<text x="([\d.]+)"[^>]*>([\d,]+ s)<', draw(result, 100, "title"))
    (outage, _), (end, _) = labels[:2]
    assert float(end) - float(outage) == 64
