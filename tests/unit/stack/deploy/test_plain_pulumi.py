"""What plain Pulumi needs of the repository, without its CLI: packages, and the options of the provider."""

import re

import yaml

from stack.settings import ROOT
from tests.support.program import STACKS, program


def test_pulumi_install_installs_the_lock_into_the_environment_of_make() -> None:
    """`pulumi install` reads the file of this name, and creates the virtual environment that the project names."""
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines == ["-r requirements.lock"]
    lock = (ROOT / "requirements.lock").read_text()
    assert re.search(r"^pulumi==", lock, re.MULTILINE)
    assert re.search(r"^pulumi-kubernetes==", lock, re.MULTILINE)
    runtime = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["runtime"]
    assert runtime["options"] == {"toolchain": "pip", "virtualenv": ".venv"}
    assert "\nVENV := .venv\n" in (ROOT / "Makefile").read_text()


def test_the_program_alone_declares_the_options_of_the_provider() -> None:
    """An option in the environment of `make deploy` would be a change of the provider for plain `pulumi preview`."""
    (provider,) = [item for item in program(STACKS[0]).resources if item.typ == "pulumi:providers:kubernetes"]
    declared = {"enableServerSideApply", "enablePatchForce", "upsertExistingObjects"}
    assert {name for name in declared if str(provider.inputs[name]).lower() == "true"} == declared
    sources = [path for folder in ("stack", "cli", "local") for path in (ROOT / folder).rglob("*.py")]
    assert not [path for path in sources if "PULUMI_K8S_" in path.read_text()]
