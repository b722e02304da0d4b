"""The reference page of the telemetry contract, made from the registry."""

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from checks.contract.queries import Contract, ShippedQuery
from contracts.telemetry import Attribute, Metric, Registry

PAGE: Final = Path("docs/telemetry.md")
_HEAD: Final = """# Telemetry: spans, attributes, metrics

Made from `contracts/telemetry/registry.yaml` by `make telemetry`; do not edit this page. A test compares it with the
registry, and other tests compare the registry with the code, with a real run, and with every query of the dashboards,
alerts, rollout gates and runbooks.
"""
_PERSONAL: Final = {"none": "", "pseudonymous": " Holds a keyed hash.", "redacted": " Goes through the redactors."}
_WIDTH: Final = 118
_SHOWN_USERS: Final = 4


def users(contract: Contract, queries: Iterable[ShippedQuery]) -> dict[str, list[str]]:
    """Series → the dashboards, alerts and runbooks whose queries read it, sorted."""
    places: dict[str, set[str]] = defaultdict(set)
    for query in queries:
        if query.language == "promql":
            for series in contract.read(query.text).series:
                places[series].add(query.place.partition(",")[0])
    return {series: sorted(names) for series, names in places.items()}


def page(registry: Registry, used_by: Mapping[str, Sequence[str]]) -> str:
    """The page as Markdown; `used_by` is the result of `users`."""
    return "\n".join([_HEAD, *_spans(registry), *_attributes(registry), *_metrics(registry, used_by)]) + "\n"


def _item(text: str) -> str:
    """An item of a list, wrapped."""
    return textwrap.fill(text, _WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)


def _spans(registry: Registry) -> Iterator[str]:
    yield "## Spans\n\nAn attribute in brackets comes under a condition."
    for service, spans in groupby(registry.spans, key=lambda span: span.service):
        yield f"\n### {service}\n"
        for span in spans:
            keys = [f"`{key}`" if level == "required" else f"[`{key}`]" for key, level in span.attributes.items()]
            events = f" Events: {', '.join(f'`{event}`' for event in span.events)}." if span.events else ""
            yield _item(f"**`{span.name}`** ({span.kind}): {span.brief} Attributes: {', '.join(keys)}.{events}")


def _values(item: Attribute) -> str:
    name, values = ("Values", sorted(item.members)) if item.members else ("Examples", item.examples)
    return f"{name}: {', '.join(f'`{value}`' for value in values)}"


def _attributes(registry: Registry) -> Iterator[str]:
    yield "\n## Attributes and labels\n"
    for item in registry.attributes.values():
        kind = f"{item.type}, {item.stability}"
        yield _item(f"**`{item.name}`** ({kind}): {item.brief} {_values(item)}.{_PERSONAL[item.personal_data]}")


def _metrics(registry: Registry, used_by: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield "\n## Metrics"
    for program in dict.fromkeys(metric.program for metric in registry.metrics.values()):
        yield f"\n### {program}\n"
        for metric in registry.metrics.values():
            if metric.program == program:
                labels = ", ".join(f"`{label}`" for label in metric.labels if label != "le")
                with_labels = f" Labels: {labels}." if labels else ""
                kind = f"{metric.instrument}, `{metric.unit}`"
                yield _item(f"**`{metric.name}`** ({kind}): {metric.brief}{with_labels}{_users(metric, used_by)}")


def _users(metric: Metric, used_by: Mapping[str, Sequence[str]]) -> str:
    names = sorted({name for series in metric.series for name in used_by.get(series, ())})
    others = f" and {len(names) - _SHOWN_USERS} more" if len(names) > _SHOWN_USERS else ""
    return f" Used by {', '.join(names[:_SHOWN_USERS])}{others}." if names else ""
