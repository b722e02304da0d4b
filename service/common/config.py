"""Settings that all services have."""

from typing import Literal

from pydantic import Field, SecretStr

from lean_tracing.environment import EnvironmentSettings
from service.common.stored import StoredTraces


class ServiceSettings(EnvironmentSettings):
    """Address, log level and Kafka."""

    host: str = Field("0.0.0.0", alias="HOST", description="an address to listen on")  # clients outside the pod connect
    port: int = Field(8080, alias="PORT", ge=1, le=65535, description="a port, 1 to 65535")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", alias="LOG_LEVEL", description="DEBUG, INFO, WARNING or ERROR"
    )
    kafka_bootstrap_servers: str = Field(
        "localhost:9092",
        alias="KAFKA_BOOTSTRAP_SERVERS",
        pattern=r"^[^\s,:/]+:\d{1,5}(,[^\s,:/]+:\d{1,5})*$",
        description="a comma-separated list of host:port",
    )
    kafka_encrypted: bool = Field(
        False, alias="KAFKA_ENCRYPTED", description="true or false: whether the brokers use TLS"
    )
    kafka_ca: str | None = Field(
        None, alias="KAFKA_CA", description="PEM of the authority that signed the brokers' certificates"
    )
    kafka_sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] | None = Field(
        None, alias="KAFKA_SASL_MECHANISM", description="SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN"
    )
    kafka_username: str | None = Field(None, alias="KAFKA_USERNAME", description="the user that SASL authenticates")
    kafka_password: SecretStr | None = Field(None, alias="KAFKA_PASSWORD", description="the user's password")
    topic_partitions: int = Field(
        3, alias="KAFKA_TOPIC_PARTITIONS", ge=1, le=1000, description="a whole number, 1 to 1000"
    )
    stored_ratio: float = Field(
        1.0,
        alias="TRACES_STORED_RATIO",
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="the share of traces that the stack's samplers keep, 0 to 1; exemplars name only kept traces",
    )
    stored_slow_ms: int | None = Field(
        None,
        alias="TRACES_STORED_SLOW_MS",
        ge=1,
        description="the duration in milliseconds from which the samplers keep every trace",
    )
    publish_timeout_ms: int = Field(
        5000, alias="KAFKA_PUBLISH_TIMEOUT_MS", ge=100, le=60_000, description="milliseconds, 100 to 60000"
    )
    message_attempts: int = Field(
        3,
        alias="KAFKA_MESSAGE_ATTEMPTS",
        ge=1,
        le=100,
        description="how often the process may end during a message before that is dead-lettered, 1 to 100",
    )

    @property
    def stored_traces(self) -> StoredTraces:
        """The traces that are certain to be stored."""
        return StoredTraces(self.stored_ratio, self.stored_slow_ms)
