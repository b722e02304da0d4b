"""The real engine: Pulumi's Automation API over its CLI, where that can be had."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml
from pulumi import automation as auto

from contracts import secret_keys
from stack.deploy.plain_pulumi import LOOKED
from stack.kubernetes.apply import DeployError
from stack.settings import LOCAL_CONTEXT, PROJECT, ROOT, Settings, effective_config, stack_file

_INSTALL_HOST: Final = "get.pulumi.com"
_PROVIDER: Final = "kubernetes"
_SAID: Final = 2000  # characters of a failed command's output


def find(say: Callable[[str], None]) -> auto.PulumiCommand | None:
    """A Pulumi CLI that can run the program, installed if there is none and its site is reached.

    Raises:
        DeployError: there is one, and it cannot be used.
    """
    if shutil.which("pulumi"):
        try:
            command = auto.PulumiCommand()
        except (auto.InvalidVersionError, OSError, subprocess.CalledProcessError) as error:
            raise DeployError(f"the Pulumi CLI on PATH cannot be used: {error}") from None
    else:
        try:
            socket.create_connection((_INSTALL_HOST, 443), timeout=3).close()
        except OSError:
            say("no Pulumi CLI on PATH, and its download site is not reached")
            return None
        try:
            command = auto.PulumiCommand.install()
        except Exception as error:
            say(f"the Pulumi CLI could not be installed: {error}")
            return None
    if not _has_provider(command.command):
        say(f"the Pulumi CLI {command.version} has no kubernetes provider, and the download site is not reached")
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
class Engine:
    """Pulumi's Automation API, set up for one stack."""

    stack: auto.Stack
    file: Path
    """The stack's configuration."""

    def up(self, *, refresh: bool) -> None:
        """Brings the stack to what the program says, with the CLI's output where everybody sees it.

        Args:
            refresh: looks first at what has become of the objects.

        Raises:
            DeployError: it failed; what the CLI says of it was printed.
        """
        arguments = ["up", "--yes", "--skip-preview", "--stack", self.stack.name, "--config-file", str(self.file)]
        with _named("up", shown=True):
            # `Stack.up` would ask for outputs and history afterwards, which takes three more processes and 1.2 s.
            self._run(*arguments, *(["--refresh"] if refresh else []), shown=True)

    def take_up_again(self) -> None:
        """After an update that ended without a word: its lock is taken away, and its last steps are looked up."""
        with _named("refresh", shown=True):
            self.stack.cancel()
            self.stack.refresh(clear_pending_creates=True, config_file=str(self.file), show_secrets=False, **_SHOWN)

    def destroy(self, targets: list[str] | None, *, unprotect: bool) -> None:
        """Removes the resources with these URNs, or all; with `unprotect`, also those that are protected."""
        with _named("destroy", shown=True):
            if unprotect:
                self._run("state", "unprotect", "--all", "--yes", "--stack", self.stack.name)
            self.stack.destroy(target=targets, config_file=str(self.file), show_secrets=False, **_SHOWN)

    def remove_secret(self, key: str) -> None:
        """Takes a value out of the configuration."""
        with _named("config rm"):
            self._run(
                *("config", "rm", f"{PROJECT}:{key}", "--stack", self.stack.name, "--config-file", str(self.file))
            )

    def set_secret(self, key: str, value: str) -> None:
        """Encrypts a value of the configuration.

        `Stack.set_config` would put it on a command line, where everybody on the machine can read it.
        """
        workspace = self.stack.workspace
        done = subprocess.run(
            [
                workspace.pulumi_command.command,
                *("config", "set", "--secret", f"{PROJECT}:{key}", "--stack", self.stack.name),
                *("--config-file", str(self.file), "--non-interactive"),
            ],
            cwd=workspace.work_dir,
            env={**os.environ, **workspace.env_vars},
            input=value,
            text=True,
        )
        if done.returncode != 0:
            raise DeployError(f"`pulumi config set {key}` failed with exit code {done.returncode}; see above")

    def resources(self) -> list[dict[str, Any]]:
        """The stack's state: its resources as Pulumi exports them, secrets encrypted (`export_stack` shows them)."""
        with _named("stack export"):
            exported = self._run("stack", "export", "--stack", self.stack.name).stdout
        found: list[dict[str, Any]] = json.loads(exported)["deployment"].get("resources") or []
        return found

    def _run(self, *arguments: str, shown: bool = False) -> auto.CommandResult:
        workspace = self.stack.workspace
        show = (_print, _print_error) if shown else (None, None)
        return workspace.pulumi_command.run(list(arguments), workspace.work_dir, workspace.env_vars, *show)


