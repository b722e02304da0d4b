"""Reads the panels and their targets in Grafana's JSON model of a dashboard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.panels import NORMALLY_EMPTY

Model = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel; `place` is x, y, width and height in Grafana's grid of 24 columns."""

    dashboard: str
    title: str
    type: str
    description: str
    place: tuple[int, int, int, int]
    targets: Sequence[Model]
    model: Model

    @property
    def normally_empty(self) -> str | None:
        """The reason why the panel may be empty; None if it must not be."""
        last = self.description.rpartition("\n")[2]
        return last.removeprefix(NORMALLY_EMPTY).strip() if last.startswith(NORMALLY_EMPTY) else None

    @property
    def question(self) -> str:
        """The description without that reason."""
        return self.description.partition(f"\n{NORMALLY_EMPTY}")[0]

    @property
    def defaults(self) -> Model:
        """The defaults of its fields: unit, thresholds, decimals."""
        defaults: Model = self.model.get("fieldConfig", {}).get("defaults", {})
        return defaults


def panels(model: Model) -> list[Panel]:
    """All panels of a dashboard, those in folded rows included, row headings too, from top to bottom."""
    result = []
    for panel in model.get("panels", []):
        place = panel["gridPos"]
        result.append(
            Panel(
                dashboard=model["title"],
                title=panel.get("title", ""),
                type=panel["type"],
                description=panel.get("description", ""),
                place=(place["x"], place["y"], place["w"], place["h"]),
                targets=[
                    {"datasource": panel.get("datasource"), **target}
                    for target in panel.get("targets", [])
                    if not target.get("hide")
                ],
                model=panel,
            )
        )
        if panel["type"] == "row":
            result += panels({"title": model["title"], "panels": panel.get("panels", [])})
    return result
