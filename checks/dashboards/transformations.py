"""Applies a panel's transformations to the answers of its queries, with the semantics of Grafana.

Learned from a real Grafana 12: a query in table format is one frame with a field for each label, and its values are in
the field `Value`, or `Value #A` if the panel has several queries. `merge` joins rows whose common fields are all equal.
`organize` changes the title of a field and not its name; sorting goes by the title.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final

from checks.dashboards.panels import Panel
from checks.dashboards.sources import Answer
from dashboards.panels.transformations import value_field

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A table: its fields in order, and rows that may lack some of them."""

    ref_id: str
    fields: tuple[str, ...]
    rows: tuple[Row, ...]
    titles: Mapping[str, str] = field(default_factory=dict)
    """Name of a field → its title, where they differ."""

    @property
    def columns(self) -> list[str]:
        """The titles of all fields, as a reader sees them."""
        return [self.titles.get(name, name) for name in self.fields]

    def name_of(self, title: str) -> str | None:
        """Return the field that has a title."""
        return next((name for name in self.fields if self.titles.get(name, name) == title), None)


def result(panel: Panel, answers: Sequence[Answer]) -> list[Frame]:
    """Return the frames that the panel draws."""
    frames = [
        _table(str(target["refId"]), len(panel.targets), answer)
        for target, answer in zip(panel.targets, answers, strict=True)
    ]
    for item in panel.model.get("transformations", []):
        frames = _apply(item, frames)
    return frames


def _table(ref_id: str, queries: int, answer: Answer) -> Frame:
    if not answer.series:
        return Frame(ref_id=ref_id, fields=(), rows=())
    value = value_field(ref_id, queries)
    labels = sorted({label for series in answer.series for label in series.labels})
    # All instant values have the time of the query.
    rows = [{"Time": 0, **{label: series.labels.get(label, "") for label in labels}} for series in answer.series]
    for row, series in zip(rows, answer.series, strict=True):
        row[value] = series.points[-1][1] if series.points else None
    return Frame(ref_id=ref_id, fields=("Time", *labels, value), rows=tuple(rows))


def _apply(item: Mapping[str, Any], frames: list[Frame]) -> list[Frame]:
    chosen = frames
    if only := item.get("filter", {}).get("options"):
        letters = str(only).strip("/^()$").split("|")
        chosen = [frame for frame in frames if frame.ref_id in letters]
    rest = [frame for frame in frames if frame not in chosen]
    return [*_TRANSFORMATIONS[item["id"]](item.get("options", {}), chosen), *rest]


def _merge(_options: Mapping[str, Any], frames: list[Frame]) -> list[Frame]:
    if len(frames) <= 1:
        return frames
    filled = [frame for frame in frames if frame.fields]
    if not filled:
        return frames[:1]
    keys = [name for name in filled[0].fields if all(name in frame.fields for frame in filled)]
    if not keys:
        return frames
    by_key: dict[tuple[Any, ...], list[Row]] = {}
    for frame in filled:
        for row in frame.rows:
            rows = by_key.setdefault(tuple(row[name] for name in keys), [])
            for existing in rows:
                if all(existing.get(name, value) == value for name, value in row.items()):
                    existing.update(row)
                    break
            else:
                rows.append(dict(row))
    return [
        Frame(
            ref_id="merge-" + "-".join(frame.ref_id for frame in filled),
            fields=tuple(dict.fromkeys(name for frame in filled for name in frame.fields)),
            rows=tuple(row for rows in by_key.values() for row in rows),
        )
    ]


def _organize(options: Mapping[str, Any], frames: list[Frame]) -> list[Frame]:
    excluded = {name for name, is_excluded in options.get("excludeByName", {}).items() if is_excluded}
    places, renamed = options.get("indexByName", {}), options.get("renameByName", {})
    after_all = count(len(places))

    def organized(frame: Frame) -> Frame:
        fields = [name for name in frame.fields if name not in excluded]
        order = {name: places[name] if name in places else next(after_all) for name in fields}
        titles = {name: renamed[name] for name in fields if renamed.get(name)}
        return replace(frame, fields=tuple(sorted(fields, key=order.__getitem__)), titles={**frame.titles, **titles})

    return [organized(frame) for frame in frames]


def _sort_by(options: Mapping[str, Any], frames: list[Frame]) -> list[Frame]:
    (by,) = options["sort"]

    def ordered(frame: Frame) -> Frame:
        name = frame.name_of(by["field"])
        if name is None:
            return frame  # Grafana also ignores the field, and shows no error
        # Without a value or not a number: last.
        filled = [row for row in frame.rows if row.get(name) is not None and row[name] == row[name]]
        empty = [row for row in frame.rows if row not in filled]
        filled.sort(key=lambda row: row[name], reverse=by.get("desc", False))
        return replace(frame, rows=(*filled, *empty))

    return [ordered(frame) for frame in frames]


def _calculate_field(options: Mapping[str, Any], frames: list[Frame]) -> list[Frame]:
    binary, name = options["binary"], options["alias"]

    def operand(side: Mapping[str, Any], row: Row) -> float | None:
        return float(side["fixed"]) if "fixed" in side else row.get(side["matcher"]["options"])

    def value(row: Row) -> float | None:
        left, right = operand(binary["left"], row), operand(binary["right"], row)
        if left is None or right is None:
            return None
        return left * right if binary["operator"] == "*" else left - right

    def calculated(frame: Frame) -> Frame:
        names = [side["matcher"]["options"] for side in (binary["left"], binary["right"]) if "matcher" in side]
        if not all(each in frame.fields for each in names):
            return frame
        rows = tuple({**row, name: value(row)} for row in frame.rows)
        return replace(frame, fields=(*frame.fields, name), rows=rows)

    return [calculated(frame) for frame in frames]


_TRANSFORMATIONS: Final[Mapping[str, Callable[[Mapping[str, Any], list[Frame]], list[Frame]]]] = {
    "merge": _merge,
    "organize": _organize,
    "sortBy": _sort_by,
    "calculateField": _calculate_field,
}
