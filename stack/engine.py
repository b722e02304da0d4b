"""The real engine: the Pulumi CLI, where it can be had."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, kw_only=True)
class Cli:
    """The Pulumi CLI, set up for one stack."""

    command: str
    stack: str
    environment: Mapping[str, str]
    file: Path
    """The stack's configuration."""

    @property
    def config(self) -> list[str]:
        """Options of all commands that read the configuration."""
        return ["--stack", self.stack, "--config-file", str(self.file), "--non-interactive"]

    def run(self, *arguments: str, text: str | None = None) -> None:
        """Runs a command, with its output where everybody sees it; DeployError if it fails."""
        done = self._call(arguments, text=text)
        if done.returncode != 0:
            raise DeployError(f"`pulumi {' '.join(arguments[:2])}` failed with exit code {done.returncode}; see above")

    def select(self, *, create: bool) -> bool:
        """Whether the stack is there, or was made."""
        # A new stack's salt is written to the configuration in the folder; no option names another file.
        arguments = ["stack", "select", self.stack, "--non-interactive", *(["--create"] if create else [])]
        done = self._call(arguments, folder=self.file.parent, capture=not create)
        if done.returncode == 0:
            return True
        if create or "no stack named" not in done.stderr:
            raise DeployError(f"`pulumi stack select` failed with exit code {done.returncode}: {done.stderr or ''}")
        return False

    def resources(self) -> list[dict[str, Any]]:
        """The stack's state: its resources as Pulumi exports them, with secrets encrypted."""
        done = self._call(["stack", "export", "--stack", self.stack, "--non-interactive"], capture=True)
        if done.returncode != 0:
            raise DeployError(f"`pulumi stack export` failed with exit code {done.returncode}: {done.stderr}")
        found: list[dict[str, Any]] = json.loads(done.stdout)["deployment"].get("resources") or []
        return found

    def _call(
        self, arguments: Sequence[str], *, text: str | None = None, folder: Path = ROOT, capture: bool = False
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.command, *arguments],
            cwd=folder,
            env=dict(self.environment),
            input=text,
            text=True,
            capture_output=capture,
        )


def prepare(command: str, stack: str, settings: Settings, *, create: bool) -> Cli | None:
    """The CLI with a stack selected; None if there is no such stack and none is to be made.

    Raises:
        DeployError: the CLI failed.
    """
    environment = dict(os.environ)
    file = stack_file(stack)
    interrupted = False
    if settings.cluster.context == LOCAL_CONTEXT:
        file = _local(environment, stack, settings)
        interrupted = was_interrupted(file.parent, stack)
    # What exists in the namespace is ours (see `apply.refuse_foreign`): it is updated, whoever has written it last.
    environment |= {"PULUMI_K8S_UPSERT_EXISTING_OBJECTS": "true", "PULUMI_K8S_ENABLE_PATCH_FORCE": "true"}
    cli = Cli(command=command, stack=stack, environment=environment, file=file)
    if not cli.select(create=create):
        return None
    if interrupted:
        cli.run("cancel", stack, "--yes", "--non-interactive")
        cli.run("refresh", "--yes", "--skip-preview", "--clear-pending-creates", *cli.config)
    return cli


def up(
    command: str,
    stack: str,
    settings: Settings,
    secret_values: Mapping[str, str],
    more: Mapping[str, Any] | None = None,
    *,
    refresh: bool,
) -> None:
    """`pulumi up`, with the output of the CLI.

    Args:
        command: path of the CLI.
        stack: its name.
        settings: the stack's.
        secret_values: a value for each of `secrets.KEYS`; used where the stack has none yet, or a new one was given.
        more: configuration over that of the stack's file, for this update alone.
        refresh: somebody else has changed the objects since Pulumi did: look first at what has become of them.

    Raises:
        DeployError: the CLI failed; it has said why.
    """
    cli = prepare(command, stack, settings, create=True)
    assert cli
    present = (yaml.safe_load(cli.file.read_text()) or {}).get("config", {})
    for key, value in secret_values.items():
        if f"{PROJECT}:{key}" not in present or secrets.given(key):
            cli.run("config", "set", "--secret", f"{PROJECT}:{key}", *cli.config, text=value)
    if more:
        document = yaml.safe_load(cli.file.read_text())
        over = ROOT / ".local" / cli.file.name
        over.parent.mkdir(exist_ok=True)
        over.write_text(yaml.safe_dump({**document, "config": document["config"] | dict(more)}))
        cli = replace(cli, file=over)
    cli.run("up", "--yes", "--skip-preview", *(["--refresh"] if refresh else []), *cli.config)


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
