"""`make supply-chain`: searches the Git history for secrets, writes bills of materials, asks for vulnerabilities."""

import json
import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from rich.console import Console

from checks.harness.tools import go_tool, output_of, python_tools
from checks.supply_chain import materials
from stack.polling import CheckFailure
from stack.settings import ROOT

_TOOLS: Final = Path(__file__).with_name("tools")
_CONFIGURATION: Final = Path(__file__).with_name("gitleaks.toml")
_BILLS: Final = ROOT / ".local" / "materials"
_SEARCHED: Final = re.compile(r"(\d+) commits scanned")
LOCKS: Final = ("requirements.lock", "service/requirements.lock")


def run(console: Console, *, audit: bool) -> bool:
    """Run the three checks; return whether no secret and no vulnerability was found.

    Args:
        console: gets the results.
        audit: whether to ask the advisory service of PyPI, which needs the internet.
    """
    problems = [f"a secret: {item}" for item in secrets(ROOT)]
    console.print(f"secrets in the Git history: {len(problems)}")
    tools = python_tools("supply-chain", _TOOLS / "python.lock")
    bills = {
        "environment": materials.environment(tools / "cyclonedx-py"),
        "service-image": materials.service_image(tools / "cyclonedx-py"),
    }
    for name, bill in bills.items():
        file = _write(name, bill)
        console.print(f"{file.relative_to(ROOT)}: {len(bill['components'])} components")
    if audit:
        vulnerabilities = [item for lock in LOCKS for item in audited(tools / "pip-audit", ROOT / lock)]
        console.print(f"known vulnerabilities in {' and '.join(LOCKS)}: {len(vulnerabilities)}")
        problems += vulnerabilities
    for problem in problems:
        console.print(f"[red]{problem}[/red]", highlight=False)
    return not problems


def secrets(repository: Path) -> list[str]:
    """Return where gitleaks has found secrets in the history, without the secrets.

    Raises:
        CheckFailure: it did not search.
    """
    gitleaks = go_tool(_TOOLS, "github.com/zricethezav/gitleaks/v8")
    with TemporaryDirectory() as directory:
        report = Path(directory) / "report.json"
        options = [f"--config={_CONFIGURATION}", "--redact", "--no-banner", "--no-color", "--exit-code=0"]
        options += ["--report-format=json", f"--report-path={report}"]
        command: list[str | Path] = [gitleaks, "git", *options, repository]
        log = subprocess.run(command, capture_output=True, text=True).stderr
        if not (searched := _SEARCHED.search(log)) or not int(searched[1]):
            raise CheckFailure(f"gitleaks has searched no commit: {log[-2000:]}")
        leaks = json.loads(report.read_text())
    return [f"{leak['RuleID']} in {leak['File']}, line {leak['StartLine']} of {leak['Commit'][:9]}" for leak in leaks]


def audited(pip_audit: Path, lock: Path) -> list[str]:
    """Return the known vulnerabilities of a lock file's packages.

    Raises:
        CheckFailure: the advisory service does not answer, or not about each package.
    """
    options = ["--require-hashes", "--disable-pip", "--format=json", "--progress-spinner=off"]
    return vulnerabilities(output_of([pip_audit, *options, f"--requirement={lock}"]))


def vulnerabilities(output: str) -> list[str]:
    """Read the JSON of pip-audit.

    Raises:
        CheckFailure: it has left packages out, which it does silently if the service does not know them.
    """
    packages = json.loads(output)["dependencies"]
    if skipped := [package for package in packages if "skip_reason" in package]:
        reason = skipped[0]["skip_reason"]
        raise CheckFailure(f"{len(skipped)} of {len(packages)} packages could not be audited: {reason}")
    return [
        f"{package['name']} {package['version']}: {item['id']}, mended in {', '.join(item['fix_versions']) or 'none'}"
        for package in packages
        for item in package["vulns"]
    ]


def _write(name: str, bill: dict[str, Any]) -> Path:
    _BILLS.mkdir(parents=True, exist_ok=True)
    file = _BILLS / f"{name}.cdx.json"
    file.write_text(json.dumps(bill, indent=1, sort_keys=True) + "\n")
    return file
