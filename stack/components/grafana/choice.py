"""Chooses the Grafana that the settings name."""

import pulumi

from stack.components.grafana.args import GrafanaArgs
from stack.components.grafana.component import Grafana
from stack.components.grafana.operator import GrafanaObjects
from stack.components.grafana.publisher import GrafanaPublisher
from stack.components.grafana.sidecar import SidecarFiles


def grafana(args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> pulumi.Output[str]:
    """Return the URL of Grafana; create it, or what an external one gets."""
    external = args.settings.external
    if external is None:
        return Grafana("grafana", args, opts).url
    if external.sidecar:
        SidecarFiles("grafana-files", args, opts)
    elif external.operator:
        GrafanaObjects("grafana-objects", args, opts)
    else:
        GrafanaPublisher("grafana-publisher", args, opts)
    return pulumi.Output.from_input(args.settings.url)
