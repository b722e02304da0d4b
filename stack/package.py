"""The stack as one component, for Pulumi programs that create it next to their other resources, in any language."""

from collections.abc import Collection, Mapping
from typing import Any, NotRequired, TypedDict

import pulumi

from contracts import secret_keys
from contracts.metadata import PROJECT
from stack.components.cluster.provider import provider
from stack.deploy import plain_pulumi
from stack.program import build
from stack.settings import Settings, SettingsError, parse
from stack.settings.missing_secrets import commands, needed_secrets


class TracingStackArgs(TypedDict):
    settings: dict[str, Any]
    """The settings by section, as `config` of a stack file has them, without the prefix."""
    secrets: dict[str, pulumi.Input[str]]
    """The secrets by key; stack/README.md lists them."""
    kubeconfig: NotRequired[pulumi.Input[str]]
    """Content of a kubeconfig, such as the output of a cluster that the same program creates. By default the file that
    `settings.cluster.kubeconfig` names, or that the Kubernetes clients use."""


class TracingStack(pulumi.ComponentResource):
    """The web-crawl task-manager with its traces, metrics, logs, dashboards and alerts, on one Kubernetes cluster.

    `settings.cluster.context` names the context of the kubeconfig; the current context is never used. The names of
    the Kubernetes objects are fixed, so a program creates one component for each Pulumi stack.
    """

    namespace: pulumi.Output[str]
    """Namespace of the stack."""
    urls: pulumi.Output[dict[str, str]]
    """URLs in the cluster: gateway, prometheus, and, if they exist, traces, logs, alertmanager and grafana."""

    def __init__(self, name: str, args: TracingStackArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"{PROJECT}:index:TracingStack", name, None, opts)
        kubeconfig = args.get("kubeconfig")
        # The cluster of a kubeconfig that another resource outputs may not exist yet.
        settings = _checked(name, args, ask_cluster=kubeconfig is None)
        secrets = {key: pulumi.Output.secret(value) for key, value in args["secrets"].items()}
        child = pulumi.ResourceOptions(parent=self)
        outputs = build(
            settings,
            secrets,
            pulumi.ResourceOptions(parent=self, provider=provider(settings.cluster, kubeconfig, child)),
        )
        self.namespace = outputs.pop("namespace")
        self.urls = pulumi.Output.all(**outputs)
        self.register_outputs({"namespace": self.namespace, "urls": self.urls})


def _checked(name: str, args: TracingStackArgs, *, ask_cluster: bool) -> Settings:
    config = {f"{PROJECT}:{key}": value for key, value in _whole_numbers(args["settings"]).items()}
    settings = parse(config, f"{name}: settings")
    _require_known(name, args["secrets"])
    _require_all(name, settings, args["secrets"])
    placeholders = {f"{PROJECT}:{key}": f"${{{key}}}" for key in args["secrets"]}
    plain_pulumi.check({**config, **placeholders}, ask_cluster=ask_cluster)
    return settings


def _require_known(name: str, secrets: Collection[str]) -> None:
    """Refuse a mistyped key: the program would not use its value."""
    if unknown := sorted(set(secrets) - set(secret_keys.ALL)):
        known = ", ".join(secret_keys.ALL)
        raise SettingsError(f"{name}: secrets: unknown key: {', '.join(unknown)}. The keys are {known}.")


def _require_all(name: str, settings: Settings, secrets: Collection[str]) -> None:
    """Refuse settings that need secrets which the program does not pass."""
    if missing := [key for key in needed_secrets(settings) if key not in secrets]:
        lines = [
            f"{name}: secrets: missing: {', '.join(missing)}. Nothing was changed. Add each of them to `secrets`, such "
            f'as {missing[0]}=config.require_secret("{missing[0]}"), and set it:',
            *commands(pulumi.get_stack(), missing),
        ]
        raise SettingsError("\n  ".join(lines))


def _whole_numbers(value: Any) -> Any:
    """Return a value with whole numbers as integers: between programs and components, all numbers are floats."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case Mapping():
            return {key: _whole_numbers(item) for key, item in value.items()}
        case list():
            return [_whole_numbers(item) for item in value]
        case _:
            return value
