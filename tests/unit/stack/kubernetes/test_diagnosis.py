"""What keeps a pod from starting, and what passes by itself."""

import pytest

from contracts.metadata import Manifest
from stack.kubernetes.diagnosis import PodState, is_outdated, pod_state

_NAME = "gateway"


def _pod(reason: str, message: str, *, log: str = "") -> Manifest:
    status = {
        "name": _NAME,
        "restartCount": 9 if log else 0,
        "state": {"waiting": {"reason": reason, "message": message}},
        "lastState": {"terminated": {"exitCode": 1, "message": log}},
    }
    return {
        "metadata": {
            "name": f"{_NAME}-0",
            "labels": {"app.kubernetes.io/name": _NAME},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "status": {"phase": "Pending", "containerStatuses": [status]},
    }


@pytest.mark.parametrize(
    ("reason", "message", "expected"),
    [
        ("ContainerCreating", "", PodState("pending")),
        ("ErrImagePull", "not found", PodState("ErrImagePull: not found", cannot_start=True)),
        (
            "CreateContainerConfigError",
            'secret "stack-secrets" not found',
            PodState('CreateContainerConfigError: secret "stack-secrets" not found', cannot_start=True),
        ),
        (
            "CreateContainerConfigError",
            "failed to sync secret cache: timed out waiting for the condition",
            PodState("pending"),
        ),
    ],
)
def test_only_what_does_not_pass_by_itself_ends_a_deployment(reason: str, message: str, expected: PodState) -> None:
    assert pod_state([_pod(reason, message)], _NAME) == expected


def test_the_end_of_a_log_is_quoted_without_its_secrets() -> None:
    state = pod_state([_pod("CrashLoopBackOff", "", log="OSError: no route\npassword=hunter22\n")], _NAME)
    assert state.text.startswith("gateway exited 1: OSError: no route\n")
    assert "hunter22" not in state.text


def test_a_line_that_the_kubelet_has_cut_is_left_out() -> None:
    whole = f"password=hunter22{'x' * 3000}\nValueError: the end"
    state = pod_state([_pod("CrashLoopBackOff", "", log=whole[-2048:])], _NAME)
    assert state.text == "gateway exited 1: ValueError: the end"
    uncut = "x" * 1000
    assert pod_state([_pod("CrashLoopBackOff", "", log=uncut)], _NAME).text.endswith(uncut)


@pytest.mark.parametrize(
    ("revision", "observed", "expected"),
    [("new", 2, False), ("old", 2, True), ("old", 1, True), ("new", 1, True)],
)
def test_a_pod_that_its_stateful_set_will_replace_is_outdated(revision: str, observed: int, expected: bool) -> None:
    pod = _pod("CrashLoopBackOff", "", log="exits")
    pod["metadata"]["labels"]["controller-revision-hash"] = revision
    pod["metadata"]["ownerReferences"] = [{"kind": "StatefulSet", "name": _NAME}]
    workload = {
        "kind": "StatefulSet",
        "metadata": {"name": _NAME, "generation": 2},
        "status": {"observedGeneration": observed, "updateRevision": "new"},
    }
    assert is_outdated(pod, [{**workload, "kind": "Deployment"}, workload]) is expected
    assert not is_outdated(_pod("CrashLoopBackOff", "", log="exits"), [workload])
