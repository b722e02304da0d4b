"""The section `kafka` of the settings."""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from contracts import secret_keys
from contracts.addresses import HOST, check_port
from contracts.section import Cpu, Quantity, Section, quantity_bytes
from stack.components.shared.settings import PemOfVariable, Stateful

_SMALLEST_OF_SEVERAL: Final = "768Mi"
"""Memory for a broker and for the program that checks its replicas when it starts."""
_PUBLISH_SECONDS_OF_ONE: Final = 5
"""No other broker takes over, so a longer wait would only delay the answer."""
_PUBLISH_SECONDS_OF_SEVERAL: Final = 20
"""The others take the partitions of a lost broker after 6 s. If it led the controllers, they first elect another
leader: 14 s until the last message was acknowledged were seen in `make ha`."""


def _check_ports(servers: str) -> str:
    return ",".join(map(check_port, servers.split(",")))


class ExternalKafka(Section):
    """A Kafka that the stack did not build."""

    bootstrap_servers: Annotated[
        str,
        Field(pattern=rf"^{HOST}:\d{{1,5}}(,{HOST}:\d{{1,5}})*$", examples=["a.example.com:9093,b.example.com:9093"]),
        AfterValidator(_check_ports),
    ]
    """Addresses at which clients ask for the brokers, separated by commas."""
    encrypted: bool = True
    """Whether the brokers use TLS; their certificates are verified, with their names."""
    ca: PemOfVariable | None = None
    """Authority that signed the brokers' certificates, as PEM; the public ones if unset."""
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] | None = None
    """How SASL authenticates the stack's user, whose password is the secret `kafkaPassword`; no SASL if unset."""
    username: Annotated[str, Field(pattern=r"^[^\s\"\\;$]+$", examples=["tracing"])] | None = None
    """The stack's user. It may create and describe topics that begin with `task-status`, `requests-web-crawl`,
    `otlp-spans` and `tempo-ingest`, write and read them, and read as the groups `task-manager`, `web-crawler` and
    `sampler`."""

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if (self.mechanism is None) != (self.username is None):
            raise ValueError("mechanism and username belong together: set both or none")
        if self.mechanism and not self.encrypted:
            raise ValueError("mechanism: SASL without TLS (encrypted: false) would show the password to the network")
        if self.ca and not self.encrypted:
            raise ValueError("ca: nothing is verified without TLS (encrypted: false)")
        return self


class Kafka(Stateful):
    """Apache Kafka."""

    external: ExternalKafka | None = None
    """A Kafka that you run or rent. If set, the stack builds none, and ignores `cpu` and `memory`. The topics'
    numbers of replicas are the defaults of your brokers. Not checked: their replicas, retention and quotas, and whether
    they keep what they have acknowledged."""
    brokers: Literal[1, 2, 3] = 1
    """Number of brokers; each is a controller, too. With 3, every message has three copies, an acknowledged one has at
    least two, and one broker may be unavailable. 2 is only a step on the way from 1 to 3: with 2, both are needed."""
    cpu: Cpu = "200m"
    memory: Quantity = "1Gi"
    volume: Quantity = "5Gi"
    """Size of each broker's persistent volume; with `external`, the disk space that the topics of spans share."""
    partitions: Annotated[int, Field(ge=1, le=256)] = 3
    """Partitions of each topic: the largest number of consumers that can read it in parallel."""
    publish_seconds: Annotated[int, Field(ge=1, le=60)] | None = None
    """How long a service waits for the acknowledgement of a message; the gateway then answers with 503. By default 5
    with one broker, and otherwise 20: if a broker is lost, the others acknowledge again after 6 to 14 seconds."""

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """Keys of the secrets that the external Kafka needs."""
        return (secret_keys.KAFKA_PASSWORD,) if self.external and self.external.mechanism else ()

    @property
    def publish_limit(self) -> int:
        """How long a service waits for the acknowledgement of a message, in s."""
        if self.publish_seconds is not None:
            return self.publish_seconds
        return _PUBLISH_SECONDS_OF_SEVERAL if self.external or self.brokers > 1 else _PUBLISH_SECONDS_OF_ONE

    @property
    def in_sync_replicas(self) -> int:
        """Copies of a message, at least, when Kafka acknowledges it."""
        return max(1, self.brokers - 1)

    @model_validator(mode="after")
    def _check_brokers_are_used(self) -> Self:
        if self.external and self.brokers > 1:
            raise ValueError(f"brokers {self.brokers} belong to a Kafka of the stack; external is yours")
        return self

    @model_validator(mode="after")
    def _check_memory_of_several(self) -> Self:
        if self.brokers > 1 and quantity_bytes(self.memory) < quantity_bytes(_SMALLEST_OF_SEVERAL):
            raise ValueError(
                f"memory {self.memory} is less than {_SMALLEST_OF_SEVERAL}, which each of several brokers needs"
            )
        return self
