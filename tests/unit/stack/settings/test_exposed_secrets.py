"""A secret in clear is refused on load, at any place and in any spelling; no message contains its value."""

import json
from pathlib import Path
from typing import Any

import pytest

from contracts import secret_keys
from stack.settings import PROJECT, Settings, SettingsError, exposed_secrets, files, load, parse
from stack.settings.engine import from_engine
from tests.support.command_line import wct
from tests.support.configuration import passed_by_the_engine

VALUE = "hunter2"
MINIMAL: dict[str, Any] = {
    f"{PROJECT}:environment": "test",
    f"{PROJECT}:cluster": {"context": "c", "pullSecrets": ["registry"]},
    f"{PROJECT}:images": {"service": "service:1"},
}
CIPHERTEXT = {"secure": "v1:FQ2c5M7V0mL1x9dA:Ab3dEf6hIj9lMn=="}


def refusal(extra: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as refused:
        parse(MINIMAL | extra, "Pulumi.test.yaml")
    return str(refused.value)


@pytest.mark.parametrize("key", [*secret_keys.GENERATED, *secret_keys.OPTIONAL])
def test_every_secret_of_the_stack_is_refused_in_clear_and_taken_encrypted(key: str) -> None:
    message = refusal({f"{PROJECT}:{key}": VALUE})
    assert f"{key}: a secret in clear" in message
    assert f"pulumi config set --secret {key} -s STACK" in message
    assert f"{secret_keys.variable(key)}=… make deploy" in message
    assert VALUE not in message
    assert isinstance(parse(MINIMAL | {f"{PROJECT}:{key}": CIPHERTEXT}, "file"), Settings)


@pytest.mark.parametrize(
    ("extra", "part"),
    [
        ({"postgresPassword": VALUE}, "--secret postgresPassword"),
        ({f"{PROJECT}:postgres_password": VALUE}, "--secret postgresPassword"),
        ({f"{PROJECT}:POSTGRES-PASSWORD": VALUE}, "--secret postgresPassword"),
        ({f"{PROJECT}:PostgresPasswords": VALUE}, "a secret in clear"),
        ({f"{PROJECT}:postgresPassword": 12345678}, "--secret postgresPassword"),
        ({f"{PROJECT}:postgresPassword": {"value": VALUE}}, "a secret in clear"),
        ({f"{PROJECT}:postgresPassword": [VALUE]}, "a secret in clear"),
        ({f"{PROJECT}:postgresPassword": {"secure": VALUE}}, "a secret in clear"),
        ({f"{PROJECT}:postgresPassword": {"secure": 12345678}}, "a secret in clear"),
        ({f"{PROJECT}:postgresPassword": {"secure": [VALUE]}}, "a secret in clear"),
        ({f"{PROJECT}:postgresPassword": {"secure": f"v1:{VALUE}"}}, "a secret in clear"),
        ({f"{PROJECT}:postgresPassword": {"secure": "averylongpassword"}}, "a secret in clear"),
        ({f"{PROJECT}:postgresPassword": {"secure": "correct-horse-battery"}}, "a secret in clear"),
        ({f"{PROJECT}:postgresPassword": {"secure": "averylongpassword" * 4}}, "a secret in clear"),
        ({f"{PROJECT}:postgresPassword": {"secure": {"x": {"y": VALUE}}}}, "a secret in clear"),
        ({f"{PROJECT}:postgresPassword": {"secure": True}}, "a secret in clear"),
        ({"x:a": {"secure": VALUE * 3}}, "x:a: a secret"),
        ({"k:kubeconfig": "users:\n- name: a\n  user:\n    token: abc\n"}, "k:kubeconfig.users.0.user.token"),
        ({"k:kubeconfig": "users:\n- user: {password: abc}\n"}, "k:kubeconfig.users.0.user.password"),
        ({"k:kubeconfig": "users:\n- user:\n    client-key-data: >-\n      LS0t\n"}, "user.client-key-data"),
        ({"k:kubeconfig": {"users": [{"user": {"client-key-data": "LS0t"}}]}}, "user.client-key-data"),
        ({"helm:values": "auth:\n  adminPassword: abc\n"}, "helm:values.auth.adminPassword"),
        ({"db:password": "12345678"}, "db:password: a secret"),
        ({"db:dbPasswordOld": VALUE}, "db:dbPasswordOld: a secret"),
        ({"tls:clientKey": VALUE}, "tls:clientKey: a secret"),
        ({"x:a": f"postgres://u:p${VALUE}@h/db"}, "x:a: a secret"),
        ({"x:a": f"u:{VALUE}@127.0.0.1:5432/x"}, "x:a: a secret"),
        ({"x:a": f"u:{VALUE}@db.example.com"}, "x:a: a secret"),
        ({f"{PROJECT}:postgresPassword": f'{{"a": "{VALUE}"}}'}, "a secret in clear"),
        ({"kubernetes:kubeconfig": "client-key-data: LS0tLS1CRUdJTiBQUklWQVRF"}, "kubernetes:kubeconfig: a secret"),
        ({"slack:url": "https://hooks.slack.com/services/T0/B0/x"}, "slack:url: a secret"),
        ({"github:x": "ghp_0123456789abcdefghij0123"}, "github:x: a secret"),
        ({"azure:x": "Endpoint=sb://x;SharedAccessKey=abcdefgh"}, "azure:x: a secret"),
        ({f"{PROJECT}:postgres": {"password": VALUE}}, "--secret postgresPassword"),
        ({f"{PROJECT}:alerting": {"smtp": {"host": "h:1", "sender": "a@b.c", "password": VALUE}}}, "alertSmtpPassword"),
        ({f"{PROJECT}:alerting": json.dumps({"smtp": {"password": VALUE}})}, "--secret alertSmtpPassword"),
        ({f"{PROJECT}:alerting": {"page": {"slackUrl": f"https://{VALUE}"}}}, "--secret alertPageSlackUrl"),
        ({f"{PROJECT}:traces": {"objectStorage": {"secretKey": VALUE}}}, "--secret objectStorageSecretKey"),
        ({f"{PROJECT}:traces": {"objectStorage": {"identity": {"x/secret-key": VALUE}}}}, "a secret in clear"),
        ({f"{PROJECT}:grafana": {"url": f"https://admin:{VALUE}@grafana.example.com"}}, "grafana.url: a secret"),
        ({f"{PROJECT}:images": {"service": f"me:{VALUE}@registry.example.com/service:1"}}, "images.service: a secret"),
        ({f"{PROJECT}:env": {"DATABASE_URL": f"postgres://user:{VALUE}@db/tasks"}}, "env.DATABASE_URL: a secret"),
        ({f"{PROJECT}:env": [{"name": "X", "value": f"password={VALUE}"}]}, "a secret in clear"),
        ({f"{PROJECT}:headers": {"authorization": f"Bearer {VALUE}"}}, "headers.authorization: a secret"),
        ({"kubernetes:token": VALUE}, "pulumi config set --secret kubernetes:token"),
        ({"kubernetes:kubeconfig": f"users: [{{user: {{token: {VALUE}}}}}]"}, "kubernetes:kubeconfig: a secret"),
        ({"aws:secretKey": VALUE}, "aws:secretKey: a secret"),
    ],
)
def test_other_spellings_and_places_are_recognised(extra: dict[str, Any], part: str) -> None:
    message = refusal(extra)
    assert part in message
    assert "in clear" in message
    assert VALUE not in message
    assert "12345678" not in message


@pytest.mark.parametrize(
    "extra",
    [
        {"alerting": {"page": {"slack": "https://hooks.slack.com/services/T0/B0/x"}}},
        {"alerting": {"page": {"pagerduty": VALUE}}},
        {"alerting": {"page": "0123456789abcdef0123456789abcdef"}},
        {"traces": {"objectStorage": {"s3": {"bucket": "abc", "endpoint": "AKIAIOSFODNN7EXAMPLE/" + VALUE}}}},
    ],
)
def test_a_value_in_the_wrong_place_that_may_be_a_secret_is_not_repeated(extra: dict[str, Any]) -> None:
    message = refusal({f"{PROJECT}:{key}": value for key, value in extra.items()})
    for value in (VALUE, "services/T0", "0123456789", "AKIA"):
        assert value not in message


@pytest.mark.parametrize(
    "text",
    [
        "github_pat_11ABCDEFG0abcdefghijklmnop",
        "glpat-abcdefghij0123456789",
        "xoxb-123456789012-abc",
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcDEF123",
        "https://hooks.slack.com/services/T0/B0/x",
        "https://hooks.slack.com/triggers/T0/B0/x",
        "https://discord.com/api/webhooks/123/abc",
        "https://canary.discord.com/api/v10/webhooks/123/abc",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=YWJj",
        "Endpoint=sb://x/;SharedAccessKeyName=R;SharedAccessKey=YWJj",
        "Server=x;Uid=sa;Pwd=abc;",
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----",
        "https://example.com/x?auth=abc",
        "https://example.com/x?a=1&token=abc",
        "https://example.com/x?api_key=abc",
        "https://example.com/x?sig=abc",
        "https://example.com/x#access_token=abc",
    ],
)
def test_what_a_service_gives_out_is_found_under_any_name(text: str) -> None:
    assert "x:a: a secret in clear" in refusal({"x:a": text})
    assert "x:a.0.b: a secret in clear" in refusal({"x:a": [{"b": text}]})


@pytest.mark.parametrize(
    "extra",
    [
        {"x:a": f"docker://b:1.0@sha256:{'0a' * 32}"},
        {"x:a": f"nginx:1.27@sha512:{'0a' * 64}"},
        {"x:a": "Operations <mailto:ops2@example.com>"},
        {"x:a": "serviceAccount:sa-1@project.iam.gserviceaccount.com"},
        {"x:a": "user:ops1@example.com"},
        {"x:a": "SIP:bob@example.com:5060"},
        {"x:a": "npm:@scope/pad@1.3.0"},
        {"x:a": "12:30@Europe/Berlin"},
        {"x:a": "git@github.com:org/repo.git"},
        {"x:a": "https://example.com:8080/x@y.com"},
        {"x:a": "https://example.com/x?page=2&sort=key#top"},
        {"x:a": "postgres://tasks:$(PGPASSWORD)@postgres/tasks"},
        {"x:maxTokens": "4096"},
        {"x:keys": "3"},
        {"x:usePassword": "true"},
        {"x:rotateSecrets": "false"},
        {"x:passwordLength": "16"},
        {"x:passwordPolicy": "strict"},
        {"x:secretArn": "arn:aws:x"},
        {"x:secretRef": {"name": "x", "key": "y"}},
        {"x:tokenFile": "/var/run/token"},
        {"x:auth": {"type": "oidc"}},
        {"x:policy": {"Statement": [{"Sid": "AllowRead"}]}},
        {"x:sessionAffinity": "ClientIP"},
        {"x:imagePullSecrets": [{"name": "registry"}]},
        {"x:server": {"secure": True}},
        {"x:labelKey": "a", "x:primaryKey": "id", "x:partitionKey": "id", "x:sortKey": "id", "x:topologyKey": "zone"},
        {f"{PROJECT}:cluster": {"context": "admin:ops@prod"}},
    ],
)
def test_what_has_the_form_or_the_name_of_something_else_is_accepted(extra: dict[str, Any]) -> None:
    assert isinstance(parse(MINIMAL | extra, "file"), Settings)


@pytest.mark.parametrize("image", ["ghcr.io/a/b:1.0@sha256:{}", "registry.example.com:5000/a/b:1@sha256:{}"])
def test_an_image_with_its_digest_holds_no_credentials(image: str) -> None:
    assert not list(
        exposed_secrets.problems({f"{PROJECT}:images": {"service": image.format("0a" * 32)}}, PROJECT, ["service"], [])
    )


@pytest.mark.parametrize("key", ["postgres", "grafana", "kafka", "cluster", "services", "environment.x"])
def test_a_text_in_the_place_of_a_section_is_not_repeated(key: str) -> None:
    assert VALUE not in refusal({f"{PROJECT}:{key}": VALUE})


@pytest.mark.parametrize("value", [VALUE, [VALUE], {"a": VALUE}], ids=str)
@pytest.mark.parametrize(
    "key",
    [
        *("environment", "retention", "postgres", "grafana", "kafka", "cluster", "alerting.page", "alerting.smtp"),
        *("tracing.samplingRate", "tracing.enabled", "tracing.maxQueueSize", "tracing.samplingRules", "traces.backend"),
        *("traces.memory", "traces.cpu", "traces.objectStorage", "alerting.url", "grafana.url", "postgres.volume"),
        *("rollout.stages", "rollout.gate", "objectives.taskSeconds", "collector.sampling", "load", "kafka.brokers"),
    ],
)
def test_a_value_that_cannot_be_a_mistyped_one_is_not_repeated(key: str, value: Any) -> None:
    section, _, field = key.partition(".")
    if key == "environment" and isinstance(value, str):
        value = value.upper()
    message = refusal({f"{PROJECT}:{section}": {field: value} if field else value})
    assert VALUE not in message.lower()
    assert key in message


@pytest.mark.parametrize("field", ["host", "sender"])
def test_a_secret_in_the_place_of_a_mail_servers_setting_is_not_repeated(field: str) -> None:
    smtp = {"host": "smtp.example.com:587", "sender": "a@example.com", field: VALUE}
    message = refusal({f"{PROJECT}:alerting": {"smtp": smtp}})
    assert f"smtp.{field}: (value not shown)" in message
    assert VALUE not in message


def test_a_number_in_the_place_of_a_section_is_not_repeated() -> None:
    assert "12345678" not in refusal({f"{PROJECT}:postgres": 12345678})


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("postgres", "volume", "5G"),
        ("tracing", "samplingRate", "0,5"),
        ("tracing", "enabled", "yes"),
        ("traces", "backend", "tempoo"),
        ("kafka", "cpu", "0.5"),
        ("grafana", "url", "grafana.example.com"),
    ],
)
def test_a_mistyped_value_is_repeated(section: str, field: str, value: str) -> None:
    assert f"{section}.{field}: {value!r}" in refusal({f"{PROJECT}:{section}": {field: value}})


