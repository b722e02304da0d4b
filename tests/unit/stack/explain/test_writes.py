"""When an object was written last, by its managed fields."""

from stack.explain.writes import last_write


def test_a_write_without_a_time_is_left_out() -> None:
    timed = {"manager": "kubectl-edit", "time": "2027-01-15T08:00:00Z"}
    timeless = {"manager": "pulumi-kubernetes-0123abcd", "operation": "Apply"}
    assert last_write({"metadata": {"managedFields": [timeless, timed]}}) == 1_800_000_000.0
    assert last_write({"metadata": {"managedFields": [timeless]}}) == 0.0
