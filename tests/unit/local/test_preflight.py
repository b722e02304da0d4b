"""Every problem is found, all at once, and a good machine has none."""

from pathlib import Path
from typing import Any

import pytest

from local import firewall, network
from local.nodes import first_nodes
from local.preflight import GIB, Disk, Facts, problems


def test_a_good_machine_has_no_problems() -> None:
    assert problems(Facts()) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"system": "Darwin"}, ["Darwin", "needs Linux"]),
        ({"machine": "riscv64"}, ["riscv64", "x86_64"]),
        ({"root": False}, ["root", "sudo"]),
        ({"run": Path("/" + "x" * 90)}, ["too long", "WEB_CRAWL_TRACING_HOME"]),
        ({"to_build": True, "go": None}, ["Go", "not on PATH", "1.26.0"]),
        ({"to_build": True, "go": "go1.21.3"}, ["Go is 1.21.3", "1.26.0"]),
        ({"to_build": True, "modules_error": "no answer within 30 s"}, ["modules", "no answer", "GOPROXY"]),
        ({"missing": ["runc"], "apt": False}, ["runc", "no apt-get"]),
        ({"disks": [Disk(path=Path("/data"), have=GIB // 2, need=8 * GIB)]}, ["/data", "0.5 GiB free", "8 GiB"]),
        ({"memory": GIB}, ["1.0 GiB of memory", "4.0 GiB"]),
        ({"memory": 4 * GIB, "nodes": 3}, ["4.0 GiB of memory", "5.0 GiB"]),
        ({"taken": {("0.0.0.0", 6443): "k3s (pid 7)"}}, ["6443", "kube-apiserver", "k3s (pid 7)"]),
        ({"taken": {("127.0.0.1", 10257): "other (pid 8)"}}, ["10257", "other (pid 8)"]),
        ({"hierarchies": []}, ["control groups"]),
        ({"kernel_errors": {"bridges": "Operation not permitted"}}, ["bridges", "not permitted", "--privileged"]),
        ({"other_kubernetes": True}, ["another Kubernetes"]),
        ({"routes": ["10.244.0.0/16 dev tun0"]}, ["10.244.0.0/16 dev tun0"]),
    ],
)
def test_a_problem_is_named_with_what_to_do(facts: dict[str, Any], words: list[str]) -> None:
    (problem,) = problems(Facts(**facts))
    assert all(word in problem for word in words), problem


def test_all_problems_come_at_once() -> None:
    assert len(problems(Facts(root=False, memory=GIB, to_build=True, go=None))) == 3


def test_what_needs_no_compiler_works_without_one() -> None:
    assert problems(Facts(to_build=False, go=None)) == []


def test_a_port_at_an_address_that_is_not_ours_is_no_problem() -> None:
    assert problems(Facts(taken={("192.0.2.1", 6443): "other (pid 9)"})) == []


def test_a_machine_without_the_network_programs_is_looked_at_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert firewall.foreign_chains() == []
    assert network.foreign_routes(first_nodes(3)) == []
