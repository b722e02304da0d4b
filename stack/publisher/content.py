"""What is written into Grafana: the files that the pod mounts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder of Grafana."""

    uid: str
    title: str
    dashboards: Mapping[str, Mapping[str, Any]]
    """Uid → JSON model."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """All that a stack has in Grafana."""

    folders: tuple[Folder, ...]
    datasources: tuple[Mapping[str, Any], ...]
    """As Grafana's API takes them, credentials included."""
    possible_datasources: tuple[str, ...]
    """Uids of the datasources that a stack with these names can have: those that are not declared are deleted."""

    @classmethod
    def read(cls, file: Path, environment: Mapping[str, str]) -> Self:
        """Read it.

        Args:
            file: JSON: `datasources`, `possible_datasources`, and `folders` with `uid`, `title` and `path`, the
                directory of a folder's dashboards.
            environment: the variables that `secureJsonData` refers to.
        """
        document = json.loads(file.read_text())
        return cls(
            folders=tuple(
                Folder(uid=item["uid"], title=item["title"], dashboards=_models(Path(item["path"])))
                for item in document["folders"]
            ),
            datasources=tuple(_with_credentials(item, environment) for item in document["datasources"]),
            possible_datasources=tuple(document["possible_datasources"]),
        )


def _models(directory: Path) -> dict[str, Mapping[str, Any]]:
    return {file.stem: json.loads(file.read_text()) for file in sorted(directory.glob("*.json"))}


def _with_credentials(datasource: Mapping[str, Any], environment: Mapping[str, str]) -> Mapping[str, Any]:
    fields = datasource.get("secureJsonData", {})
    filled = {key: Template(value).substitute(environment) for key, value in fields.items()}
    return {**datasource, **({"secureJsonData": filled} if filled else {})}
