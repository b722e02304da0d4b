"""A command that only reads settings starts quickly: it imports neither Pulumi nor the Kubernetes client."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["stack.settings", "stack.settings.origins", "stack.settings.monitoring"])
def test_the_settings_import_no_pulumi(module: str) -> None:
    program = f"import {module}, sys; print({{'pulumi', 'pulumi_kubernetes', 'kubernetes'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"
