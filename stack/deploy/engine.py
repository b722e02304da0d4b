"""The Pulumi engine: one stack through Pulumi's Automation API."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml
from pulumi import automation as auto

from contracts import secret_keys
from contracts.metadata import LOCAL_CONTEXT
from stack.deploy.checkpoint import has_stale_lock, repair_checkpoint
from stack.deploy.inline_program import serve_program
from stack.deploy.plain_pulumi import checked
from stack.deploy.render import run_program
from stack.errors import DeployError
from stack.settings import PROJECT, ROOT, Settings, effective_config, stack_file

_OUTPUT_CHARACTERS: Final = 2000
"""Length of the part of a failed command's output that an error repeats, in characters."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A stack that is selected."""

    stack: auto.Stack
    file: Path
    """The stack's configuration."""

    def up(self, *, refresh: bool) -> None:
        """Updates the stack, and prints the CLI's output.

        Args:
            refresh: Read the objects' state from the cluster first.

        Raises:
            DeployError: The update failed; the CLI's message was printed.
        """
        arguments = ["up", "--yes", "--skip-preview", "--stack", self.stack.name, "--config-file", str(self.file)]
        with _command_errors("up", printed=True), serve_program(run_checked_program) as client:
            self._run(*arguments, *client, *(["--refresh"] if refresh else []), printed=True)

    def recover(self) -> None:
        """Recovers from a killed update: removes its lock, and reads the state of its resources from the cluster."""
        with _command_errors("refresh", printed=True):
            self.stack.cancel()
            self.stack.refresh(clear_pending_creates=True, config_file=str(self.file), show_secrets=False, **_PRINTED)

    def destroy(self, targets: list[str] | None, *, unprotect: bool) -> None:
        """Removes the resources with these URNs, or all; with `unprotect`, also those that are protected."""
        with _command_errors("destroy", printed=True):
            if unprotect:
                self._run("state", "unprotect", "--all", "--yes", "--stack", self.stack.name)
            self.stack.destroy(target=targets, config_file=str(self.file), show_secrets=False, **_PRINTED)

    def remove_secret(self, key: str) -> None:
        """Removes a value from the configuration."""
        with _command_errors("config rm"):
            self._run(
                *("config", "rm", f"{PROJECT}:{key}", "--stack", self.stack.name, "--config-file", str(self.file))
            )

    def set_secret(self, key: str, value: str) -> None:
        """Writes an encrypted value to the configuration.

        `Stack.set_config` would put it on a command line, which every user of the machine can read.
        """
        workspace = self.stack.workspace
        process = subprocess.run(
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
        if process.returncode != 0:
            raise DeployError(f"`pulumi config set {key}` failed with exit code {process.returncode}; see above")

    def resources(self) -> list[dict[str, Any]]:
        """The stack's resources as Pulumi exports them, with encrypted secrets (`export_stack` decrypts them)."""
        with _command_errors("stack export"):
            exported = self._run("stack", "export", "--stack", self.stack.name).stdout
        resources: list[dict[str, Any]] = json.loads(exported)["deployment"].get("resources") or []
        return resources

    def _run(self, *arguments: str, printed: bool = False) -> auto.CommandResult:
        workspace = self.stack.workspace
        outputs = (_print, _print_error) if printed else (None, None)
        return workspace.pulumi_command.run(list(arguments), workspace.work_dir, workspace.env_vars, *outputs)


def run_checked_program() -> None:
    """Runs the project's program, which `make deploy` has checked."""
    with checked():
        run_program()


def _print(line: str) -> None:
    print(line, flush=True)


def _print_error(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


_PRINTED: Final[Mapping[str, Any]] = {"on_output": _print, "on_error": _print_error}


@contextlib.contextmanager
def _command_errors(command: str, *, printed: bool = False) -> Iterator[None]:
    """Turns errors of the CLI into `DeployError`, with the CLI's output unless it was printed."""
    try:
        yield
    except auto.ConcurrentUpdateError:
        raise DeployError(
            "another update of this stack runs. If it was killed, `pulumi cancel` removes its lock"
        ) from None
    except auto.CommandError as error:
        output = "; see above" if printed else f": {str(error).strip()[-_OUTPUT_CHARACTERS:]}"
        raise DeployError(f"`pulumi {command}` failed{output}") from None


def select(command: auto.PulumiCommand, stack: str, settings: Settings, *, create: bool) -> Engine | None:
    """Selects a stack.

    Returns:
        None if the stack does not exist and `create` is false.

    Raises:
        DeployError: The CLI failed.
    """
    environment: dict[str, str] = {}
    file = stack_file(stack)
    was_killed = False
    if settings.cluster.context == LOCAL_CONTEXT:
        file = _write_local_state(environment, stack, settings)
        was_killed = has_stale_lock(file.parent)
        if was_killed:
            repair_checkpoint(file.parent, stack)
    # The CLI writes a new stack's salt to the configuration in the working directory; no option names another file.
    workspace = auto.LocalWorkspace(work_dir=str(file.parent), env_vars=environment, pulumi_command=command)
    with _command_errors("stack select"):
        try:
            selected = auto.Stack.create_or_select(stack, workspace) if create else auto.Stack.select(stack, workspace)
        except auto.StackNotFoundError:
            return None
    workspace.work_dir = str(ROOT)
    engine = Engine(stack=selected, file=file)
    if was_killed:
        engine.recover()
    return engine


def up(
    command: auto.PulumiCommand,
    stack: str,
    settings: Settings,
    secret_values: Mapping[str, str],
    extra_config: Mapping[str, Any] | None = None,
    *,
    forget: Collection[str] = (),
    take_over: bool,
    refresh: bool,
) -> None:
    """Runs `pulumi up`, and prints the CLI's output.

    Args:
        command: The CLI.
        stack: Its name.
        settings: The stack's settings.
        secret_values: Values by key; a value is used if the stack has none yet, or a new one is set in the environment.
        extra_config: Configuration over that of the stack file, for this update alone.
        forget: Secrets to remove.
        take_over: Server-side apply deployed last. The local stack's configuration belongs to this program, so it gets
            exactly `secret_values` then; the configuration of other stacks belongs to their users, and keeps theirs.
        refresh: Read the objects' state from the cluster first: something else than Pulumi changed them.

    Raises:
        DeployError: The CLI failed; its message was printed.
    """
    engine = select(command, stack, settings, create=True)
    assert engine
    if settings.cluster.context == LOCAL_CONTEXT and "PULUMI_BACKEND_URL" in os.environ:
        _print(f"  PULUMI_BACKEND_URL is not used: the state of stack {stack} is in {engine.file.parent}")
    replace_all = take_over and settings.cluster.context == LOCAL_CONTEXT
    configured = (yaml.safe_load(engine.file.read_text()) or {}).get("config", {})
    for key, value in secret_values.items():
        if replace_all or f"{PROJECT}:{key}" not in configured or secret_keys.from_environment(key):
            engine.set_secret(key, value)
    for key in [key for key in secret_keys.OPTIONAL if key not in secret_values] if replace_all else forget:
        if f"{PROJECT}:{key}" in configured:
            engine.remove_secret(key)
    if extra_config:
        engine = replace(engine, file=_write_extended_config(engine.file, extra_config))
    engine.up(refresh=refresh)


def _write_extended_config(file: Path, extra_config: Mapping[str, Any]) -> Path:
    """Writes a copy of a stack file with more configuration; returns its path."""
    document = yaml.safe_load(file.read_text())
    extended = ROOT / ".local" / file.name
    extended.parent.mkdir(exist_ok=True)
    extended.write_text(yaml.safe_dump({**document, "config": document["config"] | dict(extra_config)}))
    return extended


def _write_local_state(environment: dict[str, str], stack: str, settings: Settings) -> Path:
    """Prepares state and configuration of the local stack, next to its cluster, so that both end together.

    Returns:
        The path of the configuration.
    """
    assert settings.cluster.kubeconfig is not None
    state = Path(settings.cluster.kubeconfig).parent / "pulumi"
    state.mkdir(mode=0o700, exist_ok=True)
    environment |= {"PULUMI_BACKEND_URL": f"file://{state}", "PULUMI_CONFIG_PASSPHRASE": ""}
    environment["PULUMI_SKIP_UPDATE_CHECK"] = "true"
    shutil.copy(ROOT / "Pulumi.yaml", state)
    file = state / f"Pulumi.{stack}.yaml"
    previous: dict[str, Any] = yaml.safe_load(file.read_text()) if file.is_file() else {}
    encrypted = {
        key: value
        for key, value in previous.get("config", {}).items()
        if key in {f"{PROJECT}:{secret}" for secret in secret_keys.ALL}
    }
    document = {**previous, "config": effective_config(stack) | encrypted}
    file.write_text(yaml.safe_dump(document))
    return file
