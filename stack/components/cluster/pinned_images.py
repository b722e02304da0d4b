"""Names the images of all pods by tag and digest, so that a registry cannot serve another image under the same tag."""

from typing import Any

import pulumi

from contracts.digests import with_digest
from stack.components.cluster.pod_defaults import Transformation
from stack.components.shared.workload import WORKLOAD_TYPES


def pinned_images(digests: dict[str, str]) -> Transformation:
    """Return the transformation of all workloads.

    digests: by reference; an image without one keeps its tag alone.
    """

    def transform(args: pulumi.ResourceTransformationArgs) -> None:
        if args.type_ in WORKLOAD_TYPES:
            workload: Any = args.props["spec"]
            pod = workload.template.spec
            for container in (*(pod.init_containers or ()), *pod.containers):
                container.image = with_digest(container.image, digests)

    return transform
