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
    sources = (writes, stopped_workloads, revisions, restarts)
    changes = chain.from_iterable(source(client, namespace) for source in sources)
    return sorted(changes, key=lambda change: -change.seconds)
