"""What changed last in the cluster: releases, changes by hand, the revisions of the workloads, restarts."""

from itertools import chain

import kubernetes

from stack.explain.change import Change
from stack.explain.restarts import restarts
from stack.explain.revisions import revisions
from stack.explain.writes import stopped_workloads, writes


def stack_changes(client: kubernetes.client.ApiClient, namespace: str) -> list[Change]:
    """Return the changes that the API server still knows, the newest first. It knows no deleted object.

    Raises:
        ApiException: the API server refuses.
    """
    of_workloads = list(revisions(client, namespace))
    others = (
        writes(client, namespace, of_workloads),
        stopped_workloads(client, namespace),
        restarts(client, namespace),
    )
    return sorted(chain(of_workloads, *others), key=lambda change: -change.seconds)
