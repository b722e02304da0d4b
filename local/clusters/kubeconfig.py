"""The kubeconfig of the stack `local`: one context of another kubeconfig, under the name that the stack file has."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from kubernetes.config import ConfigException
from kubernetes.config.kube_config import KubeConfigMerger

from contracts.metadata import LOCAL_CONTEXT
from local.failure import Failure
from local.paths import user_home

_FILES: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
"""Entries that name a file; a relative path starts at the folder of the kubeconfig."""


def default_kubeconfig() -> str:
    """The kubeconfig files of the user, as kubectl finds them."""
    return os.environ.get("KUBECONFIG") or str(user_home() / ".kube" / "config")


def contexts(kubeconfig: str) -> tuple[str, ...]:
    """The names of the contexts in kubeconfig files; empty without a file that can be read."""
    try:
        merged = KubeConfigMerger(kubeconfig).config
        return tuple(str(item.value["name"]) for item in merged.value["contexts"]) if merged else ()
    except (ConfigException, yaml.YAMLError, OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return ()


def copy_context(kubeconfig: str, context: str, target: Path) -> None:
    """Writes a kubeconfig whose one context is that of the local stack.

    The copy does not change with the user's current context, and tools that change the user's file do not change it.

    Args:
        kubeconfig: paths of the files, separated as in $KUBECONFIG.
        context: name of a context there.
        target: the file to write; only its owner can read it, since it has the user's credentials.

    Raises:
        Failure: there is no such context, or a file is no kubeconfig.
    """
    if context not in (known := contexts(kubeconfig)):
        listed = ", ".join(known) or "none"
        raise Failure(f"there is no context {context!r} in {kubeconfig}; its contexts: {listed}")
    merged = KubeConfigMerger(kubeconfig).config.value
    chosen = _entry(merged["contexts"], context, "context")
    cluster = _entry(merged["clusters"], chosen.get("cluster"), "cluster")
    user = _entry(merged["users"], chosen["user"], "user") if chosen.get("user") else {}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": LOCAL_CONTEXT, "cluster": cluster}],
        "users": [{"name": LOCAL_CONTEXT, "user": user}],
        "contexts": [{"name": LOCAL_CONTEXT, "context": {"cluster": LOCAL_CONTEXT, "user": LOCAL_CONTEXT}}],
        "current-context": LOCAL_CONTEXT,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600)
    target.chmod(0o600)
    target.write_text(yaml.safe_dump(document))


def _entry(items: list[Any], name: object, kind: str) -> Mapping[str, Any]:
    """Returns the entry of that name, with absolute paths."""
    item = next((item for item in items if item.value["name"] == name), None)
    if item is None or not isinstance(value := item.value.get(kind), dict):
        raise Failure(f"the kubeconfig has no {kind} {name!r}, which its context names")
    folder = Path(item.path).resolve().parent
    absolute = {key: str(folder / value[key]) for key in _FILES if isinstance(value.get(key), str)}
    return {**value, **absolute}
