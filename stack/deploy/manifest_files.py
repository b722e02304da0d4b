"""`./wct render`: writes the manifests of a stack."""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from contracts.metadata import Manifest
from stack.deploy import policy
from stack.deploy.argo_rollouts import with_rollouts
from stack.deploy.certificates import CERTIFICATE_TYPE, render_with_certificates
from stack.deploy.render import as_yaml, render
from stack.errors import DeployError
from stack.settings import load


def run(
    stack: str, output: Path | None = None, *, certificates: Path | None = None, argo_rollouts: bool = False
) -> None:
    """The command: writes the manifests of a stack to a file, or to standard output.

    Args:
        stack: its name.
        output: the file; None is standard output.
        certificates: a second file, for the Secrets with the certificates; None leaves references in their place.
        argo_rollouts: whether the services are Rollouts of Argo Rollouts instead of Deployments.

    Raises:
        SettingsError: The stack does not exist, or its settings cannot be used.
        PolicyError: It declares what no stack may have; nothing was written.
        DeployError: Argo Rollouts cannot roll this stack out, or the certificates cannot be made.
    """
    if output and certificates and output.resolve() == certificates.resolve():
        raise DeployError(f"--output and --certificates are the same file {output}: each needs one of its own")
    settings = load(stack)
    manifests, issued = render_with_certificates(stack) if certificates else (render(stack), [])
    policy.require_compliance([*manifests, *issued])
    if argo_rollouts:
        manifests = with_rollouts(manifests, settings)
    _write(manifests, output)
    if certificates:
        _write(issued, certificates, is_private=True)
    elif any(manifest.get("type") == CERTIFICATE_TYPE for manifest in manifests):
        print(
            "for review alone: references are in the place of certificates, which no tool fills in; with "
            "--certificates FILE they are written",
            file=sys.stderr,
        )


def _write(manifests: Sequence[Manifest], output: Path | None, *, is_private: bool = False) -> None:
    text = as_yaml(manifests)
    if output is None:
        sys.stdout.write(text)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    if is_private:
        _write_private(output, text)
    else:
        output.write_text(text)
    print(f"{output}: {len(manifests)} objects")


def _write_private(output: Path, text: str) -> None:
    """Writes a new file that replaces the old one: who has the old one open could read the keys."""
    if output.exists() and not output.is_file():  # a pipe or a device
        output.write_text(text)
        return
    target = output.resolve()
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # for the owner alone
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink()
        raise
