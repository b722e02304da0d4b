"""Serves the component `TracingStack` to Pulumi programs in any language; Pulumi starts this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pulumi.provider.experimental import component_provider_host

from contracts.metadata import PROJECT
from stack.package import TracingStack

if __name__ == "__main__":
    component_provider_host(name=PROJECT, components=[TracingStack])