def test_what_only_sounds_like_a_secret_is_accepted() -> None:
    parsed = parse(
        MINIMAL
        | {
            f"{PROJECT}:tracing": {"attributesFilter": "db.password, token*", "samplingRules": "topic:keys=1"},
            f"{PROJECT}:grafana": {"url": "https://grafana.example.com/a"},
            "aws:region": "eu-central-1",
            "pulumi:tags": {"owner": "us"},
            "other:password": CIPHERTEXT,
            "x:image": f"ghcr.io/a/b:1.0@sha256:{'0a' * 32}",
            "x:contact": "mailto:ops@example.com",
            "x:package": "npm:left-pad@1.3.0",
            "x:time": "12:30@UTC+1",
            "aws:defaultTags": {"tags": {"key": "team", "topologyKey": "zone"}},
            "x:tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "x:kmsKey": "arn:aws:kms:eu-central-1:1:key/2",
            "x:publicKey": "ssh-ed25519 AAAA",
            "x:maxTokens": 4096,
            "x:rotateSecrets": True,
            "x:usePassword": True,
        },
        "file",
    )
    assert parsed.cluster.pull_secrets == ("registry",)


def test_the_engine_must_have_decrypted_its_secrets() -> None:
    secrets = {f"{PROJECT}:{key}": VALUE for key in secret_keys.GENERATED}
    with passed_by_the_engine(MINIMAL | secrets, secrets):
        assert from_engine().environment == "test"
    key = f"{PROJECT}:postgresPassword"
    with (
        passed_by_the_engine(MINIMAL | secrets, secrets.keys() - {key}),
        pytest.raises(SettingsError, match="postgresPassword: a secret in clear"),
    ):
        from_engine()


