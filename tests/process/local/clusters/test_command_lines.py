"""The command lines that kind, k3d, minikube, Docker and Podman get, recorded by programs that stand in for them.

The programs themselves need images from registries, which a machine without them cannot pull.
"""

import json
import os
import stat
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from contracts.metadata import LOCAL_CONTEXT
from local.cluster import Cluster
from local.clusters import containers, target, up
from local.clusters.choice import Choice, Request, choose, look
from local.clusters.target import Target
from local.failure import Failure
from stack.errors import DeployError
from stack.settings import OVERLAY, PROJECT

REFERENCE = "localhost/web-crawl-service:0123456789ab"
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
    "contexts": [
        {"name": name, "context": {"cluster": "c", "user": "u"}}
        for name in ("kind-web-crawl-tracing", "k3d-web-crawl-tracing", "web-crawl-tracing")
    ],
}
# Each writes its arguments into a file, and the kubeconfig to the place that the arguments or the variable name.
PROGRAM = """\
#!/bin/sh
echo "$(basename "$0") $*" >> "{log}"
case "$(basename "$0") $*" in
{answers}
esac
previous=
for argument in "$@"; do
  case "$previous" in --kubeconfig|--output) [ "$1" = save ] || cp "{kubeconfig}" "$argument" ;; esac
  previous=$argument
done
[ "$(basename "$0") $1" = "minikube start" ] && cp "{kubeconfig}" "$KUBECONFIG"
exit 0
"""

Install = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone's folder for its cluster."""
    for name, file in {"FOLDER": "cluster", "KUBECONFIG": "cluster/kubeconfig", "FILE": "cluster/target.json"}.items():
        for module in (target, containers, up):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, tmp_path / file)
    monkeypatch.setattr(target.read, "__defaults__", (tmp_path / "cluster/target.json",))
    monkeypatch.setattr(target.write, "__defaults__", (tmp_path / "cluster/target.json",))
    monkeypatch.setattr("local.stack.ROOT", tmp_path)
    monkeypatch.setattr(containers, "service_reference", lambda: REFERENCE)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "user.kubeconfig"))
    monkeypatch.setattr(Cluster, "was_up", lambda self: False)
    return tmp_path


