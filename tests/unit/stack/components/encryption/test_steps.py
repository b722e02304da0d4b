"""A running stack takes the steps of `encryption` forth and back: at each moment, each server takes what clients send.

While a deployment replaces pods, clients of either step reach servers of either step.
"""

from collections.abc import Mapping
from itertools import pairwise, product
from typing import Any

import pytest

from contracts import endpoints, secret_keys
from contracts.connections import COMPONENTS, TEMPO_PARTS
from contracts.services import GATEWAY, TASK_MANAGER
from stack.components.encryption.authority import Authority
from stack.components.encryption.settings import STEPS, EncryptionValue
from stack.settings import parse
from stack.settings.network import network_plan
from tests.support.configuration import config
from tests.support.large_stack import LARGE
from tests.support.program import dev_with
from tests.support.proxied_pods import Objects
from tests.support.spoken import Spoken, calls, fetch, page
from tests.support.taken import port

OWN = Authority(f"value-of-{secret_keys.AUTHORITY_SEED}").certificate
ROOT = Authority("the root of an issuer")
OTHER_ROOT = Authority("the next root of that issuer")
PARTS = ("kafka", "telemetry", "services")
OPENED = {
    "grafana": {"url": "https://grafana.example.com"},
    "ingress": {
        "api": "HTTPRoute",
        "gateway": {"name": "public", "namespace": "gateways"},
        "taskApi": {"host": "tasks.example.com", "reason": "Customers submit their tasks here"},
        "grafana": {"reason": "On-call engineers work here"},
    },
}
OPENED_LARGE = {**LARGE, **OPENED}
SMALL: dict[str, Any] = {
    "traces": {"backend": "jaeger"},
    "grafana": {"external": {"api": {}}, "url": "https://grafana.example.com"},
}
STACKS: Mapping[str, dict[str, Any]] = {"large": OPENED_LARGE, "small": SMALL}
NEIGHBOURS = list(pairwise(STEPS))
NOT_STEPPED = {(TASK_MANAGER, endpoints.POSTGRES)}
"""`encryption.postgres` has no steps: docs/security.md says what one deployment does."""
UNTIL_BROKERS_TAKE_TLS = (endpoints.KAFKA_USERS, endpoints.KAFKA)
"""On the way to `accepted`, this pod tries until it can write users; on the way back, it has nothing left to write."""
AMONG_PEERS = {
    *((name, name) for name in (endpoints.LOKI, endpoints.ALERTMANAGER)),
    *product(TEMPO_PARTS, TEMPO_PARTS),
}
PEER_PORTS = {
    endpoints.ALERTMANAGER_CLUSTER_PORT,
    endpoints.LOKI_GRPC_PORT,
    endpoints.LOKI_GOSSIP_PORT,
    endpoints.TEMPO_GRPC_PORT,
    endpoints.TEMPO_GOSSIP_PORT,
}


def stack_at(value: EncryptionValue, sections: Mapping[str, Any], **issuer: Any) -> Objects:
    """Return the objects of a stack with all three settings at one step."""
    return dev_with(encryption={**dict.fromkeys(PARTS, value), **issuer}, **sections)


def refused(clients: Objects, servers: Objects, *, issued: str | None = None) -> list[Spoken]:
    """Return the connections of clients that servers do not take, except for those among peers."""
    return [
        (client, server, call)
        for client, server, call in calls(clients)
        if not is_among_peers(client, server, call.port)
        if not port(servers, server, call.port, issued=issued).takes(call)
    ]


def is_among_peers(client: str, server: str, number: int) -> bool:
    return (client, server) in AMONG_PEERS and number in PEER_PORTS


@pytest.mark.parametrize("stack", STACKS)
def test_all_declared_connections_between_pods_are_compared(stack: str) -> None:
    sections = STACKS[stack]
    encryption = dict.fromkeys(PARTS, "accepted")
    declared = {
        (item.caller, item.target)
        for item in network_plan(parse(config(encryption=encryption, **sections), "test")).connections()
        if {item.caller, item.target} <= {*COMPONENTS}
    }
    known = {(client, server) for client, server, _ in calls(stack_at("accepted", sections)) if client in COMPONENTS}
    single = set() if stack == "large" else AMONG_PEERS
    assert known == declared - NOT_STEPPED - single


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize(("one", "other"), [*NEIGHBOURS, *((later, former) for former, later in NEIGHBOURS)], ids=str)
def test_clients_of_a_step_reach_servers_of_the_neighbouring_step(
    stack: str, one: EncryptionValue, other: EncryptionValue
) -> None:
    clients, servers = stack_at(one, STACKS[stack]), stack_at(other, STACKS[stack])
    assert {(client, server) for client, server, _ in refused(clients, servers)} == (
        {UNTIL_BROKERS_TAKE_TLS} if (one, other) == ("accepted", False) else set()
    )


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("value", STEPS, ids=str)
def test_pods_of_one_step_reach_each_other(stack: str, value: EncryptionValue) -> None:
    objects = stack_at(value, STACKS[stack])
    assert refused(objects, objects) == []
    among_peers = [
        (server, call) for client, server, call in calls(objects) if is_among_peers(client, server, call.port)
    ]
    assert all(port(objects, server, call.port).takes(call) for server, call in among_peers)
    assert bool(among_peers) == (stack == "large")


