"""The client of a stack's cluster, and what every request to it shares."""

from typing import Final

import kubernetes

from contracts.metadata import LOCAL_CONTEXT
from stack.errors import DeployError
from stack.kubernetes.settings import Cluster

REQUEST_SECONDS: Final = 30
"""Timeout of one request to the API server."""


def connect(cluster: Cluster) -> kubernetes.client.ApiClient:
    """Makes a client for the context that the settings name.

    Raises:
        DeployError: The kubeconfig does not have the context, or the cluster does not answer.
    """
    try:
        configuration = kubernetes.client.Configuration()
        kubernetes.config.load_kube_config(
            config_file=cluster.kubeconfig, context=cluster.context, client_configuration=configuration
        )
    except (kubernetes.config.ConfigException, OSError) as error:
        remedy = (
            "Run `make up` first: it makes this cluster"
            if cluster.context == LOCAL_CONTEXT
            else "`kubectl config get-contexts` lists the contexts; `cluster.context` in the stack file names the one "
            "to use"
        )
        file = f" of {cluster.kubeconfig}" if cluster.kubeconfig else ""
        raise DeployError(
            f"kube context {cluster.context!r}{file} cannot be used: {str(error).rstrip('.')}. {remedy}"
        ) from None
    client = kubernetes.client.ApiClient(configuration)
    try:
        kubernetes.client.VersionApi(client).get_code(_request_timeout=5)
    except Exception as error:
        raise DeployError(f"the cluster of context {cluster.context!r} does not answer: {error}") from None
    return client
