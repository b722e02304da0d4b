"""Deployments and StatefulSets, each with its ServiceAccount and disruption budget."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints
from contracts.metadata import TEMPORARY_TRACKS, labels, selector
from stack.components.shared import availability
from stack.components.shared.object_meta import object_meta
from stack.components.shared.pod import Pod, template

core, apps = k8s.core.v1, k8s.apps.v1

WORKLOAD_TYPES: Final = ("kubernetes:apps/v1:Deployment", "kubernetes:apps/v1:StatefulSet")
"""Pulumi's types of the workloads."""


def deployment(
    pod: Pod,
    namespace: pulumi.Input[str],
    replicas: int,
    opts: pulumi.ResourceOptions,
    all_pods: int | None = None,
    annotations: Mapping[str, str] | None = None,
) -> apps.Deployment:
    """Create a Deployment that always has as many ready pods as declared while it is updated.

    The selector of the stable track has no track: selectors are immutable, and releases without tracks have deployed
    it. It still does not take over the other pods: a ReplicaSet knows its Deployment by the owner reference.

    Args:
        pod: what runs.
        namespace: of the stack.
        replicas: of this Deployment.
        opts: of the resources.
        all_pods: pods of all tracks, which share a disruption budget; `replicas` if there is one track.
        annotations: of the Deployment.
    """
    is_temporary = pod.track in TEMPORARY_TRACKS
    if not is_temporary and (all_pods or replicas) > 1:
        availability.disruption_budget(pod.name, pod.component, namespace, opts)
    pod_selector = pod.own_selector if is_temporary else selector(pod.name)
    pod_template = template(
        pod,
        _service_account(pod, namespace, opts),
        alone=False,  # during an update the new pod is ready before the old one ends
        tolerations=availability.leave_lost_node(),
    )
    return apps.Deployment(
        pod.workload,
        metadata=object_meta(pod.workload, namespace, component=pod.component, annotations=annotations),
        spec=apps.DeploymentSpecArgs(
            replicas=replicas,
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=pod_selector),
            strategy=apps.DeploymentStrategyArgs(
                type="RollingUpdate",
                rolling_update=apps.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0),
            ),
            revision_history_limit=3,
            template=pod_template,
        ),
        opts=opts,
    )


@dataclass(frozen=True, kw_only=True)
class Volume:
    """The persistent volume of each pod of a StatefulSet."""

    size: str
    storage_class: str | None


def stateful_set(
    pod: Pod,
    namespace: pulumi.Input[str],
    volume: Volume,
    opts: pulumi.ResourceOptions,
    *,
    replicas: int = 1,
    autoscaled: bool = False,
) -> apps.StatefulSet:
    """Create a StatefulSet whose pods each have a volume, mounted at `pod.storage.data`.

    Args:
        pod: what runs.
        namespace: of the stack.
        volume: of each pod.
        opts: of the resources.
        replicas: number of pods; with `autoscaled`, the number that a new StatefulSet starts with.
        autoscaled: whether an autoscaler decides on the number of pods.
    """
    alone = replicas == 1 and not autoscaled
    # Without the field, the API server would set its default: one pod.
    autoscaler_opts = pulumi.ResourceOptions(ignore_changes=["spec.replicas"] if autoscaled else None)
    if not alone:
        availability.disruption_budget(pod.name, pod.component, namespace, opts)
    return apps.StatefulSet(
        pod.name,
        metadata=object_meta(pod.name, namespace, component=pod.component),
        spec=apps.StatefulSetSpecArgs(
            replicas=replicas,
            service_name=endpoints.pods(pod.name),
            # Started one after the other, the pods would take the sum of all start times.
            pod_management_policy="Parallel",
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector(pod.name)),
            revision_history_limit=3,
            template=template(pod, _service_account(pod, namespace, opts), alone=alone),
            volume_claim_templates=[_claim(pod, volume)],
            # The default, written down since the stack relies on it: the data survives the StatefulSet.
            persistent_volume_claim_retention_policy=apps.StatefulSetPersistentVolumeClaimRetentionPolicyArgs(
                when_deleted="Retain", when_scaled="Retain"
            ),
        ),
        opts=pulumi.ResourceOptions.merge(opts, autoscaler_opts),
    )


def _claim(pod: Pod, volume: Volume) -> core.PersistentVolumeClaimArgs:
    return core.PersistentVolumeClaimArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(name="data", labels=labels(pod.name, pod.component)),
        spec=core.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=volume.storage_class,
            resources=core.VolumeResourceRequirementsArgs(requests={"storage": volume.size}),
        ),
    )


def _service_account(pod: Pod, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """Create the workload's own ServiceAccount, so that a right of one workload is no other's; return its name.

    Baseline and canary use the account of the stable pods.
    """
    if pod.track in TEMPORARY_TRACKS:
        return pulumi.Output.from_input(pod.name)
    account = core.ServiceAccount(
        pod.name,
        metadata=object_meta(pod.name, namespace, component=pod.component, annotations=pod.identity),
        # No pod calls the API server.
        automount_service_account_token=False,
        opts=opts,
    )
    return account.metadata.name
