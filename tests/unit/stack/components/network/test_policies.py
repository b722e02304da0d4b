"""The NetworkPolicies of all kinds of stacks, and the table from which they are derived."""

import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from contracts import connections as table
from contracts import secret_keys
from contracts.connections import COMPONENTS, CONNECTIONS
from contracts.metadata import Manifest
from contracts.services import SERVICES
from stack.components.network.policies import DENY_ALL
from stack.connections.targets import targets
from stack.settings import PROJECT, effective_config, parse
from stack.settings.network import components, network_plan
from stack.settings.scraping import scraping
from tests.support.program import STACKS, dev_with, pipeline_config, program, recorded, rendered

BUCKET = {"s3": {"bucket": "traces", "endpoint": "minio.storage:9000", "insecure": True}}
EXTERNAL_STORE = {"otlpUrl": "https://otlp.example.com:4317", "queryUrl": "https://query.example.com"}
INGRESS = {"tls": {"secret": "tls"}, "taskApi": {"host": "tasks.example.com", "reason": "for the tests"}}
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "jaeger": {"traces": {"backend": "jaeger"}},
    "distributed": {"traces": {"objectStorage": BUCKET, "distributed": {"replicas": 3}}},
    "cloud identity": {"traces": {"objectStorage": {**BUCKET, "identity": {"role": "reader"}}}},
    "sampling": {"collector": {"sampling": {"ratio": 0.1}}},
    "external Kafka": {"kafka": {"external": {"bootstrapServers": "kafka.messaging:9093,b.example.com:9094"}}},
    "external database": {"postgres": {"external": {"hosts": ["db-1.example.com:5433"]}}},
    "CloudNativePG": {"postgres": {"cloudnativepg": {}}},
    "external stores": {
        "traces": {"external": EXTERNAL_STORE},
        "logs": {"external": EXTERNAL_STORE},
        "metrics": {"external": {"queryUrl": "http://mimir.monitoring.svc:8080/prometheus", "podMonitors": {}}},
        "alerting": {"external": {"urls": ["http://alertmanager.monitoring:9093"]}},
    },
    "remote write": {
        "metrics": {
            "external": {"queryUrl": "https://mimir.example.com", "remoteWrite": {"url": "https://push.example.com"}}
        },
        "alerting": {"enabled": False},
    },
    "external Grafana": {"grafana": {"url": "https://grafana.example.com", "external": {"sidecar": {}}}},
    "published dashboards": {"grafana": {"url": "https://grafana.example.com", "external": {"api": {}}}},
    "ingress": {"ingress": INGRESS},
    "identity provider": {
        "access": {
            "identityProvider": {
                "issuer": "https://login.example.com",
                "audience": "web-crawl",
                "keysUrl": "https://login.example.com:8443/keys",
            }
        }
    },
    "no logs": {"logs": {"enabled": False}},
}


def policies(objects: dict[tuple[str, str], Manifest]) -> dict[str, Any]:
    return {name: item["spec"] for (kind, name), item in objects.items() if kind == "NetworkPolicy"}


def workloads(objects: dict[tuple[str, str], Manifest]) -> Iterator[Manifest]:
    yield from (item for (kind, _), item in objects.items() if kind in ("Deployment", "StatefulSet"))


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def ports(rules: list[dict[str, Any]]) -> set[int]:
    return {item["port"] for rule in rules for item in rule.get("ports", [])}


@pytest.mark.parametrize(
    ("receiver", "endpoint", "port"),
    [
        ("https://otlp.example.com", "otlp.example.com:4317", 4317),
        ("https://otlp.example.com:443", "otlp.example.com:443", 443),
        ("http://[fd00::1]", "[fd00::1]:4317", 4317),
    ],
)
def test_the_policy_allows_the_port_to_which_the_collectors_connect(receiver: str, endpoint: str, port: int) -> None:
    objects = dev_with(traces={"external": {"otlpUrl": receiver, "queryUrl": "https://query.example.com:8443"}})
    collector = yaml.safe_load(objects["ConfigMap", "collector-config"]["data"]["config.yaml"])
    assert collector["exporters"]["otlp_grpc/traces"]["endpoint"] == endpoint
    assert port in ports(policies(objects)["collector"]["egress"])


@pytest.mark.parametrize("name", VARIANTS)
def test_each_pod_has_one_policy_of_its_own_and_all_else_is_denied(name: str) -> None:
    objects = dev_with(**VARIANTS[name])
    made = policies(objects)
    assert made.pop(DENY_ALL) == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    used = set()
    for workload in workloads(objects):
        labels = workload["spec"]["template"]["metadata"]["labels"]
        own = [policy for policy, spec in made.items() if selects(spec["podSelector"], labels)]
        assert own == [labels["app.kubernetes.io/name"]]
        used.update(own)
    operated = {table.CLOUDNATIVEPG} if name == "CloudNativePG" else set()
    assert set(made) == used | operated
    assert all(spec["policyTypes"] == ["Ingress", "Egress"] for spec in made.values())


