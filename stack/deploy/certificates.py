"""Manifests with the certificates of the stack's authority, for tools that apply a repository of manifests.

No such tool derives certificates from the seed. So they are rendered, in a file of their own: it has private keys, and
must be encrypted before it is committed.
"""

from collections.abc import Sequence
from typing import Final

from contracts import secret_keys
from contracts.metadata import Manifest
from stack.deploy.render import render
from stack.deploy.secret_values import is_reference, problem_of
from stack.errors import DeployError
from stack.settings import load
from stack.settings.missing_secrets import needed_secrets

CERTIFICATE_TYPE: Final = "kubernetes.io/tls"
"""Type of the Secrets with certificates that the stack's own authority signs."""


def render_with_certificates(stack: str) -> tuple[Sequence[Manifest], Sequence[Manifest]]:
    """Return the manifests of a stack without secrets, and the Secrets with its certificates.

    The certificates are those of this period; the first rendering after it has others.

    Args:
        stack: its name.

    Raises:
        SettingsError: the stack does not exist, or its settings cannot be used.
        DeployError: the stack has no certificates, or the seed of its authority is not in the environment, or is none.
    """
    needed = needed_secrets(load(stack))
    if secret_keys.AUTHORITY_SEED not in needed:
        raise DeployError(f"stack {stack} has no certificates: nothing of `encryption` is on")
    variable = secret_keys.variable(secret_keys.AUTHORITY_SEED)
    seed = secret_keys.from_environment(secret_keys.AUTHORITY_SEED)
    if seed is None:
        raise DeployError(
            f"{variable} is not set, from which certificates are derived. Make it once, and keep it where your other "
            f"secrets are: openssl rand -hex 24. Then, in a shell: read -rs {variable}; export {variable}"
        )
    if is_reference(seed) or (problem := problem_of(secret_keys.AUTHORITY_SEED, seed)):
        reason = "is a reference to a secret, not its value" if is_reference(seed) else problem
        raise DeployError(f"{variable}, from which certificates are derived, {reason}. Nothing was written")
    references = {key: _reference(key) for key in needed}
    manifests = render(stack, {**references, secret_keys.AUTHORITY_SEED: seed})
    certificates = [manifest for manifest in manifests if manifest.get("type") == CERTIFICATE_TYPE]
    return [_without_seed(manifest) for manifest in manifests if manifest not in certificates], certificates


def _reference(key: str) -> str:
    return f"${{{key}}}"


def _without_seed(manifest: Manifest) -> Manifest:
    """Return the stack's Secret with a reference to the seed, as it has to the others; any other object as it is."""
    if (manifest["kind"], manifest["metadata"]["name"]) != ("Secret", secret_keys.SECRET):
        return manifest
    reference = _reference(secret_keys.AUTHORITY_SEED)
    return {**manifest, "stringData": {**manifest["stringData"], secret_keys.AUTHORITY_SEED: reference}}
