"""The benchmark of the whole path with real servers: spans pass, and each process and disk is measured."""

from checks.bench.path import measure, queue_bytes
from checks.harness.collector import MissingProgram
from tests.support.programs import require_program, skipping


def test_spans_pass_and_cost_something_everywhere() -> None:
    with skipping("Kafka, Jaeger or the Collector", MissingProgram):
        run = measure(500, 2, "jaeger")
    assert run.spans == 1024
    assert run.usage.keys() == {"collector", "kafka", "sampler", "jaeger"}
    assert all(usage.cpu > 0 for usage in run.usage.values())
    # Compressed in Kafka, and with an index in Jaeger.
    assert 20 < run.kafka_bytes < 200
    assert 400 < run.stored.total / run.stored.spans < 4000
    assert run.blocks == run.stored.blocks == 0


def test_the_blocks_that_tempo_writes_are_counted() -> None:
    require_program("tempo")
    with skipping("Kafka or the Collector", MissingProgram):
        run = measure(500, 2, "tempo")
    assert 1 <= run.blocks < run.stored.blocks, "those of the first spans are older"
    assert run.usage["tempo"].cpu > 0
    assert 80 < run.stored.total / run.stored.spans < 2000


def test_a_collector_that_cannot_send_keeps_the_spans_on_disk() -> None:
    with skipping("otelcol-contrib", MissingProgram):
        assert 300 < queue_bytes(1000, 2) < 1024, "the settings reserve 1,024 bytes for a span"
