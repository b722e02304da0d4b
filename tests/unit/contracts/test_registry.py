"""The registry is complete, and the code's constants are its names."""

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from contracts import metrics as metric_names
from contracts import service_metrics as service_metric_names
from contracts import services, span_attributes
from contracts.hops import HOPS, Hop
from contracts.metrics import STORE_WRITTEN_BLOCKS
from contracts.telemetry import load_registry, registry
from dashboards.rules import groups
from lean_tracing import OwnAttributes
from lean_tracing import attributes as attribute_keys
from stack.settings import load
from stack.settings.monitoring import monitoring_config

REGISTRY = load_registry()
RECORDED = {
    rule.name.removesuffix("_bucket") for group in groups(monitoring_config(load("prod"))) for rule in group.rules
}
"""Names of the recorded series; of a histogram the base name."""


def constants(module: object) -> dict[str, str]:
    return {name: value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}


_OWN_KEYS = asdict(OwnAttributes.below(span_attributes.PREFIX))
_KEYS = {**constants(attribute_keys), **constants(span_attributes), **_OWN_KEYS}
_KEYS.pop("PREFIX")


@pytest.mark.parametrize(("name", "key"), _KEYS.items())
def test_every_attribute_key_of_the_code_is_declared(name: str, key: str) -> None:
    assert key in REGISTRY.attributes, name


def is_a_value(name: str) -> bool:
    """Whether a constant is the value of a label, not a name."""
    return name.endswith("_JOB") or name.startswith("OUTCOME_")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        item
        for module in (metric_names, service_metric_names)
        for item in constants(module).items()
        if not is_a_value(item[0])
    ],
)
def test_every_metric_and_label_of_the_code_is_declared(name: str, text: str) -> None:
    series = {series for item in REGISTRY.metrics.values() for series in (item.name, *item.series)}
    labels = {attribute.label for attribute in REGISTRY.attributes.values()}
    assert text in series | labels | RECORDED, name


def test_every_span_is_of_a_service_and_has_a_name_of_its_own() -> None:
    assert {span.service for span in REGISTRY.spans} == set(services.SERVICES)
    identities = [(span.service, span.kind, span.name) for span in REGISTRY.spans]
    assert len(set(identities)) == len(identities)
    assert all(span.attributes for span in REGISTRY.spans)


@pytest.mark.parametrize("hop", HOPS, ids=str)
def test_every_hop_of_the_edge_table_is_a_declared_span(hop: Hop) -> None:
    assert (hop.service, hop.kind, hop.name) in {(span.service, span.kind, span.name) for span in REGISTRY.spans}


NAMED_OTHERWISE = {STORE_WRITTEN_BLOCKS}
"""Counters of other projects."""


def test_every_metric_has_a_unit_and_a_name_by_the_rules_of_prometheus() -> None:
    for metric in REGISTRY.metrics.values():
        assert metric.unit, metric.name
        if metric.name not in NAMED_OTHERWISE:
            assert (metric.instrument == "counter") == metric.name.endswith("_total"), metric.name
        assert metric.brief.endswith("."), metric.name


def test_free_text_goes_through_the_redactors() -> None:
    redacted = {name for name, item in REGISTRY.attributes.items() if item.personal_data == "redacted"}
    assert {"url.full", "url.path", "user_agent.original", "db.query.text", "exception.message"} <= redacted
    assert REGISTRY.attributes["task.user_hash"].personal_data == "pseudonymous"


def test_a_reference_that_leads_nowhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = yaml.safe_load(registry.PATH.read_text())
    document["groups"].append({"id": "x", "type": "attribute_group", "attributes": [{"ref": "no.such.key"}]})
    changed = tmp_path / "registry.yaml"
    changed.write_text(yaml.safe_dump(document))
    monkeypatch.setattr(registry, "PATH", changed)
    with pytest.raises(ValueError, match=r"x refers to no\.such\.key, which no group defines"):
        registry.load_registry.__wrapped__()
