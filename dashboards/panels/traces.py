"""Tables of traces, from Tempo or from Jaeger."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import table, tempo
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue
from grafana_foundation_sdk.models.tempo import SearchTableType

from contracts import endpoints
from dashboards.config import MonitoringConfig
from dashboards.panels.shared import ALL_FIELDS, Panel, description, empty_cells, no_value

_MAX_TRACES: Final = 20
# Titles in Tempo's and in Jaeger's tables. Otherwise half a page shows no duration; the name takes what is left.
_COLUMN_PIXELS: Final = {
    "Trace ID": 110,
    "Trace": 110,
    "Start time": 190,
    "Service": 120,
    "Trace Service": 120,
    "Duration": 90,
    "Trace Name": 180,
    "Span ID": 170,
    "db.system.name": 130,
    "service.name": 130,
}
# A narrow table has no room for dates, and says how long ago it was.
_NARROW: Final = 12
_NARROW_COLUMN_PIXELS: Final = _COLUMN_PIXELS | {
    "Trace ID": 75,
    "Trace": 75,
    "Start time": 115,
    "Service": 105,
    "Trace Service": 105,
    "Duration": 75,
}
_LEAST_PIXELS: Final = 75
_AGO: Final = DynamicConfigValue(id_val="unit", value="dateTimeFromNow")


@dataclass(frozen=True, kw_only=True)
class TraceSearch:
    """Selects the traces that have a span which meets all conditions."""

    service: str
    """A name, or a variable of the dashboard; Tempo takes it as a pattern."""
    operation: str | None = None
    failed: bool = False
    entry: bool = False
    """Only spans with which a request or a message enters the service."""
    statements: bool = False
    """Only spans of database statements."""
    slower_than_ms: int | None = None


def traces(
    config: MonitoringConfig,
    title: str,
    text: str,
    search: TraceSearch,
    *,
    normally_empty: str | None = None,
    limit: int = _MAX_TRACES,
    width: int = 24,
    height: int = 8,
) -> Panel | None:
    """Return a table of traces; each row is a link to the whole trace.

    None if Grafana cannot query the store, or if the names of the services are not known here, and Jaeger stores their
    traces: it searches for one service by name.
    """
    backend = config.trace_backend
    if not config.traces or (backend == "jaeger" and not config.services):
        return None
    source = DataSourceRef(type_val=backend, uid=endpoints.TRACES_UID)
    target = _tempo_query(search, source, limit) if backend == "tempo" else _JaegerQuery(search, limit)
    panel = (
        table.Panel()
        .title(title)
        .description(description(text, normally_empty))
        .no_value(no_value(normally_empty))
        .datasource(source)
        .span(width)
        .height(height)
        .min_width(_LEAST_PIXELS)
        .with_target(target)  # type: ignore[arg-type]
        .override_by_regexp(ALL_FIELDS, [empty_cells()])
    )
    is_narrow = width < _NARROW
    for column, pixels in (_NARROW_COLUMN_PIXELS if is_narrow else _COLUMN_PIXELS).items():
        properties = [DynamicConfigValue(id_val="custom.width", value=pixels)]
        panel.override_by_name(column, [*properties, _AGO] if is_narrow and column == "Start time" else properties)
    return panel


def search_query(backend: str, search: TraceSearch) -> dict[str, Any]:
    """Return the search in the terms of a trace store's API, as `TraceStoreClient.search` takes it.

    Args:
        backend: `tempo` or `jaeger`.
        search: what to find.
    """
    return {"query": _traceql(search)} if backend == "tempo" else _jaeger_search(search)


def _traceql(search: TraceSearch) -> str:
    """Return the search in TraceQL.

    Tempo returns any matching traces, the newest first only on request.
    """
    conditions = [f'resource.service.name =~ "{search.service}"']
    if search.operation:
        conditions.append(f'name = "{search.operation}"')
    if search.failed:
        conditions.append("status = error")
    if search.entry:
        conditions.append("(kind = server || kind = consumer)")
    if search.statements:
        conditions.append("span.db.system.name != nil")
    if search.slower_than_ms:
        conditions.append(f"duration > {search.slower_than_ms}ms")
    # Without its name, a statement is only a number in the table.
    selected = " | select(name)" if search.statements else ""
    return f"{{ {' && '.join(conditions)} }}{selected} with (most_recent=true)"


def _jaeger_search(search: TraceSearch) -> dict[str, Any]:
    tags = []
    if search.failed:
        tags.append("error=true")
    if search.entry:
        tags.append("span.kind=server")
    if search.statements:
        tags.append("db.system.name=postgresql")
    query = {
        "service": search.service,
        "operation": search.operation,
        "tags": " ".join(tags),
        "minDuration": f"{search.slower_than_ms}ms" if search.slower_than_ms else None,
    }
    return {key: value for key, value in query.items() if value}


def _tempo_query(search: TraceSearch, source: DataSourceRef, limit: int) -> tempo.Dataquery:
    return (
        tempo.Dataquery()
        .query_type("traceql")
        .query(_traceql(search))
        .limit(limit)
        .table_type(SearchTableType.SPANS if search.statements else SearchTableType.TRACES)
        .ref_id("A")
        .datasource(source)
    )


class _JaegerQuery(Dataquery):
    """A search of Jaeger's datasource, for which the SDK has no builder."""

    def __init__(self, search: TraceSearch, limit: int) -> None:
        self._search = search
        self._limit = limit

    def build(self) -> "_JaegerQuery":
        return self

    def to_json(self) -> Mapping[str, object]:
        return {
            "refId": "A",
            "datasource": {"type": "jaeger", "uid": endpoints.TRACES_UID},
            "queryType": "search",
            "limit": self._limit,
            **_jaeger_search(self._search),
        }
