"""Grafana's query API as it is documented, served by this process: what the check asks it, and makes of its answers."""

import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from checks.dashboards.grafana import Grafana
from checks.dashboards.run import Check
from checks.dashboards.sources import Answer
from checks.dashboards.substitute import Window
from checks.harness.ports import free_port
from contracts import endpoints
from dashboards.panels import Query as PanelQuery
from dashboards.panels import logs, stat, timeseries
from stack.clients.http import QueryError
from stack.clients.prometheus import PrometheusClient, Series
from tests.support.http_server import Request, Response, http_server
from tests.support.panels import CONFIG, dashboard_of

WINDOW = Window(start=1000, end=1900, step=15)
TIME = {"name": "Time", "type": "time", "typeInfo": {"frame": "time.Time"}}


class Stub:
    """Answers every query with the same; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answer: tuple[int, Any] = (200, {"results": {}})
        self.url = ""

    def respond(self, request: Request) -> Response:
        """Answers a request."""
        self.asked.append((request.path, json.loads(request.body)))
        status, answer = self.answer
        return Response(answer if isinstance(answer, str) else json.dumps(answer), status)

    def frames(self, *frames: Any, ref: str = "A") -> None:
        """The answer from now on."""
        self.answer = (200, {"results": {ref: {"status": 200, "frames": list(frames)}}})


@pytest.fixture
def stub() -> Iterator[Stub]:
    stub = Stub()
    with http_server(stub.respond) as stub.url:
        yield stub


def ask(stub: Stub, **target: Any) -> Answer:
    with httpx.Client() as client:
        target = {"refId": "A", "expr": "up", "datasource": {"type": "prometheus", "uid": "prometheus"}} | target
        return Grafana(client, stub.url).query(target, WINDOW)


def value(labels: dict[str, str] | None = None, name: str = "Value") -> dict[str, Any]:
    field = {"name": name, "type": "number", "typeInfo": {"frame": "float64"}}
    return field | ({"labels": labels} if labels is not None else {})


def frame(fields: list[dict[str, Any]], values: list[list[Any]], **data: Any) -> dict[str, Any]:
    return {"schema": {"refId": "A", "fields": fields}, "data": {"values": values, **data}}


def test_a_query_is_asked_as_a_panel_asks_it(stub: Stub) -> None:
    stub.frames(ref="B")
    ask(stub, refId="B", expr="rate(x[1m])", range=True, exemplar=True, legendFormat="{{job}}")
    ((path, body),) = stub.asked
    assert path == "/api/ds/query"
    assert (body["from"], body["to"]) == ("1000000", "1900000"), "in ms, as text"
    (query,) = body["queries"]
    assert query["datasource"] == {"type": "prometheus", "uid": "prometheus"}
    assert (query["refId"], query["expr"], query["range"]) == ("B", "rate(x[1m])", True)
    assert query["exemplar"] is False, "they would come among the series"
    assert (query["intervalMs"], query["maxDataPoints"]) == (15_000, 60)


def test_a_range_is_a_frame_for_each_series(stub: Stub) -> None:
    stub.frames(
        frame([TIME, value({"job": "gateway"})], [[1_000_000, 1_015_000], [1, 2.5]]),
        frame([TIME, value({"job": "web-crawler"})], [[1_000_000], [0]]),
    )
    assert ask(stub, range=True).series == (
        Series(labels={"job": "gateway"}, points=((1000, 1), (1015, 2.5))),
        Series(labels={"job": "web-crawler"}, points=((1000, 0),)),
    )


def test_several_columns_of_one_frame_are_several_series(stub: Stub) -> None:
    stub.frames(frame([TIME, value({"job": "a"}), value({"job": "b"})], [[1_000_000], [1], [2]]))
    assert [series.labels["job"] for series in ask(stub).series] == ["a", "b"]


def test_values_that_json_does_not_have_are_read_from_the_entities(stub: Stub) -> None:
    fields, times = [TIME, value({})], [1_000_000, 1_015_000, 1_030_000, 1_045_000]
    entities = [None, {"NaN": [0], "Inf": [1], "NegInf": [2]}]
    stub.frames(frame(fields, [times, [None, None, None, 4]], entities=entities))
    (series,) = ask(stub).series
    assert math.isnan(series.points[0][1])
    assert [number for _, number in series.points[1:]] == [math.inf, -math.inf, 4]
    stub.frames(frame(fields, [times[:2], [None, None]], entities=[None, {"NaN": [0, 1]}]))
    assert ask(stub).is_empty, "values that are no numbers are no data"
    stub.frames(frame(fields, [times[:1], [None]]))
    assert ask(stub).is_empty, "nor are missing ones"


def test_a_table_has_its_labels_in_columns(stub: Stub) -> None:
    def text(name: str) -> dict[str, Any]:
        return {"name": name, "type": "string", "typeInfo": {"frame": "string"}}

    rows: list[list[Any]] = [[1_900_000] * 2, ["gateway", "web-crawler"], ["GET", "POST"], [1, 2]]
    stub.frames(frame([TIME, text("job"), text("method"), value(name="Value #A")], rows))
    assert ask(stub, instant=True, format="table").series == (
        Series(labels={"job": "gateway", "method": "GET"}, points=((1900, 1),)),
        Series(labels={"job": "web-crawler", "method": "POST"}, points=((1900, 2),)),
    )
    # So does one whose frames are put together only when they are drawn.
    stub.frames(frame([TIME, value({"job": "gateway"})], [[1_900_000], [1]]))
    assert ask(stub, instant=True, format="table").series[0].labels == {"job": "gateway"}


@pytest.mark.parametrize("names", [("Time", "Line"), ("timestamp", "body")])
def test_lines_come_with_their_labels_newest_first(stub: Stub, names: tuple[str, str]) -> None:
    time, text = names
    labels: dict[str, Any] = {"name": "labels", "type": "other", "typeInfo": {"frame": "json.RawMessage"}}
    fields = [labels, TIME | {"name": time}, {"name": text, "type": "string"}, {"name": "id", "type": "string"}]
    rows: list[list[Any]] = [
        [{"service_name": "gateway"}, {"service_name": "x", "trace_id": "ab"}],
        [1_000_000, 1_001_500],
    ]
    stub.frames(frame(fields, [*rows, ["first", "second"], ["1", "2"]], nanos=[None, [5, 6], None, None]))
    answer = ask(stub, queryType="range", maxLines=200, datasource={"type": "loki", "uid": "logs"})
    assert [(line.time, line.text) for line in answer.lines] == [(1001.5, "second"), (1000, "first")]
    assert answer.lines[0].labels == {"service_name": "x", "trace_id": "ab"}
    assert not answer.series


@pytest.mark.parametrize(
    "result",
    [
        {"status": 200, "frames": []},
        {"status": 200},
        {"frames": [{"schema": {"refId": "A", "fields": []}, "data": {"values": []}}]},
        {"frames": [frame([TIME, value({})], [[], []])]},
        {
            "frames": [
                frame([{"name": "labels", "type": "other"}, TIME, {"name": "Line", "type": "string"}], [[], [], []])
            ]
        },
    ],
)
def test_nothing_is_nothing(stub: Stub, result: dict[str, Any]) -> None:
    stub.answer = (200, {"results": {"A": result}})
    assert ask(stub).is_empty


@pytest.mark.parametrize("status", [200, 207, 400, 500])
def test_a_failed_query_has_the_message_of_the_datasource(stub: Stub, status: int) -> None:
    stub.answer = (status, {"results": {"A": {"status": 400, "error": "bad_data: parse error", "frames": []}}})
    with pytest.raises(QueryError, match=r"^400: bad_data: parse error$"):
        ask(stub)


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (401, {"message": "Invalid username or password"}, "401: .*Invalid username"),
        (404, {"message": "Data source not found"}, "404: .*not found"),
        (502, "<html>Bad gateway", "502: <html>Bad gateway"),
        (200, "<html>", "not JSON: <html>"),
        (200, {"message": "?"}, "no results"),
        (200, [], "no results"),
        (200, {"results": {"B": {}}}, "200, and nothing for A"),
    ],
)
def test_an_unusable_response_is_a_failure(stub: Stub, status: int, answer: Any, message: str) -> None:
    stub.answer = (status, answer)
    with pytest.raises(QueryError, match=message):
        ask(stub)


def test_an_unavailable_grafana_is_a_failure() -> None:
    stub = Stub()
    stub.url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(QueryError, match="Connect"):
        ask(stub)


def test_the_check_asks_it_for_metrics_and_lines(stub: Stub) -> None:
    """Every panel gets its data, and each query names its own datasource."""
    stub.frames(frame([TIME, value({"job": "gateway"})], [[1_000_000], [1]]))
    panels = (
        stat("one", "It.", "up", unit="short"),
        timeseries("over time", "It.", [PanelQuery(expr="up")], unit="short"),
        logs(CONFIG, "lines", "It.", '{service_name="gateway"}'),
    )
    model = dashboard_of(*panels)
    model["templating"]["list"] = []
    with httpx.Client() as client:
        grafana = Grafana(client, stub.url)
        sources = {endpoints.PROMETHEUS_UID: grafana, endpoints.LOGS_UID: grafana}
        result = Check(sources, PrometheusClient(stub.url, client.get), WINDOW, 15).run([model], ())
    assert not result.failures
    asked = {body["queries"][0]["datasource"]["uid"] for _, body in stub.asked}
    assert (len(stub.asked), asked) == (3, {"prometheus", "logs"})