@pytest.mark.parametrize("name", VARIANTS)
def test_both_ends_of_a_connection_allow_it(name: str) -> None:
    made = policies(dev_with(**VARIANTS[name]))
    by_labels = {
        tuple(sorted(spec["podSelector"]["matchLabels"].items())): policy
        for policy, spec in made.items()
        if policy != DENY_ALL
    }

    def allowed(direction: str, end: str) -> set[tuple[str, str, int, str]]:
        pairs: set[tuple[str, str, int, str]] = set()
        for policy, spec in made.items():
            for rule in spec.get(direction, []):
                for peer in rule.get(end, []):  # without peers, the rule allows everyone
                    if "podSelector" not in peer:
                        continue
                    other = by_labels[tuple(sorted(peer["podSelector"]["matchLabels"].items()))]
                    pair = (policy, other) if direction == "egress" else (other, policy)
                    pairs.update((*pair, item["port"], item["protocol"]) for item in rule["ports"])
        return pairs

    sent, taken = allowed("egress", "to"), allowed("ingress", "from")
    assert sent == taken
    assert sent


@pytest.mark.parametrize("name", VARIANTS)
def test_the_table_has_the_addresses_in_the_variables_of_the_programs(name: str) -> None:
    objects = dev_with(**VARIANTS[name])
    made = policies(objects)
    names = {item["metadata"]["labels"]["app.kubernetes.io/name"] for item in workloads(objects)}
    for workload in workloads(objects):
        template = workload["spec"]["template"]
        caller = template["metadata"]["labels"]["app.kubernetes.io/name"]
        variables = {
            item["name"]: item["value"]
            for container in template["spec"]["containers"]
            for item in container.get("env", [])
            if item.get("value")
        }
        for address in targets(variables):
            host, _, port = address.rpartition(":")
            target = host.partition(".")[0].removesuffix("-pods")
            assert reaches(made[caller]["egress"], target, int(port), names), f"{caller} may not reach {address}"


def reaches(rules: list[dict[str, Any]], target: str, port: int, names: set[str]) -> bool:
    """Return whether the rules name the target's pods, or something outside with the port."""
    for rule in rules:
        for peer in rule["to"]:
            is_target = (
                target == "localhost"
                or peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/name") == target
            )
            is_outside = target not in names and ("ipBlock" in peer or "namespaceSelector" in peer)
            is_operated = target == "postgres-rw" and "cnpg.io/cluster" in str(peer)
            is_open = target == "localhost" or "ports" not in rule or port in ports([rule])
            if (is_target or is_outside or is_operated) and is_open:
                return True
    return False


@pytest.mark.parametrize("name", VARIANTS)
def test_the_components_are_those_that_the_program_declares(name: str) -> None:
    objects = dev_with(**VARIANTS[name])
    declared = {item["metadata"]["labels"]["app.kubernetes.io/name"] for item in workloads(objects)}
    config = effective_config("dev") | {f"{PROJECT}:{key}": value for key, value in VARIANTS[name].items()}
    operated = {table.CLOUDNATIVEPG} if name == "CloudNativePG" else set()
    assert components(parse(config, "dev")) == declared | operated


@pytest.mark.parametrize("name", VARIANTS)
def test_all_metrics_can_be_scraped(name: str) -> None:
    config = effective_config("dev") | {f"{PROJECT}:{key}": value for key, value in VARIANTS[name].items()}
    settings = parse(config, "dev")
    made = network_plan(settings).connections()
    callers = {"prometheus", table.YOUR_PROMETHEUS} & {item.caller for item in made}
    assert callers
    for target in scraping(settings).targets:
        for pod in (item.removesuffix("-canary").removesuffix("-baseline") for item in target.pods):
            for caller in callers:
                allowed = {port for item in made if (item.caller, item.target) == (caller, pod) for port in item.ports}
                assert target.port in allowed, f"{caller} may not scrape {pod}:{target.port}"


def test_the_crawler_alone_reaches_the_internet_and_no_private_address() -> None:
    made = policies(dev_with(cluster={"context": "dev", "ranges": ["198.41.0.0/16", "2a00:1::/32"]}))
    blocks = {
        policy: [peer["ipBlock"] for rule in spec["egress"] if "ports" not in rule for peer in rule["to"]]
        for policy, spec in made.items()
        if policy != DENY_ALL
    }
    assert [policy for policy, items in blocks.items() if items] == ["web-crawler"]
    for address, expected in {
        "93.184.216.34": True,
        "2606:2800:220:1::1": True,
        "192.0.0.9": True,
        "192.0.0.8": False,
        "10.244.0.7": False,
        "169.254.169.254": False,
        "127.0.0.1": False,
        "100.64.3.1": False,
        "192.168.1.1": False,
        "198.41.3.4": False,
        "2a00:1::5": False,
        "fd00::1": False,
        "fe80::1": False,
        "::ffff:10.0.0.1": False,
    }.items():
        assert any(contains(block, address) for block in blocks["web-crawler"]) is expected, address


