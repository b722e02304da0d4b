"""The checks of declared objects against a cluster, before a deployment by either engine. They change nothing."""

from collections.abc import Callable, Sequence

import kubernetes

from contracts.metadata import Manifest
from stack.deploy.brokers import require_broker_steps
from stack.deploy.cluster_requirements import metrics_warnings, require_kinds
from stack.deploy.encryption_steps import check_encryption_steps
from stack.deploy.queues import check_queues
from stack.deploy.shared_metrics import shared_metrics_warnings
from stack.kubernetes.dry_run import require_accepted
from stack.kubernetes.volume_growth import Growth


def check_cluster(
    client: kubernetes.client.ApiClient,
    namespace: str,
    manifests: Sequence[Manifest],
    *,
    on_warning: Callable[[str], None],
    leave_queues: bool,
    lenient: bool = False,
) -> list[Growth]:
    """Checks that the cluster knows the kinds of the objects, and accepts each of them.

    Args:
        client: From `connect`.
        namespace: The stack's namespace, which need not exist.
        manifests: The declared objects.
        on_warning: Takes a line about what works, and needs attention.
        leave_queues: Accept Collectors that are removed with items in their queues.
        lenient: Accept what the user has no right to ask, as in a preview.

    Returns:
        The volumes to enlarge; after that, the API server accepts all objects.

    Raises:
        DeployError: The cluster cannot run what is declared. Nothing was changed.
    """
    require_kinds(client, manifests)
    require_broker_steps(client, namespace, manifests)
    for line in (
        *check_encryption_steps(client, namespace, manifests),
        *metrics_warnings(client, manifests),
        *shared_metrics_warnings(client, namespace, manifests),
        *check_queues(client, namespace, manifests, leave_queues=leave_queues),
    ):
        on_warning(line)
    return require_accepted(client, namespace, manifests, lenient=lenient)
