"""Lists the objects of the stack's namespace as plain JSON; of those that may be secret or large, only the metadata."""

from typing import Any, Final

import kubernetes

from contracts.metadata import PART_OF, Manifest
from stack.kubernetes.client import REQUEST_SECONDS

_PART_OF: Final = "app.kubernetes.io/part-of"
# Without the data of a ConfigMap or Secret.
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


def list_objects(
    client: kubernetes.client.ApiClient, namespace: str, api: str, resource: str, *, metadata_only: bool = False
) -> list[Manifest]:
    """Return the objects of one kind.

    Args:
        client: reaches the API server.
        namespace: of the objects.
        api: prefix of the API's path, for example `/apis/apps/v1`.
        resource: name of the kind in the path, for example `deployments`.
        metadata_only: whether the API server leaves out all but the metadata.

    Raises:
        ApiException: the API server refuses.
    """
    request = client.param_serialize(
        "GET",
        f"{api}/namespaces/{namespace}/{resource}",
        header_params={"Accept": _METADATA_ONLY if metadata_only else "application/json"},
        auth_settings=["BearerToken"],
    )
    response = client.call_api(*request, _request_timeout=REQUEST_SECONDS)
    response.read()
    answer: dict[str, Any] = client.response_deserialize(response, {"200": "object"}).data
    return list(answer["items"] or ())


def stack_pods(client: kubernetes.client.ApiClient, namespace: str) -> list[Manifest]:
    """Return the pods of the stack; those of others in its namespace are left out.

    Raises:
        ApiException: the API server refuses.
    """
    pods = list_objects(client, namespace, "/api/v1", "pods")
    return [pod for pod in pods if (pod["metadata"].get("labels") or {}).get(_PART_OF) == PART_OF]