@pytest.mark.parametrize(("one", "other"), NEIGHBOURS, ids=str)
def test_the_page_of_the_probe_is_fetched_although_it_is_a_step_ahead_of_the_crawler(
    one: EncryptionValue, other: EncryptionValue
) -> None:
    """The probe names the page, the crawler fetches it, the gateway has it: each may be replaced or not."""
    steps = [stack_at(value, SMALL) for value in (one, other)]
    for probe, crawler, gateway in product(steps, steps, steps):
        assert port(gateway, GATEWAY, endpoints.SERVICE_PORT).takes(fetch(crawler, page(probe)))


@pytest.mark.parametrize(("one", "other"), NEIGHBOURS, ids=str)
def test_peers_of_both_kinds_meet_only_between_accepted_and_preferred(
    one: EncryptionValue, other: EncryptionValue
) -> None:
    clients, servers = stack_at(one, OPENED_LARGE), stack_at(other, OPENED_LARGE)
    taken = {
        port(servers, server, call.port).takes(call)
        for client, server, call in calls(clients)
        if is_among_peers(client, server, call.port)
    }
    assert taken == {(one, other) != ("accepted", "preferred")}


def test_a_step_that_is_left_out_has_connections_that_are_refused() -> None:
    """What `stack.deploy.encryption` refuses."""
    steps = list(STEPS)
    for one, other in product(steps, steps):
        if abs(steps.index(one) - steps.index(other)) > 1:
            first, second = stack_at(one, SMALL), stack_at(other, SMALL)
            assert refused(first, second) or refused(second, first)


def issuer(*authorities: Authority) -> dict[str, Any]:
    return {"issuer": {"name": "private", "authority": "".join(item.certificate for item in authorities)}}


def test_the_issuer_changes_at_the_step_at_which_clients_connect_in_clear() -> None:
    own, theirs = stack_at("accepted", SMALL), stack_at("accepted", SMALL, **issuer(ROOT))
    for clients, servers in product((own, theirs), (own, theirs)):
        assert refused(clients, servers, issued=ROOT.certificate) == []


@pytest.mark.parametrize("value", ["preferred", True])
def test_an_issuer_that_changes_at_another_step_has_connections_that_are_refused(value: EncryptionValue) -> None:
    own, theirs = stack_at(value, SMALL), stack_at(value, SMALL, **issuer(ROOT))
    assert refused(own, theirs, issued=ROOT.certificate)
    assert refused(theirs, own, issued=ROOT.certificate)
    assert refused(theirs, theirs, issued=ROOT.certificate) == []


def test_an_issuer_is_set_and_removed_while_clients_use_tls_if_they_trust_both_authorities_first() -> None:
    states = [
        stack_at(True, SMALL, **further)
        for further in (
            {},
            {"trustedAuthorities": ROOT.certificate},
            {**issuer(ROOT), "trustedAuthorities": OWN},
            issuer(ROOT),
        )
    ]
    for one, other in pairwise(states):
        for clients, servers in product((one, other), (one, other)):
            assert refused(clients, servers, issued=ROOT.certificate) == []


def test_clients_that_trust_two_roots_of_an_issuer_reach_servers_with_a_certificate_of_either() -> None:
    former, both, next_one = (
        stack_at(True, OPENED_LARGE, **issuer(*roots)) for roots in ([ROOT], [ROOT, OTHER_ROOT], [OTHER_ROOT])
    )
    # The issuer changes while all clients trust both; the others are what a deployment has replaced, or not yet.
    for clients, shown in ((former, ROOT), (both, ROOT), (both, OTHER_ROOT), (next_one, OTHER_ROOT)):
        for servers in (former, both, next_one):
            assert refused(clients, servers, issued=shown.certificate) == []
