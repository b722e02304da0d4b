"""The real engine: the Pulumi CLI, where it can be had."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from stack import secrets
from stack.apply import DeployError
from stack.settings import LOCAL_CONTEXT, PROJECT, ROOT, Settings, effective_config, stack_file

_INSTALL_HOST: Final = "get.pulumi.com"
_PROVIDER: Final = "kubernetes"


def find(say: Callable[[str], None]) -> str | None:
    """Path of a Pulumi CLI that can run the program, installed through the Automation API if its site is reached."""
    command = shutil.which("pulumi")
    if command is None:
        try:
            socket.create_connection((_INSTALL_HOST, 443), timeout=3).close()
        except OSError:
            say("no Pulumi CLI on PATH, and its download site is not reached")
            return None
        from pulumi.automation import PulumiCommand

        try:
            command = PulumiCommand.install().command
        except Exception as error:
            say(f"the Pulumi CLI could not be installed: {error}")
            return None
    if not _has_provider(command):
        say(f"the Pulumi CLI {command} has no kubernetes provider, and the download site is not reached")
        return None
    return command


def _has_provider(command: str) -> bool:
    """Whether the provider is installed, or can be downloaded by the CLI."""
    if shutil.which(f"pulumi-resource-{_PROVIDER}"):
        return True
    listed = subprocess.run([command, "plugin", "ls", "--json"], capture_output=True, text=True, timeout=30)
    if listed.returncode == 0 and any(plugin["name"] == _PROVIDER for plugin in json.loads(listed.stdout or "[]")):
        return True
    try:
        socket.create_connection((_INSTALL_HOST, 443), timeout=3).close()
    except OSError:
        return False
    return True


def up(
    command: str, stack: str, settings: Settings, secret_values: Mapping[str, str], *, take_over: bool = False
) -> None:
    """`pulumi up`, with the output of the CLI.

    Args:
        command: path of the CLI.
        stack: its name.
        settings: the stack's.
        secret_values: a value for each of `secrets.KEYS`; used where the stack has none yet, or a new one was given.
        take_over: server-side apply has deployed since Pulumi did: look first at what has become of the objects.

    Raises:
        DeployError: the CLI failed; it has said why.
    """
    environment = dict(os.environ)
    file = stack_file(stack)
    interrupted = False
    if settings.cluster.context == LOCAL_CONTEXT:
        file = _local(environment, stack, settings)
        interrupted = was_interrupted(file.parent, stack)
    # What exists in the namespace is ours (see `apply.refuse_foreign`): it is updated, whoever has written it last.
    environment |= {"PULUMI_K8S_UPSERT_EXISTING_OBJECTS": "true", "PULUMI_K8S_ENABLE_PATCH_FORCE": "true"}
    config = ["--stack", stack, "--config-file", str(file), "--non-interactive"]

    def run(*arguments: str, text: str | None = None, folder: Path = ROOT) -> None:
        done = subprocess.run([command, *arguments], cwd=folder, env=environment, input=text, text=True)
        if done.returncode != 0:
            raise DeployError(f"`pulumi {' '.join(arguments[:2])}` failed with exit code {done.returncode}; see above")

    # A new stack's salt is written to the configuration in the folder; no option names another file.
    run("stack", "select", "--create", stack, "--non-interactive", folder=file.parent)
    if interrupted:
        run("cancel", stack, "--yes", "--non-interactive")
        run("refresh", "--yes", "--skip-preview", "--clear-pending-creates", *config)
    present = (yaml.safe_load(file.read_text()) or {}).get("config", {})
    for key, value in secret_values.items():
        if f"{PROJECT}:{key}" not in present or secrets.given(key):
            run("config", "set", "--secret", f"{PROJECT}:{key}", *config, text=value)
    run("up", "--yes", "--skip-preview", *(["--refresh"] if take_over else []), *config)


def was_interrupted(state: Path, stack: str) -> bool:
    """Whether an update of the local stack ended without a word: its lock is there, its process is not.

    A checkpoint that was cut off while it was written gives way to the one before it. Other stacks are locked by their
    backend for a whole team, and only people can tell whether a lock is stale.
    """
    locks = list((state / ".pulumi" / "locks").rglob("*.json"))
    # A lock that was cut off while it was written has no owner any more.
    owners = [json.loads(lock.read_text())["pid"] for lock in locks if _is_json(lock)]
    if not locks or any(Path(f"/proc/{pid}").exists() for pid in owners):
        return False
    checkpoint = state / ".pulumi" / "stacks" / PROJECT / f"{stack}.json"
    attributes = checkpoint.with_name(f"{checkpoint.name}.attrs")  # its digest; a checkpoint may be without
    if not _is_json(attributes):
        attributes.unlink(missing_ok=True)
    if checkpoint.is_file() and not _is_json(checkpoint):
        attributes.unlink(missing_ok=True)
        before = checkpoint.with_name(f"{checkpoint.name}.bak")
        if _is_json(before):
            shutil.copy(before, checkpoint)
        else:
            checkpoint.unlink()  # what exists is taken over
    return True


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text())
    except (OSError, ValueError):
        return False
    return True


def _local(environment: dict[str, str], stack: str, settings: Settings) -> Path:
    """State and configuration of the local stack: beside its cluster, so that both end together."""
    assert settings.cluster.kubeconfig is not None
    state = Path(settings.cluster.kubeconfig).parent / "pulumi"
    state.mkdir(mode=0o700, exist_ok=True)
    environment |= {"PULUMI_BACKEND_URL": f"file://{state}", "PULUMI_CONFIG_PASSPHRASE": ""}
    environment["PULUMI_SKIP_UPDATE_CHECK"] = "true"
    shutil.copy(ROOT / "Pulumi.yaml", state)
    file = state / f"Pulumi.{stack}.yaml"
    kept: dict[str, Any] = yaml.safe_load(file.read_text()) if file.is_file() else {}
    encrypted = {
        key: value
        for key, value in kept.get("config", {}).items()
        if key in {f"{PROJECT}:{secret}" for secret in (*secrets.KEYS, *secrets.OPTIONAL)}
    }
    document = {**kept, "config": effective_config(stack) | encrypted}
    file.write_text(yaml.safe_dump(document))
    return file
