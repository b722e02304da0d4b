"""Adds Collectors while they are busy, and removes none."""

import pulumi
import pulumi_kubernetes as k8s

from stack.components.collector.settings import Autoscaling
from stack.components.shared.object_meta import object_meta
from stack.components.shared.pod import Pod

autoscaling = k8s.autoscaling.v2


def autoscaler(
    pod: Pod,
    namespace: pulumi.Input[str],
    min_replicas: int,
    settings: Autoscaling,
    opts: pulumi.ResourceOptions,
) -> None:
    """Create the autoscaler of a StatefulSet."""
    cpu = autoscaling.MetricSpecArgs(
        type="Resource",
        resource=autoscaling.ResourceMetricSourceArgs(
            name="cpu",
            target=autoscaling.MetricTargetArgs(type="Utilization", average_utilization=settings.cpu_percent),
        ),
    )
    autoscaling.HorizontalPodAutoscaler(
        pod.name,
        metadata=object_meta(pod.name, namespace, component=pod.component),
        spec=autoscaling.HorizontalPodAutoscalerSpecArgs(
            scale_target_ref=autoscaling.CrossVersionObjectReferenceArgs(
                api_version="apps/v1", kind="StatefulSet", name=pod.name
            ),
            min_replicas=min_replicas,
            max_replicas=settings.max_replicas,
            metrics=[cpu],
            behavior=autoscaling.HorizontalPodAutoscalerBehaviorArgs(
                # The spans in a removed pod's queue would stay on its volume until the pod comes back.
                scale_down=autoscaling.HPAScalingRulesArgs(select_policy="Disabled")
            ),
        ),
        opts=opts,
    )
