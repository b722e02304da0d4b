"""Table panels: a row for each set of labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import table as sdk
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue

from dashboards.panels.shared import (
    ALL_FIELDS,
    PROMETHEUS,
    Panel,
    Thresholds,
    description,
    empty_cells,
    no_value,
    per_second,
    ref_id,
    table_query,
)
from dashboards.panels.transformations import value_field

# A narrower table has no room for equal columns: the names need more of it than the numbers.
_NARROW: Final = 16
_PIXELS: Final = {"percentunit": 75, per_second(""): 75, "ms": 80, "dateTimeFromNow": 140}
"""Width of a column of numbers, by unit."""
_OTHER_PIXELS: Final = 100
_WORD_PIXELS: Final = 90
_LEAST_PIXELS: Final = 75
_COLORED: Final = DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"})
_WRAPPED: Final = DynamicConfigValue(id_val="custom.cellOptions", value={"type": "auto", "wrapText": True})


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column with the value of a query."""

    title: str
    query: str
    unit: str
    thresholds: Thresholds | None = None


@dataclass(frozen=True)
class Word:
    """What a table shows instead of a label's value."""

    text: str
    color: str | None = None


def table(
    title: str,
    text: str,
    columns: Sequence[Column],
    *,
    by: Mapping[str, str],
    links: Mapping[str, str] | None = None,
    words: Mapping[str, Mapping[str, Word]] | None = None,
    normally_empty: str | None = None,
    wrapped: bool = False,
    width: int = 24,
    height: int = 8,
) -> Panel:
    """Return a table of instant values.

    Args:
        title: of the panel.
        text: what the panel answers.
        columns: the values; the first one sorts.
        by: label → title of its column; these labels identify a row.
        links: label → URL that a click on its value opens.
        words: label → what is shown instead of its values: regular expression of a value → word.
        normally_empty: the reason why the table normally has no rows.
        wrapped: whether labels may take several lines.
        width: in columns of the dashboard.
        height: in rows of the dashboard.
    """
    panel = (
        sdk.Panel()
        .title(title)
        .description(description(text, normally_empty))
        .no_value(no_value(normally_empty))
        .datasource(PROMETHEUS)
        .span(width)
        .height(height)
        .min_width(_LEAST_PIXELS)
        .override_by_regexp(ALL_FIELDS, [empty_cells()])
    )
    is_narrow = width < _NARROW
    for index, column in enumerate(columns):
        # A query that keeps the name of its metric, or another label, would make rows of its own.
        panel.with_target(table_query(f"max by ({', '.join(by)}) ({column.query})", index))
        panel.override_by_name(column.title, _properties(column, is_narrow=is_narrow))
    for label, shown in by.items():
        properties = [_WRAPPED] if wrapped else []
        if url := (links or {}).get(label):
            properties.append(DynamicConfigValue(id_val="links", value=[{"title": shown, "url": url}]))
        if shown_as := (words or {}).get(label):
            if is_narrow:
                properties.append(DynamicConfigValue(id_val="custom.width", value=_WORD_PIXELS))
            if any(word.color for word in shown_as.values()):
                properties.append(_COLORED)
            mappings = [_mapping(*item) for item in shown_as.items()]
            properties.append(DynamicConfigValue(id_val="mappings", value=mappings))
        if properties:
            panel.override_by_name(shown, properties)
    return panel.transformations(
        [
            DataTransformerConfig(id_val="merge", options={}),
            DataTransformerConfig(id_val="organize", options=_organized(columns, by)),
            DataTransformerConfig(
                id_val="sortBy", options={"fields": {}, "sort": [{"field": columns[0].title, "desc": True}]}
            ),
        ]
    )


def _properties(column: Column, *, is_narrow: bool) -> list[DynamicConfigValue]:
    properties = [DynamicConfigValue(id_val="unit", value=column.unit)]
    if is_narrow:
        pixels = _PIXELS.get(column.unit, _OTHER_PIXELS)
        properties.append(DynamicConfigValue(id_val="custom.width", value=pixels))
    if column.thresholds is None:
        return properties
    return [
        *properties,
        DynamicConfigValue(id_val="thresholds", value=column.thresholds.build().build()),
        _COLORED,
    ]


def _mapping(pattern: str, word: Word) -> dict[str, object]:
    result = {"text": word.text, **({"color": word.color} if word.color else {})}
    return {"type": "regex", "options": {"pattern": pattern, "result": result}}


def _organized(columns: Sequence[Column], by: Mapping[str, str]) -> dict[str, object]:
    """Return the names and the order of the columns: the labels first, then the values."""
    values = {value_field(ref_id(index), len(columns)): column.title for index, column in enumerate(columns)}
    return {
        "excludeByName": {"Time": True},
        "indexByName": {name: index for index, name in enumerate((*by, *values))},
        "renameByName": {**by, **values},
    }
