"""The example programs of the Pulumi package, with the real Pulumi CLI where it is on PATH."""

import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from contracts import secret_keys
from stack.components.encryption.settings import Encryption
from stack.settings import ROOT
from tests.support.clone import copy_checkout
from tests.support.locked_environment import make_environment
from tests.support.programs import require_program
from tests.support.pulumi_cli import pulumi_environment

_EXAMPLES = ROOT / "package" / "examples"
_LOCK = ROOT / "package" / "requirements.lock"


class Program:
    """A copy of an example, with the package of this checkout and a state of its own."""

    def __init__(self, example: str, directory: Path) -> None:
        for program in ("pulumi", "pulumi-resource-kubernetes", "pulumi-language-python"):
            require_program(program)
        self.path = directory / "program"
        shutil.copytree(_EXAMPLES / example, self.path, ignore=shutil.ignore_patterns(".venv", "sdks", "node_modules"))
        project = yaml.safe_load((self.path / "Pulumi.yaml").read_text())
        project["packages"]["web-crawl-tracing"] = str(_package(directory))
        (self.path / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        self._environment = pulumi_environment(directory)

    def run(self, *arguments: str) -> str:
        """Run `pulumi`, and return what it prints."""
        process = subprocess.run(
            ["pulumi", "--non-interactive", *arguments],
            cwd=self.path,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return process.stdout + process.stderr


def _package(directory: Path) -> Path:
    """Return a copy of the checkout's package, with the packages of its own lock file alone."""
    checkout = directory / "checkout"
    copy_checkout(checkout)
    make_environment(checkout / "package" / ".venv", _LOCK)
    return checkout / "package"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    example = Program("python", tmp_path)
    make_environment(example.path / ".venv", _LOCK)
    return example


def test_the_package_loads_with_the_packages_of_its_lock_file_alone(tmp_path: Path) -> None:
    make_environment(tmp_path / "venv", _LOCK)
    code = "import stack.package; import pytest"
    process = subprocess.run(
        [tmp_path / "venv" / "bin" / "python", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert process.stderr.strip().endswith("No module named 'pytest'"), process.stderr


def test_the_example_creates_the_stack_and_names_a_mistake(program: Program) -> None:
    # The CLI downloads a plugin that a package needs, also if the plugin is on PATH.
    plugin = shutil.which("pulumi-resource-kubernetes") or ""
    program.run("plugin", "install", "resource", "kubernetes", version("pulumi-kubernetes"), "--file", plugin)
    printed = program.run("install")
    assert "error" not in printed, printed
    program.run("stack", "init", "dev")
    program.run("config", "set", "context", "dev")
    encryption = Encryption(kafka=True, postgres=True, services=True, telemetry=True)
    for key in (*secret_keys.GENERATED, *encryption.needed_secrets):
        program.run("config", "set", "--secret", key, f"value-of-{key}")
    printed = program.run("preview")
    assert "web-crawl-tracing:index:TracingStack" in printed, printed
    assert re.search(r"\+ \d\d to create", printed), printed
    assert "value-of-" not in printed

    main = program.path / "__main__.py"
    main.write_text(main.read_text().replace('"replicas": 2', '"replicaz": 2'))
    printed = program.run("preview")
    assert "collector.replicaz: unknown key; did you mean collector.replicas?" in printed, printed
