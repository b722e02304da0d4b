"""The Kubernetes provider, with the context that the settings name; the current context is never used."""

import pulumi
import pulumi_kubernetes as k8s

from stack.kubernetes.settings import Cluster


def provider(
    cluster: Cluster, kubeconfig: pulumi.Input[str] | None = None, opts: pulumi.ResourceOptions | None = None
) -> k8s.Provider:
    """Create the Kubernetes provider for the stack's context.

    Args:
        cluster: the section of the settings.
        kubeconfig: content of a kubeconfig, in place of the file that the settings name.
        opts: of the provider.
    """
    return k8s.Provider(
        "cluster",
        kubeconfig=kubeconfig or cluster.kubeconfig,
        context=cluster.context,
        enable_server_side_apply=True,
        # The names are fixed, so changed ConfigMaps are updated in place; a checksum annotation replaces their pods.
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
        # The namespace is the stack's own (`require_own_namespace`), so the provider may update every object in it:
        # also one that server-side apply created, and fields of another field manager.
        upsert_existing_objects=True,
        enable_patch_force=True,
        opts=opts,
    )
