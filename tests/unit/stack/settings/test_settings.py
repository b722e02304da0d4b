"""Settings are refused when wrong, with a message that names the key, the value and what is allowed."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.settings import PROJECT, ROOT, SettingsError, files, load, load_here, parse, reference
from stack.settings.schema import json_schema
from tests.support.command_line import wct
from tests.support.configuration import config, refusal

BUCKET = {"s3": {"bucket": "abc", "endpoint": "s3.example.com"}}


@pytest.mark.parametrize("stack", ["local", "dev", "staging", "prod"])
def test_every_stack_loads(stack: str) -> None:
    assert load(stack).environment == stack


def test_defaults_are_the_requirements() -> None:
    tracing = parse(config(), "test").tracing
    assert (tracing.max_queue_size, tracing.max_batch_size, tracing.delay_ms, tracing.timeout_ms) == (
        2048,
        512,
        5000,
        30000,
    )


def test_the_engines_json_is_read_like_yaml() -> None:
    sections = {"traces": {"backend": "jaeger"}}
    as_text = {
        key: json.dumps(value) if isinstance(value, dict) else value for key, value in config(**sections).items()
    }
    assert parse(as_text, "engine") == parse(config(**sections), "file")


@pytest.mark.parametrize(
    ("sections", "parts"),
    [
        ({"trases": {}}, ["trases: unknown key"]),
        ({"traces": {"retension": "1h"}}, ["traces.retension: unknown key"]),
        ({"traces": {"backend": "zipkin"}}, ["traces.backend: 'zipkin'", "'tempo' or 'jaeger'"]),
        (
            {"traces": {"distributed": {}}},
            ["traces: distributed needs objectStorage: the parts share their blocks through it"],
        ),
        (
            {"traces": {"backend": "jaeger", "objectStorage": BUCKET}},
            ["traces: objectStorage and distributed are Tempo's; backend is 'jaeger'"],
        ),
        (
            {"traces": {"objectStorage": {"s3": {"bucket": "No_Bucket", "endpoint": "https://s3.example.com"}}}},
            [
                "traces.objectStorage.s3.bucket: 'No_Bucket'",
                "traces.objectStorage.s3.endpoint: 'https://s3.example.com'",
            ],
        ),
        (
            {
                "traces": {
                    "objectStorage": BUCKET,
                    "distributed": {"replicas": 4},
                }
            },
            ["traces.distributed.replicas 4 is more than kafka.partitions 3"],
        ),
        ({"retention": "2w"}, ["retention: '2w'", "336h"]),
        ({"retention": "0h"}, ["retention: '0h'", "336h"]),
        ({"retention": "100000h"}, ["retention: '100000h' is not between 24h and"]),
        ({"traces": {"retention": "48h"}}, ["traces.retention: unknown key"]),
        ({"retention": "23h"}, ["retention: '23h' is not between 24h and"]),
        ({"tracing": {"samplingRate": 1.5}}, ["tracing.samplingRate: 1.5", "less than or equal to 1"]),
        ({"tracing": {"samplingRules": "/api=2"}}, ["tracing.samplingRules", "'/api=2'", "from 0 to 1"]),
        ({"tracing": {"attributesFilter": "a b"}}, ["tracing.attributesFilter: 'a b'"]),
        ({"tracing": {"samplingRate": "0,5"}}, ["tracing.samplingRate: '0,5'", "valid number"]),
        ({"tracing": {"samplingRate": "1.5"}}, ["tracing.samplingRate: '1.5'", "valid number, at least 0, at most 1"]),
        ({"tracing": {"samplingRate": True}}, ["tracing.samplingRate: True", "valid number"]),
        ({"tracing": {"maxQueueSize": 10, "maxBatchSize": 20}}, ["tracing", "maxBatchSize 20", "maxQueueSize 10"]),
        ({"tracing": {"maxRequestBytes": 16_777_217}}, ["tracing.maxRequestBytes: 16777217", "less than or equal to"]),
        ({"tracing": {"maxRequestBytes": 1000}}, ["tracing.maxRequestBytes: 1000", "greater than or equal to 65536"]),
        ({"collector": {"replicas": 0}}, ["collector.replicas: 0", "greater than or equal to 1"]),
        ({"collector": {"queueVolume": "64Mi"}}, ["collector", "queueSize 500000", "64Mi"]),
        ({"collector": {"autoscaling": {"maxReplicas": 2}, "replicas": 2}}, ["maxReplicas 2", "replicas 2"]),
        ({"collector": {"sampling": {}}}, ["collector.sampling.ratio: missing"]),
        ({"collector": {"sampling": {"ratio": 1.5}}}, ["collector.sampling.ratio: 1.5", "less than or equal to 1"]),
        ({"collector": {"sampling": {"ratio": -0.1}}}, ["collector.sampling.ratio: -0.1"]),
        ({"collector": {"sampling": {"ratio": 1.0}}}, ["collector.sampling", "stores everything"]),
        ({"collector": {"sampling": {"ratio": 0.1, "policies": ["odd"]}}}, ["policies.0: 'odd'", "'errors' or 'slow'"]),
        ({"collector": {"sampling": {"ratio": 0.1, "replicas": 4}}}, ["replicas 4", "kafka.partitions 3"]),
        ({"collector": {"sampling": {"ratio": 0.1, "queueVolume": "64Mi"}}}, ["collector.sampling", "64Mi"]),
        ({"alerting": {"page": {"sms": True}}}, ["alerting.page.sms: unknown key"]),
        ({"alerting": {"page": {"slack": "https://hooks.example.com/x"}}}, ["alerting.page.slack", "boolean"]),
        ({"alerting": {"ticket": {"slack": True}}}, ["alerting: ticket has receivers and page has none"]),
        ({"alerting": {"page": {"email": ["oncall"]}}}, ["alerting.page.email.0: 'oncall'"]),
        ({"alerting": {"page": {"email": ["a@example.com"]}}}, ["alerting: email to a@example.com needs smtp"]),
        (
            {"alerting": {"smtp": {"host": "mail:25", "sender": "a@example.com"}}},
            ["alerting: smtp.host 'mail:25' is not used"],
        ),
        (
            {"alerting": {"smtp": {"host": "mail", "sender": "a@example.com", "username": "me", "tls": "none"}}},
            ["alerting.smtp.host: 'mail'"],
        ),
        (
            {"alerting": {"smtp": {"host": "mail:25", "sender": "a@example.com", "username": "me", "tls": "none"}}},
            ["alerting.smtp: username 'me' would log in with its password in clear"],
        ),
        ({"alerting": {"heartbeatMinutes": 0}}, ["alerting.heartbeatMinutes: 0", "greater than or equal to 1"]),
        ({"alerting": {"pagerdutyRegion": "eu"}}, ["alerting: pagerdutyRegion 'eu' is not used"]),
        ({"alerting": {"url": "alerts.example.com"}}, ["alerting.url: 'alerts.example.com'"]),
        ({"images": {"service": "service:latest"}}, ["latest"]),
        ({"images": {"service": "service"}}, ["images.service: 'service'"]),
        ({"cluster": {"context": ""}}, ["cluster.context: ''"]),
        ({"cluster": {"context": "c", "namespace": "Not_A_Label"}}, ["cluster.namespace: 'Not_A_Label'"]),
        ({"cluster": {}}, ["cluster.context: missing"]),
    ],
)
def test_wrong_settings_are_refused(sections: dict[str, Any], parts: list[str]) -> None:
    message = refusal(**sections)
    assert message.startswith("Pulumi.test.yaml: ")
    for part in parts:
        assert part in message


def test_all_problems_are_named_at_once() -> None:
    message = refusal(traces={"backend": "x"}, collector={"replicas": 0})
    assert "traces.backend" in message
    assert "collector.replicas" in message


def test_an_unknown_stack_names_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"no stack 'nope'.*dev, .*local, .*prod, .*staging"):
        load("nope")


def test_the_overlay_is_merged_into_stacks_of_the_local_cluster_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROOT", tmp_path)
    for stack, context in (("here", "local"), ("there", "dev")):
        document = {"config": config(cluster={"context": context, "namespace": "kept"})}
        (tmp_path / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump(document))
    (tmp_path / ".local").mkdir()
    overlay = {"config": {f"{PROJECT}:cluster": {"kubeconfig": "/k"}, f"{PROJECT}:traces": {"backend": "jaeger"}}}
    (tmp_path / files.OVERLAY).write_text(yaml.safe_dump(overlay))
    here, there = load("here"), load("there")
    assert (here.cluster.kubeconfig, here.cluster.namespace, here.traces.backend) == ("/k", "kept", "jaeger")
    assert (there.cluster.kubeconfig, there.traces.backend) == (None, "tempo")


def test_the_committed_schema_is_the_current_one() -> None:
    committed = json.loads((ROOT / "stack" / "settings.schema.json").read_text())
    assert committed == json_schema(), "run `make schema`"


def test_the_committed_page_is_the_current_one_and_has_every_setting() -> None:
    committed = (ROOT / reference.PAGE).read_text()
    assert committed == reference.page(), "run `make schema`"
    assert "**`services.gateway.memory`** (text, default `192Mi`)" in committed, "the section's default, not the type's"
    for name, definition in json_schema()["$defs"].items():
        for key in definition.get("properties", {}):
            assert f".{key}`**" in committed, f"{name}.{key}"


@pytest.mark.parametrize(
    ("written", "kept"), [("10240Mi", "10Gi"), ("1Gi", "1Gi"), ("1536Mi", "1536Mi"), ("1073741824", "1Gi")]
)
def test_a_quantity_has_the_form_that_the_api_server_gives_it(written: str, kept: str) -> None:
    """Pulumi compares texts: it would replace a StatefulSet whose claims say `10240Mi` where the cluster has `10Gi`."""
    parsed = parse(config(postgres={"volume": written, "cpu": "2000m"}), "file")
    assert (parsed.postgres.volume, parsed.postgres.cpu) == (kept, "2")
    assert parse(config(postgres={"cpu": "1500m"}), "file").postgres.cpu == "1500m"


@pytest.mark.parametrize(
    ("sections", "parts"),
    [
        (
            {"tracing": {"maxRequestBytes": "64Mi"}},
            ["tracing.maxRequestBytes: '64Mi'", "bytes, without a unit, at least 65536, at most 8388608"],
        ),
        ({"tracing": {"bufferBytes": "16Mi"}}, ["of bytes, without a unit, at least 65536, at most 1073741824"]),
        ({"collector": {"replicas": "two"}}, ["collector.replicas: (value not shown)", "valid integer, at least 1"]),
        ({"collector": {"replicas": "2.0"}}, ["collector.replicas: '2.0'", "valid integer, at least 1, at most 50"]),
        ({"collector": {"replicas": "99"}}, ["collector.replicas: '99'", "valid integer, at least 1, at most 50"]),
        ({"collector": {"queueVolume": 2}}, ["collector.queueVolume: 2", "with a unit, such as 2Gi"]),
        ({"collector": {"queueVolume": "2"}}, ["collector.queueVolume: '2'", "with a unit, such as 2Gi"]),
        ({"collector": {"sampling": {"ratio": 0.1, "memory": 1}}}, ["sampling.memory: 1", "such as 1Gi"]),
        ({"retention": 48}, ["retention: 48", "with a unit, such as 48h"]),
        ({"services": {"gateway": {"cpu": 0}}}, ["services.gateway.cpu: 0", "valid string, such as 100m"]),
        ({"trases": {}}, ["trases: unknown key; did you mean traces?"]),
        ({"collector": {"queueVolum": "2Gi"}}, ["did you mean collector.queueVolume?"]),
        ({"collector": {"sampling": {"ratio": 0.1, "slow_ms": 5}}}, ["did you mean collector.sampling.slowMs?"]),
        ({"rollout": {"gate": {"confidance": 0.9}}}, ["did you mean rollout.gate.confidence?"]),
        ({"collector.replicas": 2}, ["write `web-crawl-tracing:collector: {replicas: 2}`"]),
    ],
)
def test_a_refusal_says_what_was_meant(sections: dict[str, Any], parts: list[str]) -> None:
    message = refusal(**sections)
    for part in parts:
        assert part in message


def test_the_form_in_which_pulumi_stores_a_number_is_accepted() -> None:
    """`pulumi config set --path` stores `0.97` as a text, and `2` as a number, for any setting."""
    stored = {
        "tracing": {"samplingRate": "0.97", "maxQueueSize": "4096"},
        "kafka": {"cpu": 2},
        "postgres": {"volume": 1073741824},
        "collector": {"sampling": {"ratio": "0.5", "cpu": 1}},
    }
    settings = parse(config(**stored), "file")
    assert (settings.tracing.sampling_rate, settings.tracing.max_queue_size) == (0.97, 4096)
    assert (settings.kafka.cpu, settings.postgres.volume) == ("2", "1Gi")
    assert settings.collector.sampling
    assert (settings.collector.sampling.ratio, settings.collector.sampling.cpu) == (0.5, "1")


def test_an_unknown_key_like_no_other_suggests_nothing() -> None:
    assert "did you mean" not in refusal(xyzzy={})


def unprefixed(key: str, value: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        parse({**config(), key: value}, "Pulumi.test.yaml")
    return str(caught.value)


def test_a_key_without_the_projects_prefix_is_refused_with_the_form_that_it_should_have() -> None:
    assert "grafana.enabled: has no effect" in unprefixed("grafana.enabled", False)
    assert "write `web-crawl-tracing:grafana: {enabled: false}`" in unprefixed("grafana.enabled", False)
    assert '`web-crawl-tracing:retention: "48h"`' in unprefixed("retention", "48h")
    assert "`web-crawl-tracing:grafana: {…}`" in unprefixed("grafana", {"enabled": False})
    assert '`web-crawl-tracing:retention: "48h"`' in unprefixed("web-crawl-tracnig:retention", "48h")
    assert "sampling: {ratio: 0.1}" in unprefixed("collector.sampling.ratio", 0.1)


def test_the_value_of_a_secret_without_prefix_is_not_shown() -> None:
    assert "hunter2" not in unprefixed("postgresPassword", "hunter2")
    assert "hunter2" not in unprefixed("postgres.password", "hunter2")
    assert "hunter2" not in unprefixed("postgres", {"password": "hunter2"})


def test_keys_of_other_providers_are_left_to_them() -> None:
    parse({**config(), "kubernetes:context": "x", "pulumi:disable-default-providers": ["*"], "aws:region": "x"}, "file")


def stack_at(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(files, "ROOT", folder)
    (folder / "Pulumi.here.yaml").write_text(text)


def test_a_section_outside_of_config_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack_at(tmp_path, monkeypatch, yaml.safe_dump({"config": config(), f"{PROJECT}:grafana": {"enabled": False}}))
    with pytest.raises(SettingsError, match="web-crawl-tracing:grafana: has no effect outside of `config:`"):
        load("here")


def test_a_section_that_stands_twice_is_shown_where_it_stands_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = "config:\n  p:traces: {backend: tempo}\n  p:logs: {}\n  p:traces: {backend: jaeger}\n"
    stack_at(tmp_path, monkeypatch, again)
    with pytest.raises(SettingsError, match=r"p:traces: more than once\n  in .*, line 4, column 3"):
        load("here")


def test_a_command_on_the_local_stack_needs_what_make_up_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack_at(tmp_path, monkeypatch, yaml.safe_dump({"config": config(cluster={"context": "local"})}))
    assert load("here").cluster.context == "local"
    with pytest.raises(SettingsError, match="run `make up` in this clone first"):
        load_here("here")
    (tmp_path / ".local").mkdir()
    (tmp_path / files.OVERLAY).write_text(yaml.safe_dump({"config": {f"{PROJECT}:cluster": {"kubeconfig": "/k"}}}))
    assert load_here("here").cluster.kubeconfig == "/k"
    stack_at(tmp_path, monkeypatch, yaml.safe_dump({"config": config()}))
    (tmp_path / files.OVERLAY).unlink()
    assert load_here("here").cluster.context == "c"


@pytest.mark.parametrize(
    "command", ["drift", "spans", "deploy", "rollout", "destroy", "smoke", "dashboards-check", "check coverage"]
)
def test_every_command_refuses_before_it_looks_at_the_cluster(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack_at(tmp_path, monkeypatch, "")
    (tmp_path / "Pulumi.local.yaml").write_text((ROOT / "Pulumi.local.yaml").read_text())
    result = wct(*command.split(), "local")
    assert result.exit_code in (1, 2)
    assert "run `make up` in this clone first" in result.stderr


def test_the_settings_of_the_local_stack_are_printed_before_make_up_has_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack_at(tmp_path, monkeypatch, "")
    (tmp_path / "Pulumi.local.yaml").write_text((ROOT / "Pulumi.local.yaml").read_text())
    result = wct("config", "local")
    assert result.exit_code == 0, result.stderr
    assert "cluster.context" in result.stdout
    assert "note: `make up` has not run in this clone" in result.stderr


@pytest.mark.parametrize(
    "content",
    [
        b"1: a\nconfig: {}\n",
        b"config: {1: a}\n",
        b"config:\n  web-crawl-tracing:environment: \xe4\n",
        b"config: &a\n  web-crawl-tracing:kafka: *a\n",
        b"config:\n  web-crawl-tracing:kafka: {partitions: " + b"9" * 5000 + b"}\n",
    ],
    ids=["number as key", "number as key of a setting", "not UTF-8", "alias of itself", "long number"],
)
def test_a_file_that_is_no_stack_file_is_an_error(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROOT", tmp_path)
    (tmp_path / "Pulumi.here.yaml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"Pulumi\.here\.yaml: not a stack file"):
        load("here")


def test_a_text_in_the_place_of_a_section_is_named() -> None:
    assert "kafka: (value not shown): input should be a mapping" in refusal(kafka="external")


def test_a_name_needs_no_unit() -> None:
    assert refusal(environment=12).endswith("environment: 12: input should be a valid string")