def contains(block: dict[str, Any], address: str) -> bool:
    number = ipaddress.ip_address(address)
    networks = [ipaddress.ip_network(item) for item in (block["cidr"], *block.get("except", []))]
    inside = [number.version == network.version and number in network for network in networks]
    return inside[0] and not any(inside[1:])


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_nothing_comes_in_from_outside_by_default(stack: str) -> None:
    for item in rendered(stack):
        if item["kind"] == "NetworkPolicy":
            for rule in item["spec"].get("ingress", []):
                assert rule["from"]
                assert all(peer.keys() == {"podSelector"} for peer in rule["from"])


def test_the_front_door_is_as_wide_as_the_settings_say() -> None:
    open_door = policies(dev_with(ingress=INGRESS))
    assert any("from" not in rule and ports([rule]) == {8080} for rule in open_door["gateway"]["ingress"])
    assert all(
        "from" in rule for name, spec in open_door.items() if name != "gateway" for rule in spec.get("ingress", [])
    )
    callers = {"namespaces": ["ingress-nginx"], "ranges": ["10.1.0.0/16"]}
    narrow = policies(dev_with(ingress=INGRESS, network={"frontDoor": callers}))["gateway"]["ingress"]
    assert all("from" in rule for rule in narrow)
    assert {"ipBlock": {"cidr": "10.1.0.0/16"}} in [peer for rule in narrow for peer in rule["from"]]


def test_applications_of_other_namespaces_reach_the_collectors_of_a_stack_without_services() -> None:
    secrets = {f"{PROJECT}:{key}": f"value-of-{key}" for key in secret_keys.GENERATED}
    manifests = recorded("test", pipeline_config() | secrets).manifests
    (collector,) = (
        item for item in manifests if (item["kind"], item["metadata"]["name"]) == ("NetworkPolicy", "collector")
    )
    assert [ports([rule]) for rule in collector["spec"]["ingress"] if {"namespaceSelector": {}} in rule["from"]] == [
        {4317, 4318}
    ]


def test_the_gateway_reaches_the_identity_provider_of_its_callers() -> None:
    own = policies(dev_with(**VARIANTS["identity provider"]))["gateway"]["egress"]
    assert {8443} in [ports([rule]) for rule in own]
    assert {8443} not in [ports([rule]) for rule in policies(dev_with())["gateway"]["egress"]]


def test_targets_outside_have_the_ports_of_the_settings() -> None:
    made = policies(dev_with(**VARIANTS["external Kafka"], network={"outside": ["10.9.0.0/16"]}))
    for service in SERVICES:
        outside = [rule for rule in made[service]["egress"] if {"ipBlock": {"cidr": "10.9.0.0/16"}} in rule["to"]]
        assert [ports([rule]) for rule in outside] == [{9093, 9094}]
        assert any("messaging" in str(rule) and "ports" not in rule for rule in made[service]["egress"])
    bucket = policies(dev_with(**VARIANTS["distributed"]))["tempo-querier"]["egress"]
    assert {9000} in [ports([rule]) for rule in bucket]
    assert any("storage" in str(rule) and "ports" not in rule for rule in bucket)


def test_no_list_is_empty() -> None:
    """The API server stores none, so each deployment would change the object."""
    for sections in VARIANTS.values():
        for spec in policies(dev_with(**sections)).values():
            assert [] not in spec.values()


def test_a_stack_can_do_without_policies() -> None:
    assert not policies(dev_with(network={"enabled": False}))


@pytest.mark.parametrize("backend", STACKS)
def test_dns_is_allowed_to_all_and_only_where_the_cluster_has_it(backend: str) -> None:
    for item in program(backend).manifests:
        if item["kind"] == "NetworkPolicy" and item["metadata"]["name"] != DENY_ALL:
            dns = [rule for rule in item["spec"]["egress"] if 53 in ports([rule])]
            assert len(dns) == 1
            assert {(port["port"], port["protocol"]) for port in dns[0]["ports"]} == {(53, "UDP"), (53, "TCP")}
            assert "kube-system" in str(dns[0]["to"])


def test_the_table_has_no_unknown_and_no_double_entries() -> None:
    outside = {value for name, value in vars(table).items() if name.isupper() and isinstance(value, str)}
    for item in CONNECTIONS:
        assert {item.caller, item.target} <= {*COMPONENTS, *outside}
        assert bool(item.ports) == (item.target in COMPONENTS)
        assert item.why
    keys = [(item.caller, item.target, item.ports, item.protocols, item.why) for item in CONNECTIONS]
    assert len(keys) == len(set(keys))
