"""Every node, every zone and every workload has its rows, and the load comes from a node that the fault spares."""

from checks.ha.rows import KAFKA_UPGRADED, NODES, rows

ROWS = rows(["kafka", "gateway"])


def test_each_node_zone_and_workload_has_a_row() -> None:
    killed = {f"node-killed-{number}" for number in (1, 2, 3)}
    drained = {f"node-drained-{number}" for number in (1, 2, 3)}
    others = {"node-cut-2", "node-cut-3", "zone-a", "zone-b", "zone-c", "pod-kafka", "pod-gateway"}
    assert ROWS.keys() >= killed | drained | others


def test_the_first_row_upgrades_kafka_since_the_stack_starts_with_the_earlier_version() -> None:
    assert next(iter(ROWS)) == KAFKA_UPGRADED


def test_only_a_stack_with_object_storage_loses_it() -> None:
    assert "storage-unavailable" in ROWS
    assert "storage-unavailable" not in rows(["kafka"], object_storage=False)


def test_the_load_comes_from_another_node() -> None:
    for node in NODES:
        for fault in ("killed", "cut", "drained"):
            if row := ROWS.get(f"node-{fault}-{node.number}"):
                assert row.client != node


def test_unavailable_storage_lasts_longer_than_its_alert_may_take() -> None:
    row = rows([])["storage-unavailable"]
    assert row.outage is not None
    assert row.expected.seconds < row.outage
