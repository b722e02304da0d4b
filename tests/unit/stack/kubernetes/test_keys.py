"""Names of objects in messages."""

from stack.kubernetes.keys import object_names


def test_few_objects_are_named_and_many_are_counted_by_kind() -> None:
    services = [{"kind": "Service", "metadata": {"name": f"service-{number}"}} for number in range(12)]
    gateway = {"kind": "Deployment", "metadata": {"name": "gateway"}}
    assert object_names([gateway, *services[:1]]) == "deployment/gateway, service/service-0"
    assert object_names([*services, gateway]) == "service (12), deployment (1)"
