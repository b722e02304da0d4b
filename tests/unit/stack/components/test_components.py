"""What is true for all objects of the program, of every component."""

import json
from typing import Any, get_args

import pulumi
import pytest
import yaml

from contracts import metadata, secret_keys
from stack.components.trace_store import scrape as trace_store
from stack.components.trace_store.settings import Traces
from stack.deploy.render import as_yaml, record, render
from stack.kubernetes import volume_growth
from stack.settings import PROJECT, Settings
from tests.support.program import RECEIVERS, STACKS, TRACES, containers, program, rendered, workloads


@pytest.mark.parametrize("backend", STACKS)
def test_the_chosen_trace_store_is_there_and_no_other(backend: str) -> None:
    names = {item["metadata"]["name"] for item in workloads(backend)}
    stores = {name for name in names if name.partition("-")[0] in ("tempo", "jaeger")}
    settings = Traces.model_validate(TRACES[backend])
    assert stores == set(trace_store.pods(settings))
    assert {
        "gateway",
        "task-manager",
        "web-crawler",
        "collector",
        "sampler",
        "kafka",
        "postgres",
        "prometheus",
        "alertmanager",
        "loki",
        "grafana",
        "probe",
    } < names


@pytest.mark.parametrize("backend", STACKS)
def test_every_object_is_labelled_and_in_the_namespace(backend: str) -> None:
    for item in program(backend).manifests:
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == metadata.PART_OF, item["metadata"]
        assert labels["app.kubernetes.io/managed-by"] == "pulumi"
        assert item["kind"] == "Namespace" or item["metadata"]["namespace"] == "tracing"


