"""How often the kinds of a cluster are read, against an API server that counts the requests."""

import json
from collections.abc import Iterator

import kubernetes
import pytest
from kubernetes.dynamic.exceptions import NotFoundError

from stack.kubernetes.keys import ObjectKey
from stack.kubernetes.objects import Objects
from tests.support.answering import answering

POD_KEY = ObjectKey("v1", "Pod", "a")
OBJECT = {"kind": "Any", "metadata": {"name": "a"}}
GADGET_KEY = ObjectKey("example.com/v1", "Gadget", "a")


class ApiServer:
    """Knows pods, and later gadgets."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.groups: list[str] = []

    def answer(self, path: str) -> tuple[int, str]:
        path = path.partition("?")[0]
        self.asked.append(path)
        match path.split("/")[1:]:
            case ["version"]:
                return 200, "{}"
            case ["apis"]:
                return 200, json.dumps({"kind": "APIGroupList", "groups": [_group(name) for name in self.groups]})
            case ["api", "v1"]:
                return 200, _kinds("Pod", "pods")
            case ["apis", "example.com", "v1"]:
                return 200, _kinds("Gadget", "gadgets")
        return 200, json.dumps(OBJECT)


def _group(name: str) -> dict[str, object]:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _kinds(kind: str, plural: str) -> str:
    resource = {"name": plural, "singularName": "", "kind": kind, "namespaced": True, "verbs": ["get"]}
    return json.dumps({"kind": "APIResourceList", "resources": [resource]})


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


@pytest.fixture
def client(server: ApiServer) -> Iterator[kubernetes.client.ApiClient]:
    with answering("application/json", server.answer) as client:
        yield client


def test_all_objects_of_a_client_read_the_kinds_once(server: ApiServer, client: kubernetes.client.ApiClient) -> None:
    for namespace in ("one", "another"):
        assert Objects(client, namespace).get(POD_KEY)
    pods = [f"/api/v1/namespaces/{namespace}/pods/a" for namespace in ("one", "another")]
    assert [path for path in server.asked if path.endswith("/a")] == pods
    assert server.asked.count("/api/v1") == server.asked.count("/apis") == 1


def test_a_kind_that_the_cluster_gets_later_is_found(server: ApiServer, client: kubernetes.client.ApiClient) -> None:
    with pytest.raises(NotFoundError, match="no kind Gadget"):
        Objects(client, "one").get(GADGET_KEY)
    server.groups.append("example.com")
    assert Objects(client, "one").get(GADGET_KEY) == OBJECT