def write(folder: Path, text: str) -> None:
    (folder / "Pulumi.yaml").write_text("name: web-crawl-tracing\nruntime: python\n")
    (folder / "Pulumi.test.yaml").write_text(text)


HEAD = """config:
  web-crawl-tracing:environment: test
  web-crawl-tracing:cluster: {context: c}
  web-crawl-tracing:images: {service: "service:1"}
"""


def test_a_stack_file_with_one_is_refused_by_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ROOT", tmp_path)
    write(tmp_path, HEAD + f"  web-crawl-tracing:postgresPassword: {VALUE}\n")
    with pytest.raises(SettingsError, match=r"Pulumi\.test\.yaml.*\n.*postgresPassword: a secret in clear"):
        load("test")
    result = wct("config", "test")
    assert result.exit_code == 1
    assert "a secret in clear" in result.stderr
    assert VALUE not in result.output


def test_the_projects_file_and_duplicate_keys_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ROOT", tmp_path)
    write(tmp_path, HEAD)
    (tmp_path / "Pulumi.yaml").write_text(f"name: x\nconfig:\n  postgresPassword: {{value: {VALUE}}}\n")
    with pytest.raises(SettingsError, match=r"Pulumi\.yaml.*\n.*postgresPassword: a secret in clear"):
        load("test")
    key = "  web-crawl-tracing:postgresPassword:"
    write(tmp_path, HEAD + f"{key} {VALUE}\n{key}\n    secure: {CIPHERTEXT['secure']}\n")
    with pytest.raises(SettingsError, match="postgresPassword: more than once") as refused:
        load("test")
    assert VALUE not in str(refused.value)
