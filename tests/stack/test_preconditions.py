"""A class that the settings name and the cluster does not have is said before anything is changed."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import kubernetes
import pytest

from stack.apply import DeployError
from stack.preconditions import refuse_unknown_classes
from stack.settings import Cluster

ANSWERS = {"known": 200, "unknown": 404, "hidden": 403, "broken": 500}


class Handler(BaseHTTPRequestHandler):
    """An API server that answers for a class by its name."""

    def do_GET(self) -> None:
        body = json.dumps({"metadata": {"name": "x"}, "value": 1, "provisioner": "x"}).encode()
        self.send_response(ANSWERS[self.path.rpartition("/")[2]])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def client() -> Iterator[kubernetes.client.ApiClient]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    yield kubernetes.client.ApiClient(kubernetes.client.Configuration(host=address))
    server.shutdown()
    server.server_close()


def cluster(*, storage: str | None = None, tasks: str | None = None) -> Cluster:
    return Cluster.model_validate({"context": "c", "storageClass": storage, "priorityClasses": {"tasks": tasks}})


def test_what_is_there_or_may_not_be_seen_is_accepted(client: kubernetes.client.ApiClient) -> None:
    refuse_unknown_classes(client, cluster())
    refuse_unknown_classes(client, cluster(storage="known", tasks="known"))
    refuse_unknown_classes(client, cluster(storage="hidden", tasks="hidden"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (cluster(storage="unknown"), r"cluster\.storageClass: .*'c' has no 'unknown'; nothing was changed"),
        (cluster(tasks="unknown"), r"cluster\.priorityClasses\.tasks: .*has no 'unknown'"),
        (cluster(tasks="broken"), r"cluster\.priorityClasses\.tasks: 'broken' cannot be looked for"),
    ],
)
def test_what_is_missing_is_named(client: kubernetes.client.ApiClient, wrong: Cluster, said: str) -> None:
    with pytest.raises(DeployError, match=said):
        refuse_unknown_classes(client, wrong)
