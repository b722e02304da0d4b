"""The tables of failing and slow operations: what began now, and what only waits for another."""

from stack.clients.prometheus import Series
from stack.explain.operations import Operation, compare, failing_rows, slow_rows
from tests.support.assistant import NOW


def _series(service: str, kind: str, name: str, value: float, database: str = "") -> Series:
    labels = {"service_name": service, "span_kind": f"SPAN_KIND_{kind}", "span_name": name}
    return Series(labels=labels | ({"db_system_name": database} if database else {}), points=((NOW, value),))


def _rows(rows: list[str]) -> list[str]:
    return [" ".join(row.split()) for row in rows]


def test_a_failure_that_began_now_comes_before_a_more_frequent_one_and_an_ended_one_is_last() -> None:
    now = [_series("gateway", "SERVER", "GET", 9.0), _series("task-manager", "CLIENT", "COMMIT", 0.5, "postgresql")]
    previous = [_series("gateway", "SERVER", "GET", 8.0), _series("web-crawler", "CLIENT", "GET", 20.0)]
    assert _rows(failing_rows(compare(now, previous))) == [
        "last minute 5 min before (failures per second)",
        "0.50 0.00 began now task-manager CLIENT COMMIT",
        "9.00 8.00 gateway SERVER GET",
        "0.00 20.00 ended web-crawler CLIENT GET",
    ]


def test_the_statement_outranks_the_servers_that_wait_for_it() -> None:
    now = [
        _series("gateway", "SERVER", "GET /api/tasks/{id}", 6701),
        _series("gateway", "CLIENT", "GET", 6152),
        _series("task-manager", "SERVER", "GET /api/tasks/{id}", 2365),
        _series("task-manager", "INTERNAL", "create task", 2300),
        _series("task-manager", "CLIENT", "SELECT web_crawl_tasks", 2200, "postgresql"),
    ]
    previous = [_series("task-manager", "CLIENT", "SELECT web_crawl_tasks", 12, "postgresql")]
    previous += [_series("gateway", "SERVER", "quick", float("nan"))]
    assert [row.split(maxsplit=2)[-1] for row in _rows(slow_rows(compare(now, previous)))][1:] == [
        "began now task-manager CLIENT SELECT web_crawl_tasks",
        "began now gateway CLIENT GET",
        "began now task-manager INTERNAL create task",
        "began now gateway SERVER GET /api/tasks/{id}",
        "began now task-manager SERVER GET /api/tasks/{id}",
    ]


def test_an_operation_that_was_slow_before_is_not_listed() -> None:
    assert slow_rows(compare([], [_series("gateway", "SERVER", "GET", 4000)])) == []


def test_a_fault_of_a_hundred_seconds_began_now() -> None:
    operation = Operation(service="gateway", kind="SERVER", name="GET", database=False, now=3.0, previous=1.0)
    assert operation.began
