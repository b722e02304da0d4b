"""Asks registries for the digests of tags: the API of the OCI distribution specification."""

import hashlib
import re
from typing import Final

import httpx

from local.failure import Failure

_TYPES: Final = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
"""An index comes first: its digest holds for every architecture."""
_HOSTS: Final = {"docker.io": "registry-1.docker.io"}
_CHALLENGE: Final = re.compile(r'(\w+)="([^"]*)"')


def digest(reference: str, client: httpx.Client) -> str:
    """Return the digest of what a tag names now ("sha256:…"), computed from the content.

    Args:
        reference: with host and tag, like `docker.io/grafana/loki:3.7.8`. Registries of this machine are asked
            without TLS.
        client: for the requests.

    Raises:
        Failure: the registry does not answer, does not have it, or contradicts itself.
    """
    host, _, rest = reference.partition("/")
    repository, _, tag = rest.rpartition(":")
    is_here = host.partition(":")[0] in ("localhost", "127.0.0.1")
    url = f"{'http' if is_here else 'https'}://{_HOSTS.get(host, host)}/v2/{repository}/manifests/{tag}"
    try:
        answer = client.get(url, headers={"Accept": _TYPES})
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            token = _token(answer.headers.get("www-authenticate", ""), client)
            answer = client.get(url, headers={"Accept": _TYPES, "Authorization": f"Bearer {token}"})
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise Failure(f"{reference}: {error}") from error
    computed = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    if (named := answer.headers.get("docker-content-digest", computed)) != computed:
        raise Failure(f"{reference}: the registry names {named}, and sends what has {computed}")
    return computed


def _token(challenge: str, client: httpx.Client) -> str:
    """Get the token for a caller without an account, as the registry's challenge says."""
    fields = dict(_CHALLENGE.findall(challenge))
    parameters = {name: fields[name] for name in ("service", "scope") if name in fields}
    if "realm" not in fields:
        raise Failure(f"the registry asks for credentials in a way that is not supported: {challenge!r}")
    answer = client.get(fields["realm"], params=parameters).raise_for_status().json()
    return str(answer.get("token") or answer["access_token"])