@pytest.mark.parametrize("backend", STACKS)
def test_pods_are_restricted(backend: str) -> None:
    for item in workloads(backend):
        pod = item["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False, item["metadata"]["name"]
        assert pod["enableServiceLinks"] is False
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for name, container in containers(backend):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name


@pytest.mark.parametrize("backend", STACKS)
def test_containers_have_requests_limits_and_pinned_images(backend: str) -> None:
    for name, container in containers(backend):
        resources = container["resources"]
        assert resources["limits"]["memory"] == resources["requests"]["memory"], name
        assert "cpu" in resources["requests"], name
        assert ":" in container["image"].rpartition("/")[2], name
        assert not container["image"].endswith(":latest"), name


@pytest.mark.parametrize("backend", STACKS)
def test_main_containers_have_probes(backend: str) -> None:
    for item in workloads(backend):
        for container in item["spec"]["template"]["spec"]["containers"]:
            assert {"readinessProbe", "livenessProbe", "startupProbe"} <= container.keys(), container["name"]


@pytest.mark.parametrize("name", ["collector", "sampler"])
def test_a_guard_can_pause_its_collector_and_nothing_kills_a_paused_one(name: str) -> None:
    pods = {item["metadata"]["name"]: item["spec"]["template"]["spec"] for item in workloads("tempo")}
    (guard,) = (item for item in pods[name]["initContainers"] if item["name"] == "queue-guard")
    (main,) = pods[name]["containers"]
    assert pods[name]["shareProcessNamespace"] is True
    assert main["livenessProbe"]["httpGet"] == {"path": "/collector", "port": guard["ports"][0]["containerPort"]}
    assert main["readinessProbe"]["httpGet"]["port"] in [port["containerPort"] for port in main["ports"]]
    assert [name for name, pod in pods.items() if pod.get("shareProcessNamespace")] == ["collector", "sampler"]


@pytest.mark.parametrize("backend", STACKS)
def test_services_select_pods_that_have_their_ports(backend: str) -> None:
    pods = {item["metadata"]["name"]: item["spec"]["template"] for item in workloads(backend)}
    for service in (item for item in program(backend).manifests if item["kind"] == "Service"):
        selected = [
            pod for pod in pods.values() if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        ]
        assert len(selected) == 1, service["metadata"]["name"]
        ports = {port["name"] for port in selected[0]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


@pytest.mark.parametrize("backend", STACKS)
def test_secrets_are_in_the_secret_and_nowhere_else(backend: str) -> None:
    for item in program(backend).manifests:
        keys = (*secret_keys.GENERATED, *RECEIVERS)
        text = json.dumps(item)
        clear = [key for key in keys if f"value-of-{key}" in text]
        assert clear == (list(keys) if item["kind"] == "Secret" else [])


def test_components_have_a_constant_token_and_children() -> None:
    resources = program("tempo").resources
    components = {args.typ for args in resources if args.typ.startswith("web-crawl-tracing:index:")}
    assert {token.rpartition(":")[2] for token in components} == {
        "Namespace", "Secrets", "Postgres", "Kafka", "Tempo", "Loki", "Collector", "Sampler", "Services",
        "Prometheus", "Alertmanager", "Grafana", "Ingress", "Probe", "NetworkPolicies",
    }  # fmt: skip


def test_a_changed_configuration_rolls_the_pods() -> None:
    def checksum(backend: str) -> str:
        sampler = next(item for item in workloads(backend) if item["metadata"]["name"] == "sampler")
        return str(sampler["spec"]["template"]["metadata"]["annotations"][metadata.CHECKSUM])

    assert checksum("tempo") != checksum("jaeger"), "the endpoint of the trace store is part of the configuration"


def test_the_collectors_can_be_scaled_without_losing_their_queues() -> None:
    objects = {(item["kind"], item["metadata"]["name"]): item for item in program("tempo").manifests}
    scaler = objects["HorizontalPodAutoscaler", "collector"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 3)
    assert scaler["behavior"]["scaleDown"]["selectPolicy"] == "Disabled"
    assert "replicas" not in objects["StatefulSet", "collector"]["spec"], "every deployment would undo the scaling"


def test_services_and_collectors_agree_on_the_token() -> None:
    pods = {item["metadata"]["name"]: item["spec"]["template"]["spec"] for item in workloads("tempo")}
    (volume,) = [volume for volume in pods["collector"]["volumes"] if "secret" in volume]
    assert volume["secret"] == {
        "secretName": secret_keys.SECRET,
        "defaultMode": 0o440,
        "items": [{"key": secret_keys.OTLP_TOKENS, "path": "token"}],
    }
    secret = next(item for item in program("tempo").manifests if item["kind"] == "Secret")
    assert secret["stringData"][secret_keys.OTLP_TOKENS] == f"value-of-{secret_keys.OTLP_TOKEN}\n"
    for name in ("gateway", "task-manager", "web-crawler"):
        variables = {variable["name"]: variable for variable in pods[name]["containers"][0]["env"]}
        assert variables["OTLP_TOKEN"]["valueFrom"]["secretKeyRef"]["key"] == secret_keys.OTLP_TOKEN
        assert variables["OTEL_EXPORTER_OTLP_HEADERS"]["value"] == "authorization=Bearer%20$(OTLP_TOKEN)"


@pytest.mark.parametrize("logs", [True, False])
def test_logs_go_all_the_way_or_nowhere(logs: bool) -> None:
    objects = {(item["kind"], item["metadata"]["name"]): item for item in program("tempo", logs=logs).manifests}
    assert (("StatefulSet", "loki") in objects) == logs
    collector = yaml.safe_load(objects["ConfigMap", "collector-config"]["data"]["config.yaml"])
    assert ("logs" in collector["service"]["pipelines"]) == logs
    sources = yaml.safe_load(objects["ConfigMap", "grafana-datasources"]["data"]["datasources.yaml"])["datasources"]
    assert ("logs" in {source["uid"] for source in sources}) == logs
    for name in ("gateway", "task-manager", "web-crawler"):
        (container,) = objects["Deployment", name]["spec"]["template"]["spec"]["containers"]
        exporter = next(item["value"] for item in container["env"] if item["name"] == "OTEL_LOGS_EXPORTER")
        assert exporter == ("otlp" if logs else "none"), "a Collector without a logs pipeline refuses them"
    if logs:
        (port,) = objects["Service", "loki"]["spec"]["ports"]
        assert collector["exporters"]["otlp_http/logs"]["endpoint"] == f"http://loki:{port['port']}/otlp"


@pytest.mark.parametrize("alerting", [True, False])
def test_alerts_go_all_the_way_or_nowhere(alerting: bool) -> None:
    rendered = program("tempo", alerting=alerting).manifests
    objects = {(item["kind"], item["metadata"]["name"]): item for item in rendered}
    assert (("StatefulSet", "alertmanager") in objects) == alerting
    prometheus = yaml.safe_load(objects["ConfigMap", "prometheus-config"]["data"]["prometheus.yml"])
    assert ("alerting" in prometheus) == alerting
    assert ("alertmanager" in {job["job_name"] for job in prometheus["scrape_configs"]}) == alerting
    sources = yaml.safe_load(objects["ConfigMap", "grafana-datasources"]["data"]["datasources.yaml"])["datasources"]
    assert ("alertmanager" in {source["uid"] for source in sources}) == alerting
    assert ("alertmanagerUid" in sources[0]["jsonData"]) == alerting
    if alerting:
        (discovery,) = prometheus["alerting"]["alertmanagers"][0]["dns_sd_configs"]
        assert discovery["names"] == ["alertmanager-pods.tracing.svc.cluster.local."]
        assert discovery["port"] in {port["port"] for port in objects["Service", "alertmanager-pods"]["spec"]["ports"]}
        pod = objects["StatefulSet", "alertmanager"]["spec"]["template"]["spec"]
        (secret,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
        assert [item["key"] for item in secret["items"]] == list(RECEIVERS)
        (container,) = pod["containers"]
        (directory,) = [mount["mountPath"] for mount in container["volumeMounts"] if "secrets" in mount["mountPath"]]
        config = objects["ConfigMap", "alertmanager-config"]["data"]["alertmanager.yml"]
        for item in secret["items"]:
            assert f"{directory}/{item['path']}" in config


def test_a_receiver_without_its_secret_ends_the_program() -> None:
    config = {
        "environment": "test",
        "cluster": {"context": "c"},
        "images": {"service": "registry.example.com/service:1"},
        "alerting": {"page": {"slack": True}},
        **{key: f"value-of-{key}" for key in secret_keys.GENERATED},
    }
    with pytest.raises(Exception, match="alertPageSlackUrl"):
        record("test", {f"{PROJECT}:{key}": value for key, value in config.items()})


def test_wrong_settings_end_the_program_with_an_error_that_pulumi_prints_without_a_traceback() -> None:
    with pytest.raises(pulumi.RunError, match=r"stack test: the settings cannot be used:\n  environment: missing"):
        record("test", {f"{PROJECT}:cluster": {"context": "c"}})


def test_rendering_is_deterministic_and_holds_no_secret_value() -> None:
    first = as_yaml(render("dev"))
    assert first == as_yaml(rendered("dev"))
    assert "${postgresPassword}" in first


def test_the_parts_of_tempo_find_each_other_and_the_keys() -> None:
    objects = {(item["kind"], item["metadata"]["name"]): item for item in program("distributed tempo").manifests}
    services = {name for kind, name in objects if kind == "Service"}
    config = yaml.safe_load(objects["ConfigMap", "tempo-config"]["data"]["tempo.yaml"])
    addresses = [
        *config["memberlist"]["join_members"],
        config["backend_worker"]["backend_scheduler_addr"],
        config["querier"]["frontend_worker"]["frontend_address"],
        config["ingest"]["kafka"]["address"],
    ]
    for address in addresses:
        name, port = address.split(":")
        assert int(port) in {item["port"] for item in objects["Service", name]["spec"]["ports"]}, address
    assert set(trace_store.pods(Traces.model_validate(TRACES["distributed tempo"]))) <= services
    for name in ("tempo-live-store", "tempo-block-builder"):
        workload = objects["StatefulSet", name]
        assert workload["spec"]["replicas"] == 3
        (topic,) = workload["spec"]["template"]["spec"]["initContainers"]
        assert topic["args"][topic["args"].index("--topic") + 1] == config["ingest"]["kafka"]["topic"]
        limits = dict(argument.split("=") for argument in topic["args"] if "=" in argument)
        assert int(limits["segment.bytes"]) <= int(limits["retention.bytes"]) / 4, "only whole segments are dropped"
        variables = workload["spec"]["template"]["spec"]["containers"][0]["env"]
        kept = [item for item in variables if "valueFrom" in item]
        assert {item["valueFrom"]["secretKeyRef"]["key"] for item in kept} == {
            secret_keys.OBJECT_STORAGE_ACCESS_KEY,
            secret_keys.OBJECT_STORAGE_SECRET_KEY,
        }
        assert all(item["valueFrom"]["secretKeyRef"]["optional"] for item in kept)


@pytest.mark.parametrize("backend", STACKS)
def test_every_volume_has_a_setting_that_a_refusal_can_name(backend: str) -> None:
    sets = {item["metadata"]["name"] for item in workloads(backend) if item["kind"] == "StatefulSet"}
    assert sets - volume_growth.SETTINGS.keys() <= {"tempo-backend-scheduler"}, "the scheduler's size is fixed"
    for setting in volume_growth.SETTINGS.values():
        section: Any = Settings
        for part in setting.split("."):
            field = next(each for each in section.model_fields.values() if each.alias == part)
            inner = [each for each in (field.annotation, *get_args(field.annotation)) if hasattr(each, "model_fields")]
            section = inner[0] if inner else None


def test_replicas_that_an_autoscaler_decides_are_in_no_manifest_and_have_a_first_value() -> None:
    (collector,) = [item for item in workloads("tempo") if item["metadata"]["name"] == "collector"]
    assert "replicas" not in collector["spec"]
    (registration,) = [item for item in program("tempo").registrations if item.ignored]
    assert (registration.name, registration.ignored) == ("collector", ("spec.replicas",))
