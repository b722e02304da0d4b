"""Transformations of Grafana that turn the frames of several queries into one table with named fields."""

from collections.abc import Iterable

from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, MatcherConfig


def value_field(ref_id: str, queries: int) -> str:
    """Return the field in which Grafana puts the values of a query in table format.

    Args:
        ref_id: letter of the query.
        queries: number of the panel's queries.
    """
    return "Value" if queries == 1 else f"Value #{ref_id}"


def merge(ref_ids: Iterable[str]) -> DataTransformerConfig:
    """Return the transformation that joins the rows of some queries; they join where all common fields are equal."""
    pattern = f"/^({'|'.join(ref_ids)})$/"
    return DataTransformerConfig(
        id_val="merge", filter_val=MatcherConfig(id_val="byRefId", options=pattern), options={}
    )


def copy_number(source: str, name: str, factor: int = 1) -> DataTransformerConfig:
    """Return the transformation that adds a multiple of a number field under another name.

    `organize` changes only the title of a field. A panel that looks for a field by its name, as the node graph does,
    does not find it.
    """
    return _calculated(name, {"matcher": {"id": "byName", "options": source}}, "*", {"fixed": str(factor)})


def complement(source: str, name: str) -> DataTransformerConfig:
    """Return the transformation that adds 1 minus a number field under another name."""
    return _calculated(name, {"fixed": "1"}, "-", {"matcher": {"id": "byName", "options": source}})


def _calculated(name: str, left: object, operator: str, right: object) -> DataTransformerConfig:
    return DataTransformerConfig(
        id_val="calculateField",
        options={
            "mode": "binary",
            "alias": name,
            "binary": {"left": left, "operator": operator, "right": right},
            # Otherwise Grafana first tries to join all frames by their time.
            "timeSeries": False,
        },
    )
