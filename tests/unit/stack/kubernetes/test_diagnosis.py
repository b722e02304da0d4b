"""What keeps a pod from starting, and what passes by itself."""

from datetime import UTC, datetime

import kubernetes
import pytest

from stack.kubernetes.diagnosis import PodState, pod_state

_NAME = "gateway"


def _pod(reason: str, message: str) -> kubernetes.client.V1Pod:
    waiting = kubernetes.client.V1ContainerStateWaiting(reason=reason, message=message)
    status = kubernetes.client.V1ContainerStatus(
        name=_NAME,
        image="image",
        image_id="",
        ready=False,
        restart_count=0,
        state=kubernetes.client.V1ContainerState(waiting=waiting),
    )
    return kubernetes.client.V1Pod(
        metadata=kubernetes.client.V1ObjectMeta(
            name=f"{_NAME}-0", labels={"app.kubernetes.io/name": _NAME}, creation_timestamp=datetime.now(UTC)
        ),
        status=kubernetes.client.V1PodStatus(phase="Pending", container_statuses=[status]),
    )


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
