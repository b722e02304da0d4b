"""Which certificates a stack has."""

from collections.abc import Iterator
from typing import Final

from contracts import endpoints
from contracts.services import SERVICES
from stack.components.encryption.cert_manager import issued_secret
from stack.components.encryption.issuers import Certified
from stack.components.encryption.own_authority import certificate_secret
from stack.components.encryption.peers import authority_group, peers_name
from stack.components.encryption.settings import STEPS
from stack.components.trace_store import scrape as trace_store
from stack.settings.network import components
from stack.settings.tree import Settings

_TELEMETRY = (
    endpoints.COLLECTOR,
    endpoints.SAMPLER,
    endpoints.PROMETHEUS,
    endpoints.LOKI,
    endpoints.ALERTMANAGER,
)
_SERVICES = (*SERVICES, endpoints.PROBE, endpoints.GRAFANA, endpoints.GRAFANA_PUBLISHER)


BROKERS: Final = "kafka-brokers"
"""Name of the certificate by which Kafka's brokers know each other, if clients see another one."""
_CALLERS: Final = (endpoints.KAFKA_USERS, endpoints.TEMPO_KAFKA)
"""Workloads with a certificate by which they are known as clients."""


def certified(settings: Settings) -> tuple[Certified, ...]:
    """Return the certificates of a stack."""
    names = tuple(_names(settings))
    if settings.encryption.issuer is None:
        return tuple(Certified(name=name, secret=certificate_secret(name)) for name in names)
    brokers = [Certified(name=BROKERS, secret=certificate_secret(endpoints.KAFKA))] if endpoints.KAFKA in names else []
    return (
        *(
            Certified(name=name, secret=certificate_secret(name))
            if name in _CALLERS or authority_group(name)
            else Certified(name=name, secret=issued_secret(name), is_issued=True)
            for name in names
        ),
        *brokers,
    )


def _names(settings: Settings) -> Iterator[str]:
    encryption, traces = settings.encryption, settings.traces
    if encryption.postgres:
        yield endpoints.POSTGRES
    if encryption.kafka:
        yield from (endpoints.KAFKA, endpoints.KAFKA_USERS)
        if STEPS[encryption.kafka].speaks_tls and traces.distributed:
            yield endpoints.TEMPO_KAFKA
    has = components(settings)
    if encryption.services:
        yield from (name for name in _SERVICES if name in has)
    if encryption.telemetry:
        yield from (name for name in (*_TELEMETRY, *trace_store.pods(traces)) if name in has)
    if STEPS[encryption.telemetry].speaks_tls:
        several = {
            endpoints.ALERTMANAGER: settings.alerting.replicas > 1,
            endpoints.LOKI: settings.logs.replicas > 1,
            endpoints.TEMPO: traces.distributed is not None,
        }
        yield from (peers_name(name) for name, is_several in several.items() if is_several and name in has)
