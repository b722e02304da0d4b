"""Reads the registry: attributes, spans and metrics with their references resolved."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final, Literal

import yaml

PATH: Final = Path(__file__).with_name("registry.yaml")
SERVICES: Final = "services"
"""Program of a metric that each of the three services emits."""

Requirement = Literal["required", "conditionally_required", "opt_in"]
"""How often an attribute comes: always; under its condition; seldom, so that a short run may not show it."""
PersonalData = Literal["none", "pseudonymous", "redacted"]


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """A key, of spans or of metrics."""

    name: str
    type: str
    """A type of the semantic conventions; `enum` if only the members are values."""
    members: frozenset[str]
    """All values of an enum; empty for other types."""
    stability: str
    brief: str
    examples: tuple[str, ...]
    personal_data: PersonalData
    group: str
    """Id of the group that defines it."""

    @property
    def label(self) -> str:
        """Its name as a label of Prometheus."""
        return self.name.replace(".", "_")


@dataclass(frozen=True, kw_only=True)
class SpanType:
    """The spans of one service that have one name and kind."""

    id: str
    service: str
    name: str
    kind: str
    """In capitals, as the SDK has it."""
    brief: str
    attributes: Mapping[str, Requirement]
    events: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric as Prometheus stores it; of a histogram the base name."""

    name: str
    instrument: str
    unit: str
    stability: str
    brief: str
    program: str
    labels: tuple[str, ...]
    values: Mapping[str, frozenset[str]]
    """By label, for labels that have fewer values in this metric than their attribute has: all of them."""

    @property
    def series(self) -> tuple[str, ...]:
        """Names of its series."""
        if self.instrument == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (self.name,)


@dataclass(frozen=True, kw_only=True)
class Registry:
    """The whole contract."""

    attributes: Mapping[str, Attribute]
    spans: tuple[SpanType, ...]
    metrics: Mapping[str, Metric]

    def labels_of(self, series: str) -> frozenset[str] | None:
        """The labels that a series can have, those of its scrape included; None if the contract has no such series."""
        metric = self._metric_of.get(series)
        return frozenset((*metric.labels, *self.target_labels)) if metric else None

    def values_of(self, series: str, label: str) -> frozenset[str]:
        """All values that a label of a series can have; empty if it can have any value."""
        metric = self._metric_of.get(series)
        return (metric and metric.values.get(label)) or self.members.get(label, frozenset())

    @cached_property
    def _metric_of(self) -> Mapping[str, Metric]:
        return {series: metric for metric in self.metrics.values() for series in metric.series}

    @cached_property
    def members(self) -> Mapping[str, frozenset[str]]:
        """The values of each label whose values are known."""
        spans = {"span_name": frozenset(span.name for span in self.spans), "service_name": self._services}
        return spans | {item.label: item.members for item in self.attributes.values() if item.members}

    @cached_property
    def _services(self) -> frozenset[str]:
        return frozenset(span.service for span in self.spans)

    @cached_property
    def target_labels(self) -> tuple[str, ...]:
        """Labels that Prometheus adds to what it scrapes."""
        return tuple(item.label for item in self.attributes.values() if item.group == "registry.target")


@cache
def load_registry() -> Registry:
    """The registry.

    Raises:
        ValueError: an id occurs twice, or a reference leads nowhere.
    """
    groups: Sequence[Mapping[str, Any]] = yaml.load(PATH.read_text(), yaml.CSafeLoader)["groups"]
    by_id = {group["id"]: group for group in groups}
    if len(by_id) != len(groups):
        raise ValueError(f"{PATH.name}: two groups have the same id")
    attributes = _attributes(groups)
    return Registry(
        attributes=attributes,
        spans=tuple(_span(group, by_id) for group in groups if group["type"] == "span"),
        metrics={group["metric_name"]: _metric(group, attributes) for group in groups if group["type"] == "metric"},
    )


def _attributes(groups: Sequence[Mapping[str, Any]]) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {}
    for group in groups:
        for item in group.get("attributes", ()):
            if "id" not in item:
                continue
            if item["id"] in attributes:
                raise ValueError(f"{PATH.name}: attribute {item['id']} is defined twice")
            attributes[item["id"]] = Attribute(
                name=item["id"],
                type="enum" if isinstance(item["type"], Mapping) else item["type"],
                members=_members(item["type"]),
                stability=item["stability"],
                brief=item["brief"],
                examples=tuple(map(str, item.get("examples", ()))),
                personal_data=item.get("annotations", {}).get("personal_data", "none"),
                group=group["id"],
            )
    for group in groups:
        for item in group.get("attributes", ()):
            if "ref" in item and item["ref"] not in attributes:
                raise ValueError(f"{PATH.name}: {group['id']} refers to {item['ref']}, which no group defines")
    return attributes


def _members(type_: str | Mapping[str, Any]) -> frozenset[str]:
    return frozenset(item["value"] for item in type_["members"]) if isinstance(type_, Mapping) else frozenset()


def _span(group: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]) -> SpanType:
    annotations = group["annotations"]
    return SpanType(
        id=group["id"],
        service=annotations["service"],
        name=annotations["span_name"],
        kind=group["span_kind"].upper(),
        brief=group["brief"],
        attributes=dict(_references(group, by_id)),
        events=tuple(annotations.get("events", ())),
    )


def _references(group: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Requirement]]:
    if parent := group.get("extends"):
        yield from _references(by_id[parent], by_id)
    for item in group.get("attributes", ()):
        yield item["ref"], item["requirement_level"]


def _metric(group: Mapping[str, Any], attributes: Mapping[str, Attribute]) -> Metric:
    labels = [attributes[item["ref"]].label for item in group.get("attributes", ())]
    return Metric(
        name=group["metric_name"],
        instrument=group["instrument"],
        unit=group["unit"],
        stability=group["stability"],
        brief=group["brief"],
        program=group["annotations"]["program"],
        labels=tuple([*labels, "le"] if group["instrument"] == "histogram" else labels),
        values={label: frozenset(values) for label, values in group["annotations"].get("values", {}).items()},
    )
