"""Objects as they are applied."""

from stack.kubernetes.objects import encoded


def test_secrets_are_applied_as_the_cluster_keeps_them_so_that_a_key_can_be_removed() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "1"}}
    assert encoded(secret) == {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "MQ=="}}
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    assert encoded(other) is other
