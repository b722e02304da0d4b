"""Every setting is shown with the value that is in effect and the line that it comes from."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from stack.settings import ROOT, effective_config, files, load, parse
from stack.settings.origins import Value, lines, show, values
from tests.support.command_line import wct

FILE = """\
# Comment.
config:
  web-crawl-tracing:environment: dev
  web-crawl-tracing:cluster:
    context: local
    namespace: tracing
  web-crawl-tracing:images: {service: "service:1"}
  web-crawl-tracing:services:
    gateway: {replicas: 2, memory: 192Mi}
  web-crawl-tracing:logs: '{"enabled": true}'
  web-crawl-tracing:collector:
    sampling:
      ratio: 0.1
      policies:
        - errors
  web-crawl-tracing:postgresPassword:
    secure: v1:FQ2c5M7V0mL1x9dA:Ab3dEf6hIj9lMn==
"""
OVERLAY = """\
config:
  web-crawl-tracing:cluster:
    kubeconfig: /k
  web-crawl-tracing:images: {service: service:2}
"""


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a stack `here` and an overlay."""
    monkeypatch.setattr(files, "ROOT", tmp_path)
    (tmp_path / "Pulumi.here.yaml").write_text(FILE)
    (tmp_path / ".local").mkdir()
    (tmp_path / files.OVERLAY).write_text(OVERLAY)
    return tmp_path


def shown(folder: Path) -> dict[str, Value]:
    settings = values(load("here"), folder / "Pulumi.here.yaml", folder / files.OVERLAY)
    return {item.key: item for item in settings}


@pytest.mark.parametrize(
    ("key", "value", "origin"),
    [
        ("environment", "dev", "Pulumi.here.yaml:3"),
        ("cluster.namespace", "tracing", "Pulumi.here.yaml:6"),
        ("cluster.kubeconfig", "/k", ".local/overlay.yaml:3"),
        ("images.service", "service:2", ".local/overlay.yaml:4"),
        ("services.gateway.replicas", 2, "Pulumi.here.yaml:9"),
        ("services.gateway.cpu", "100m", "default"),
        ("services.crawler.replicas", 1, "default"),
        ("collector.sampling.ratio", 0.1, "Pulumi.here.yaml:13"),
        ("collector.sampling.policies", ["errors"], "Pulumi.here.yaml:14"),
        ("collector.autoscaling", None, "default"),
        ("logs.enabled", True, "Pulumi.here.yaml:10"),
        ("retention", "336h", "default"),
    ],
)
def test_a_value_is_shown_with_its_origin(stack: Path, key: str, value: object, origin: str) -> None:
    item = shown(stack)[key]
    assert (item.value, item.origin) == (value, origin)


def test_a_secret_is_listed_and_its_value_is_not_shown(stack: Path) -> None:
    secret = shown(stack)["postgresPassword"]
    assert (secret.value, secret.origin) == ("(secret)", "Pulumi.here.yaml:17")
    assert "hashKey" not in shown(stack)


@pytest.mark.parametrize("name", ["local", "dev", "staging", "prod"])
def test_every_setting_of_every_stack_is_shown_and_every_line_is_used(name: str) -> None:
    file = ROOT / f"Pulumi.{name}.yaml"
    settings = values(parse(effective_config(name), name), file, None)
    assert {item.key.partition(".")[0] for item in settings} == set(load(name).model_dump(by_alias=True))
    used = {item.origin for item in settings} - {"default"}
    assert used == {f"{file.name}:{line}" for line in lines(file).values()}


def test_piped_output_is_plain_and_aligned(stack: Path) -> None:
    written = io.StringIO()
    show(list(shown(stack).values()), Console(file=written, highlight=False))
    text = written.getvalue()
    assert "\x1b" not in text
    rows = [line.split() for line in text.splitlines()]
    assert ["environment", "dev", "Pulumi.here.yaml:3"] in rows
    assert ["tracing.samplingRules", '""', "default"] in rows
    assert len({line.index(row[1], len(row[0])) for line, row in zip(text.splitlines(), rows, strict=True)}) == 1


def test_json_has_the_same(stack: Path) -> None:
    answer = json.loads(wct("config", "here", "--json").stdout)
    assert answer["services.gateway.replicas"] == {"value": 2, "from": "Pulumi.here.yaml:9"}


def test_settings_that_cannot_be_used_are_an_error() -> None:
    result = wct("config", "nope")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: there is no stack 'nope'")


def test_a_text_of_several_lines_takes_one_line() -> None:
    output = io.StringIO()
    certificate = Value(key="kafka.external.ca", value="-----BEGIN\na\nb\n", kind="file", origin="Pulumi.here.yaml:3")
    show([certificate], Console(file=output, width=80))
    assert output.getvalue() == "kafka.external.ca  -----BEGIN … (3 lines)  Pulumi.here.yaml:3\n"
