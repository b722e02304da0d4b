"""The files that a newcomer and the tools of a forge read first name what exists."""

import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml

from contracts.versions import IMAGES
from stack.settings import ROOT
from tests.support.language import files

README = (ROOT / "README.md").read_text()
NOTICE = (ROOT / "NOTICE").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGES = [path for path in files() if path.suffix == ".md"]

# Of each image the name that NOTICE has, and its licence.
_LICENCES = {
    "kafka": ("Apache Kafka", "Apache-2.0"),
    "postgres": ("PostgreSQL", "PostgreSQL"),
    "collector": ("OpenTelemetry Collector", "Apache-2.0"),
    "tempo": ("Grafana Tempo", "AGPL-3.0-only"),
    "jaeger": ("Jaeger", "Apache-2.0"),
    "prometheus": ("Prometheus", "Apache-2.0"),
    "alertmanager": ("Alertmanager", "Apache-2.0"),
    "grafana": ("Grafana", "AGPL-3.0-only"),
    "loki": ("Grafana Loki", "AGPL-3.0-only"),
    "python": ("Python", "PSF-2.0"),
    "proxy": ("HAProxy", "GPL-2.0-or-later"),
}


def test_the_licence_is_the_whole_apache_licence() -> None:
    # The text of https://www.apache.org/licenses/LICENSE-2.0.txt.
    digest = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == digest
    assert (ROOT / "lean_tracing" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("image", IMAGES)
def test_the_notice_names_each_image_and_its_licence(image: str) -> None:
    name, licence = _LICENCES[image]
    assert re.search(rf"^  {name} +{re.escape(licence)} ", NOTICE, re.MULTILINE)


def test_the_notice_names_each_package_of_the_services_image() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "service" / "requirements.lock").read_text(), re.MULTILINE))
    listed = set(re.findall(r"[a-z][a-z0-9-]+", NOTICE[NOTICE.index("Python packages") :]))
    assert locked
    assert locked <= listed, locked - listed


def test_the_notice_names_each_library_of_kafkas_image() -> None:
    section = NOTICE[NOTICE.index("Java libraries") : NOTICE.index("Go modules are")]
    listed = tuple(re.findall(r"\b(?:[a-z0-9_-]+\.)+[a-z0-9_-]+|commons-[a-z]+", section.partition("\n")[2]))
    locks = (ROOT / "local" / "images" / "kafka").rglob("kafka.lock")
    jars = {line.split()[1] for lock in locks for line in lock.read_text().splitlines()}
    assert len(jars) > 50
    assert not {jar for jar in jars if not jar.startswith(listed)}
    assert not {name for name in listed if name.count(".") > 1 and not any(jar.startswith(name) for jar in jars)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^a-z0-9_ -]", "", title.lower()).replace(" ", "-") for title in titles}, target


def test_the_index_of_the_pages_names_each_page() -> None:
    listed = set(re.findall(r"\]\(([^)#]+)\)", (ROOT / "docs" / "README.md").read_text()))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} <= listed


def test_the_list_of_the_make_targets_fits_into_a_wide_terminal() -> None:
    texts = re.findall(r"^[a-z-]+:.*## (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert len(texts) > 30
    assert not [text for text in texts if len(text) > 102]


def test_the_first_screen_has_a_picture_three_commands_and_a_trace() -> None:
    screen = README[: README.index("\n## ")]
    assert "docs/picture.svg" in screen
    assert len(re.findall(r"^make [a-z]+ +#", screen, re.MULTILINE)) == 3
    assert "SERVER POST /api/tasks" in screen
    assert "**For whom:**" in screen


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_what_this_repository_has(workflow: Path) -> None:
    document = yaml.safe_load(workflow.read_text())
    commands = [step["run"] for job in document["jobs"].values() for step in job["steps"] if "run" in step]
    targets = {match for command in commands for match in re.findall(r"^make (\S+)", command)}
    assert targets or ".ci/run" in commands
    assert targets <= TARGETS


def test_pre_commit_runs_the_checks_of_ci() -> None:
    document = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    entries = [hook["entry"] for repository in document["repos"] for hook in repository["hooks"]]
    assert {"make lint", "make types"} <= set(entries)
    assert re.search(r"^check: lint types$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_renovate_reads_every_image_of_the_versions_file() -> None:
    (manager,) = json.loads((ROOT / "renovate.json").read_text())["customManagers"]
    (pattern,) = (each.strip("/") for each in manager["managerFilePatterns"])
    assert re.search(pattern, "contracts/versions.py")
    (expression,) = manager["matchStrings"]
    images = re.finditer(expression.replace("(?<", "(?P<"), (ROOT / "contracts" / "versions.py").read_text())
    assert {f"{image['depName']}:{image['currentValue']}" for image in images} == set(IMAGES.values())


def test_the_devcontainer_prepares_the_environment_of_make() -> None:
    document = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert "make .venv/installed" in document["postCreateCommand"]