def _print(line: str) -> None:
    print(line, flush=True)


def _print_error(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


_SHOWN: Final[Mapping[str, Any]] = {"on_output": _print, "on_error": _print_error}


@contextlib.contextmanager
def _named(what: str, *, shown: bool = False) -> Iterator[None]:
    """Errors of the CLI as ours; what it said is a part of them unless it was shown already."""
    try:
        yield
    except auto.ConcurrentUpdateError:
        raise DeployError(
            "another update of this stack runs. If it was killed, `pulumi cancel` takes its lock away"
        ) from None
    except auto.CommandError as error:
        said = "; see above" if shown else f": {str(error).strip()[-_SAID:]}"
        raise DeployError(f"`pulumi {what}` failed{said}") from None


def prepare(command: auto.PulumiCommand, stack: str, settings: Settings, *, create: bool) -> Engine | None:
    """The engine with a stack selected; None if there is no such stack and none is to be made.

    Raises:
        DeployError: the CLI failed.
    """
    # What exists in the namespace is ours (see `apply.refuse_foreign`): it is updated, whoever has written it last.
    environment = {"PULUMI_K8S_UPSERT_EXISTING_OBJECTS": "true", "PULUMI_K8S_ENABLE_PATCH_FORCE": "true", LOOKED: "1"}
    file = stack_file(stack)
    interrupted = False
    if settings.cluster.context == LOCAL_CONTEXT:
        file = _local(environment, stack, settings)
        interrupted = was_interrupted(file.parent, stack)
    # A new stack's salt is written to the configuration in the folder; no option names another file.
    workspace = auto.LocalWorkspace(work_dir=str(file.parent), env_vars=environment, pulumi_command=command)
    with _named("stack select"):
        try:
            made = auto.Stack.create_or_select(stack, workspace) if create else auto.Stack.select(stack, workspace)
        except auto.StackNotFoundError:
            return None
    workspace.work_dir = str(ROOT)
    engine = Engine(stack=made, file=file)
    if interrupted:
        engine.take_up_again()
    return engine


def up(
    command: auto.PulumiCommand,
    stack: str,
    settings: Settings,
    secret_values: Mapping[str, str],
    more: Mapping[str, Any] | None = None,
    *,
    forget: Collection[str] = (),
    take_over: bool,
    refresh: bool,
) -> None:
    """`pulumi up`, with the output of the CLI.

    Args:
        command: the CLI.
        stack: its name.
        settings: the stack's.
        secret_values: a value for each of `secret_keys.GENERATED`; used if the stack has none yet, or a new one is set.
        more: configuration over that of the stack's file, for this update alone.
        forget: secrets that are taken out.
        take_over: server-side apply deployed last. The local stack's configuration is this program's own, so there all
            of `secret_values` count then, and no others; elsewhere it is its users', and what they have set counts.
        refresh: somebody else has changed the objects since Pulumi did: look first at what has become of them.

    Raises:
        DeployError: the CLI failed; it has said why.
    """
    engine = prepare(command, stack, settings, create=True)
    assert engine
    renew = take_over and settings.cluster.context == LOCAL_CONTEXT
    present = (yaml.safe_load(engine.file.read_text()) or {}).get("config", {})
    for key, value in secret_values.items():
        if renew or f"{PROJECT}:{key}" not in present or secret_keys.from_environment(key):
            engine.set_secret(key, value)
    for key in [key for key in secret_keys.OPTIONAL if key not in secret_values] if renew else forget:
        if f"{PROJECT}:{key}" in present:
            engine.remove_secret(key)
    if more:
        document = yaml.safe_load(engine.file.read_text())
        over = ROOT / ".local" / engine.file.name
        over.parent.mkdir(exist_ok=True)
        over.write_text(yaml.safe_dump({**document, "config": document["config"] | dict(more)}))
        engine = replace(engine, file=over)
    engine.up(refresh=refresh)


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
        if key in {f"{PROJECT}:{secret}" for secret in secret_keys.ALL}
    }
    document = {**kept, "config": effective_config(stack) | encrypted}
    file.write_text(yaml.safe_dump(document))
    return file
