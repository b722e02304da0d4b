"""Which cluster `make up` uses on which machine."""

import pytest

from local.clusters.choice import COMPILED, Machine, Request, choose
from local.clusters.engine import Engine
from local.clusters.target import Target
from local.failure import Failure

DOCKER = Engine(program="docker", version="28.2.2")
CLUSTERS = Machine(engine=DOCKER, tools=("kind", "minikube"), contexts=("theirs",))


@pytest.mark.parametrize(
    ("machine", "request_", "name"),
    [
        (Machine(), Request(), COMPILED),
        (Machine(tools=("kind",)), Request(), COMPILED),
        (Machine(engine=DOCKER), Request(), COMPILED),
        (CLUSTERS, Request(), "kind"),
        (CLUSTERS, Request(cluster="minikube"), "minikube"),
        (CLUSTERS, Request(cluster=COMPILED), COMPILED),
        (CLUSTERS, Request(context="theirs", image="i:1"), "context"),
        (Machine(engine=DOCKER, tools=("kind",), compiled=True), Request(), COMPILED),
        (Machine(target=Target(cluster="k3d"), engine=DOCKER, tools=("kind", "k3d")), Request(), "k3d"),
    ],
)
def test_the_choice(machine: Machine, request_: Request, name: str) -> None:
    assert choose(machine, request_).name == name


@pytest.mark.parametrize(
    ("machine", "request_", "message"),
    [
        (Machine(), Request(cluster="kind"), "kind is not on PATH; https://kind"),
        (Machine(tools=("kind",)), Request(cluster="kind"), "needs Docker or Podman, and no container engine"),
        (Machine(tools=("k3d",), silent=("docker",)), Request(cluster="k3d"), "its engine does not answer"),
        (CLUSTERS, Request(cluster="context"), "needs CONTEXT=…; the contexts of your kubeconfig: theirs"),
        (CLUSTERS, Request(context="other", image="i"), "no context 'other'; the contexts of your kubeconfig: theirs"),
        (CLUSTERS, Request(context="theirs"), "IMAGE=… names one that it can pull"),
        (Machine(contexts=("theirs",)), Request(context="theirs", registry="r"), "building the image needs Docker"),
        (CLUSTERS, Request(context="theirs", cluster="kind"), "leave one out"),
        (CLUSTERS, Request(context="theirs", image="i", registry="r"), "leave one out"),
        (CLUSTERS, Request(cluster="kind", image="i"), "belong to CONTEXT"),
        (Machine(compiled=True, tools=("kind",), engine=DOCKER), Request(cluster="kind"), "make down"),
    ],
)
def test_a_request_that_cannot_be_met_says_what_to_do(machine: Machine, request_: Request, message: str) -> None:
    with pytest.raises(Failure, match=message):
        choose(machine, request_)


def test_the_image_of_a_context_is_named_once() -> None:
    target = Target(cluster="context", context="theirs", image="i:1")
    machine = Machine(contexts=("theirs",), target=target)
    assert choose(machine, Request(context="theirs")).target == target
    assert choose(machine, Request(context="theirs", image="i:2")).target.image == "i:2"
