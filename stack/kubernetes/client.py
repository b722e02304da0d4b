"""The client of a stack's cluster, and what every request to it shares."""

from typing import Final

import kubernetes

from contracts.metadata import LOCAL_CONTEXT
from stack.errors import DeployError
from stack.kubernetes.failures import api_message
from stack.kubernetes.settings import Cluster

REQUEST_SECONDS: Final = 30
"""Timeout of one request to the API server."""


def connect(cluster: Cluster) -> kubernetes.client.ApiClient:
    """Makes a client for the context that the settings name.

    Raises:
        DeployError: The kubeconfig does not have the context, or the cluster does not answer or refuses the user.
    """
    file = f" of {cluster.kubeconfig}" if cluster.kubeconfig else ""
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
        raise DeployError(
            f"kube context {cluster.context!r}{file} cannot be used: {str(error).rstrip('.')}. {remedy}"
        ) from None
    client = kubernetes.client.ApiClient(configuration)
    try:
        kubernetes.client.VersionApi(client).get_code(_request_timeout=5)
    except kubernetes.client.ApiException as error:
        raise DeployError(f"kube context {cluster.context!r}{file} cannot be used: {api_message(error)}") from None
    except Exception as error:
        reason = getattr(error, "reason", error)  # that of urllib3, without the number of attempts
        raise DeployError(f"the cluster of context {cluster.context!r}{file} does not answer: {reason}") from None
    return client
