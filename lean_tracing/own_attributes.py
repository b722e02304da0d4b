"""Keys of the attributes for which OpenTelemetry's conventions have none yet."""

from dataclasses import dataclass
from typing import Final, Self

PREFIX: Final = "lean_tracing"


@dataclass(frozen=True, slots=True)
class OwnAttributes:
    """The keys; all begin with a prefix that the application chooses, because they are not standard."""

    db_pool_wait_ms: str
    """How long a statement waited for a connection of the pool, in ms."""
    db_rows_affected: str
    kafka_consumer_lag: str
    """Messages after this one in its partition."""
    kafka_queue_time_ms: str
    """From sending to receiving, in ms."""
    kafka_redeliveries: str
    """How often this process got the message before."""
    processing_time_ms: str
    outcome: str
    """Of a message: `success`, `failure`, or what its handler reports."""

    @classmethod
    def below(cls, prefix: str = PREFIX) -> Self:
        """The keys with this prefix."""
        return cls(
            db_pool_wait_ms=f"{prefix}.db.pool_wait_ms",
            db_rows_affected=f"{prefix}.db.rows_affected",
            kafka_consumer_lag=f"{prefix}.kafka.consumer_lag",
            kafka_queue_time_ms=f"{prefix}.kafka.queue_time_ms",
            kafka_redeliveries=f"{prefix}.kafka.redeliveries",
            processing_time_ms=f"{prefix}.processing_time_ms",
            outcome=f"{prefix}.outcome",
        )
