"""Whether the API server accepts what is declared, asked before anything is changed.

Every object is applied as a dry run, so that the API server itself decides: immutable fields, quotas, admission
policies, objects that are being deleted. The only refused change that a deployment can carry out is a larger volume.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import kubernetes
from kubernetes.dynamic.exceptions import ApiException

from contracts.metadata import Manifest
from stack.errors import DeployError
from stack.kubernetes.failures import api_message
from stack.kubernetes.keys import object_name
from stack.kubernetes.namespace import namespace_key
from stack.kubernetes.objects import Objects
from stack.kubernetes.refusal import explain_refusal
from stack.kubernetes.volume_growth import Growth, resize_problem

AT_ONCE: Final = 8
"""Requests to the API server at the same time."""
_NO_DRY_RUN: Final = "does not support dry run"


def require_accepted(
    client: kubernetes.client.ApiClient,
    namespace: str,
    manifests: Sequence[Manifest],
    *,
    lenient: bool = False,
    outcome: str = "Nothing was changed.",
) -> list[Growth]:
    """Raises an error if the API server refuses an object.

    Args:
        client: From `connect`.
        namespace: The stack's namespace.
        manifests: The declared objects.
        lenient: Accept what the user has no right to ask, as in a preview.
        outcome: What was changed before this, for the message.

    Returns:
        The volumes to enlarge; after that, the API server accepts all objects.

    Raises:
        DeployError: Names each refused object, the field, its value in the cluster and its declared value, and what
            to do. Nothing was changed.
    """
    objects = Objects(client, namespace)
    try:
        existing = objects.get(namespace_key(namespace))
    except ApiException as error:
        if error.status != 403:
            raise
        if lenient:
            return []
        message = f"the right to read namespace {namespace} is missing: {api_message(error)}. {outcome}"
        raise DeployError(message) from None
    if existing is None:
        return []  # a dry run needs the namespace, and without it none of the objects exists

    def check(manifest: Manifest) -> Growth | list[str]:
        try:
            return _dry_run(objects, manifest, lenient=lenient)
        except ApiException as error:
            return [] if lenient and error.status == 403 else [f"{object_name(manifest)}: {api_message(error)}"]

    problems = [_deletion(existing)] if existing["metadata"].get("deletionTimestamp") else []
    growths: list[Growth] = []
    with ThreadPoolExecutor(AT_ONCE) as threads:
        results = list(threads.map(check, [] if problems else manifests))
    for result in results:
        if isinstance(result, Growth):
            growths.append(result)
            if problem := resize_problem(client, namespace, result):
                problems.append(problem)
        else:
            problems += result
    if problems:
        raise DeployError("\n  ".join([f"the cluster would refuse what is declared. {outcome}", *problems]))
    return growths


def _dry_run(objects: Objects, manifest: Manifest, *, lenient: bool) -> Growth | list[str]:
    """Applies an object as a dry run.

    Returns:
        Its problems; or the volumes to enlarge, if nothing else is refused.
    """
    try:
        applied = objects.apply(manifest, dry_run=True)
    except ApiException as error:
        # A webhook without support for dry runs cannot answer; the real request shows its answer.
        if _NO_DRY_RUN in api_message(error) or (lenient and error.status == 403):
            return []
        return explain_refusal(objects, manifest, error)
    return [_deletion(applied)] if applied["metadata"].get("deletionTimestamp") else []


def _deletion(live: Manifest) -> str:
    """Names an object that is being deleted, and what holds it up."""
    finalizers = list(live["metadata"].get("finalizers") or [])
    if live["kind"] == "Namespace":
        finalizers += (live.get("spec") or {}).get("finalizers") or []
    conditions = [
        condition["message"]
        for condition in (live.get("status") or {}).get("conditions") or []
        if condition["status"] == "True" and condition.get("message")
    ]
    holders = "; ".join(map(str, [*finalizers, *conditions]))
    held = f", held by {holders}" if holders else ""
    return f"{object_name(live)}: is being deleted{held}. Deploy again when it is gone"
