"""What `make doctor` prints of a machine, from facts."""

import pytest

from contracts.versions import KAFKA_PREVIOUS
from local.clusters.choice import Machine, Request, choose
from local.clusters.doctor import Examination, duration, required_images, rows
from local.clusters.engine import Engine
from local.images.catalogue import CATALOGUE
from local.preflight import Facts, problems

DOCKER = Engine(program="docker", version="28.2.2")


def examination(machine: Machine, compiled: Facts, to_make: tuple[str, ...] = ()) -> Examination:
    return Examination(
        machine=machine,
        choice=choose(machine, Request()),
        compiled=compiled,
        problems=problems(compiled),
        to_make=to_make,
        engine="Pulumi 3.260.0",
    )


def test_the_images_of_the_stack_are_required_and_no_other() -> None:
    required = required_images()
    assert {"kafka", "postgres", "collector", "service", "prometheus"} <= set(required)
    assert KAFKA_PREVIOUS not in {CATALOGUE[name].reference() for name in required}, "only `make ha` uses it"
    assert "jaeger" not in required, "it is made only where Tempo cannot be had"


@pytest.mark.parametrize(
    ("machine", "compiled", "to_make", "expected"),
    [
        (Machine(), Facts(to_build=True), (), "up to 8 minutes"),
        (Machine(), Facts(), ("kafka",), "up to 8 minutes"),
        (Machine(), Facts(), (), "about 1 minute"),
        (Machine(engine=DOCKER, tools=("kind",)), Facts(system="Darwin"), (), "minutes at first: kind pulls"),
    ],
)
def test_the_duration(machine: Machine, compiled: Facts, to_make: tuple[str, ...], expected: str) -> None:
    assert duration(examination(machine, compiled, to_make)).startswith(expected)


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (Machine(), "install Docker or Podman and install one of kind, k3d, minikube"),
        (Machine(silent=("docker",)), "start docker and install one of kind, k3d, minikube"),
        (Machine(silent=("podman",), tools=("kind",)), "start podman"),
        (Machine(engine=DOCKER), "install one of kind, k3d, minikube"),
        (Machine(engine=DOCKER, tools=("kind",)), "none"),
    ],
)
def test_other_ways_name_what_is_missing(machine: Machine, expected: str) -> None:
    assert dict(rows(examination(machine, Facts(root=False, go=None))))["other ways"] == expected