@pytest.fixture
def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts programs on PATH; the keywords are what a command line answers with exit code 1."""
    programs = folder / "bin"
    programs.mkdir()
    (folder / "kubeconfig.yaml").write_text(yaml.safe_dump(KUBECONFIG))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    def put(*names: str, fails: tuple[str, ...] = (), prints: dict[str, str] | None = None) -> None:
        answers = [f'"{line}"*) exit 1 ;;' for line in fails]
        answers += [f'"{line}"*) echo "{text}"; exit 0 ;;' for line, text in (prints or {}).items()]
        text = PROGRAM.format(
            log=folder / "lines", answers="\n".join(answers) or "*) ;;", kubeconfig=folder / "kubeconfig.yaml"
        )
        for name in names:
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)

    return put


def lines(folder: Path) -> list[str]:
    """The command lines without the questions whether an engine and an image are there."""
    recorded = (folder / "lines").read_text().splitlines()
    questions = ("docker version", "podman info", "docker image", "podman image")
    return [line.replace(str(folder), "…") for line in recorded if not line.startswith(questions)]


def _without_names(line: str) -> str:
    """A line without the names of temporary files."""
    return " ".join("FILE" if word.startswith("/tmp/") else word for word in line.split())


DOCKER = {"docker version": "28.2.2"}


@pytest.mark.parametrize(
    ("tool", "fails", "expected"),
    [
        (
            "kind",
            ("docker image inspect",),
            [
                "kind create cluster --name web-crawl-tracing --config FILE --kubeconfig …/cluster/kind.kubeconfig "
                "--wait 180s",
                "docker build --file service/Dockerfile --tag {image} .",
                "docker save --output FILE {image}",
                "kind load image-archive FILE --name web-crawl-tracing",
            ],
        ),
        (
            "k3d",
            ("docker image inspect", "k3d cluster get"),
            [
                "k3d cluster create web-crawl-tracing --agents 1 --wait --timeout 300s "
                "--kubeconfig-update-default=false --kubeconfig-switch-context=false",
                "k3d kubeconfig write web-crawl-tracing --output …/cluster/k3d.kubeconfig --overwrite",
                "docker build --file service/Dockerfile --tag {image} .",
                "k3d image import {image} --cluster web-crawl-tracing",
            ],
        ),
        (
            "minikube",
            ("docker image inspect",),
            [
                "minikube start --profile web-crawl-tracing --nodes 2 --driver docker --wait all",
                "docker build --file service/Dockerfile --tag {image} .",
                "docker save --output FILE {image}",
                "minikube image load FILE --profile web-crawl-tracing",
            ],
        ),
    ],
)
def test_a_cluster_in_containers_is_made_and_gets_the_image(
    tool: str, fails: tuple[str, ...], expected: list[str], folder: Path, install: Install
) -> None:
    install("docker", tool, fails=fails, prints=DOCKER)
    chosen = choose(look(), Request())
    assert chosen.name == tool
    assert chosen.reason == f"{tool} is on PATH and docker 28.2.2 answers"

    containers.prepare(chosen, nodes=2)

    recorded = {_without_names(line) for line in lines(folder)}
    assert {line.format(image=REFERENCE) for line in expected} <= recorded
    # The stack's settings name the copy of the kubeconfig, whose one context is the stack file's.
    overlay = yaml.safe_load((folder / OVERLAY).read_text())["config"]
    assert overlay == {
        f"{PROJECT}:cluster": {"kubeconfig": str(folder / "cluster/kubeconfig")},
        f"{PROJECT}:images": {"service": REFERENCE},
    }
    copied = yaml.safe_load((folder / "cluster/kubeconfig").read_text())
    assert copied["current-context"] == LOCAL_CONTEXT
    assert [item["name"] for item in copied["contexts"]] == [LOCAL_CONTEXT]
    assert stat.S_IMODE((folder / "cluster/kubeconfig").stat().st_mode) == 0o600

    # The next `make up` uses the same cluster, and `make down` removes it.
    again = choose(look(), Request())
    assert (again.name, again.reason) == (tool, "the last `make up` used it")
    up.down()
    assert any(line.startswith((f"{tool} delete", f"{tool} cluster delete")) for line in lines(folder))
    assert target.read() is None


def test_a_cluster_that_exists_is_started_and_not_made_again(folder: Path, install: Install) -> None:
    install("docker", "kind", "k3d", prints={**DOCKER, "kind get clusters": "web-crawl-tracing"})
    for tool, expected in {
        "kind": "kind export kubeconfig --name web-crawl-tracing --kubeconfig …/cluster/kind.kubeconfig",
        "k3d": "k3d cluster start web-crawl-tracing --wait --timeout 300s",
    }.items():
        containers.prepare(Choice(target=Target(cluster=tool), reason=""), nodes=None)
        assert expected in lines(folder)
        assert not [line for line in lines(folder) if "create" in line]


def test_podman_makes_the_image_where_docker_does_not_answer(folder: Path, install: Install) -> None:
    install(
        "docker", "podman", "kind", fails=("docker version", "podman image inspect"), prints={"podman info": "5.0.0"}
    )
    containers.prepare(choose(look(), Request()), nodes=1)
    assert f"podman build --file service/Dockerfile --tag {REFERENCE} ." in lines(folder)


class _Version(BaseHTTPRequestHandler):
    """Answers each request with the version of an API server."""

    def do_GET(self) -> None:
        names = ("buildDate", "compiler", "gitCommit", "gitTreeState", "gitVersion", "goVersion", "platform")
        body = json.dumps({"major": "1", "minor": "35", **dict.fromkeys(names, "any")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def api_server() -> Iterator[str]:
    """The URL of a server that answers as an API server answers the first request of a client."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Version)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_registry_gets_the_image_for_a_context(folder: Path, install: Install, api_server: str) -> None:
    install("docker", fails=("docker image inspect",), prints=DOCKER)
    clusters = [{"name": "c", "cluster": {"server": api_server}}]
    (folder / "user.kubeconfig").write_text(yaml.safe_dump(KUBECONFIG | {"clusters": clusters}))
    request = Request(context="kind-web-crawl-tracing", registry="registry.example.com/team/")
    containers.prepare(choose(look(), request), nodes=None)
    image = "registry.example.com/team/web-crawl-service:0123456789ab"
    assert lines(folder) == [
        f"docker build --file service/Dockerfile --tag {image} .",
        f"docker push {image}",
    ]


def test_a_context_whose_cluster_does_not_answer_is_not_noted(folder: Path, install: Install) -> None:
    install()
    clusters = [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}]
    file = folder / "user.kubeconfig"
    file.write_text(yaml.safe_dump(KUBECONFIG | {"clusters": clusters}))
    request = Request(context="kind-web-crawl-tracing", image="registry.example.com/service:1")
    with pytest.raises(DeployError) as refusal:
        containers.prepare(choose(look(), request), nodes=None)
    begin = f"the cluster of context 'kind-web-crawl-tracing' of {file} does not answer: "
    assert str(refusal.value).startswith(begin)
    assert str(refusal.value).endswith("Connection refused")
    # So the next `make up` may use another cluster.
    assert target.read() is None


def test_down_says_how_to_forget_a_context_whose_cluster_is_gone(folder: Path, install: Install) -> None:
    install()
    target.write(Target(cluster="context", context="theirs", image="registry.example.com/service:1"))
    (folder / "cluster" / "kubeconfig").write_text(
        yaml.safe_dump(
            KUBECONFIG
            | {
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
                "contexts": [{"name": LOCAL_CONTEXT, "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )
    with pytest.raises(Failure, match=rf"Connection refused\. .* `rm -r {folder}/cluster` forgets it$"):
        up.down()


def test_a_program_that_fails_is_quoted_and_down_forgets_the_cluster(folder: Path, install: Install) -> None:
    install("docker", "kind", fails=("kind create",), prints=DOCKER)
    with pytest.raises(Failure, match=r"`kind create cluster --name` failed with exit code 1"):
        containers.prepare(choose(look(), Request()), nodes=1)
    up.down()
    assert "kind delete cluster --name web-crawl-tracing" in lines(folder)
    assert target.read() is None


def test_an_engine_that_does_not_answer_leaves_the_compiled_cluster(folder: Path, install: Install) -> None:
    install("docker", "kind", fails=("docker version",))
    chosen = choose(look(), Request())
    assert (chosen.name, chosen.reason) == (
        "compiled",
        "docker is installed, but its engine does not answer",
    )
    assert os.environ["PATH"].startswith(str(folder))
