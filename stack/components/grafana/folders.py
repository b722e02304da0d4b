"""The ConfigMaps with the dashboards of a Grafana that the stack did not build."""

from collections.abc import Mapping
from typing import Final

import pulumi

from stack.components.grafana.args import GrafanaArgs
from stack.components.shared.object_meta import config_map

COMPONENT: Final = "dashboards"


def folder_files(
    args: GrafanaArgs,
    title: str,
    opts: pulumi.ResourceOptions,
    *,
    annotations: Mapping[str, str] | None = None,
    extra_labels: Mapping[str, str] | None = None,
) -> pulumi.Output[str]:
    """Create the ConfigMap with the dashboards of a folder, and return its name."""
    made = config_map(
        f"grafana-{title.lower()}",
        COMPONENT,
        args.namespace,
        args.content.folders()[title],
        opts,
        annotations=annotations,
        extra_labels=extra_labels,
    )
    return made.metadata.name
