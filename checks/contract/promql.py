"""Finds the series, labels and values that a PromQL query names, and which of them nothing emits."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import promql_parser
from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    Call,
    LabelModifierType,
    MatchOp,
    MatrixSelector,
    ParenExpr,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
)

Labels = frozenset[str]
LabelsOf = Callable[[str], Labels | None]
"""Name of a series → the labels that it can have; None if nothing emits it."""
ValuesOf = Callable[[str, str], frozenset[str]]
"""Name of a series, a label of it → all values that the label can have; empty if it can have any value."""

_NAME: Final = "__name__"
_EVERY_NAME: Final = ".+"
"""The label that every series has."""
_KEEP_LABELS: Final = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})
"""Aggregations whose results keep the labels of their series."""
_SET_OPERATORS: Final = frozenset({"and", "unless"})
"""Operators whose results are series of the left side."""


def unknown_values(text: str, values: frozenset[str], *, is_regex: bool) -> list[str]:
    """Return the parts of a matcher that match none of the values: the text, or the alternatives of a pattern.

    The empty text matches series without the label.
    """
    if not is_regex:
        return [] if text in values or not text else [text]
    alternatives = [text] if "(" in text else text.split("|")
    return [one for one in alternatives if one and not any(re.fullmatch(one, value) for value in values)]


class Query:
    """One query, read."""

    def __init__(
        self, text: str, labels_of: LabelsOf, values_of: ValuesOf, all_series: Callable[[], Iterator[str]]
    ) -> None:
        """Reads a query.

        Args:
            text: PromQL without variables.
            labels_of: the labels of a series.
            values_of: the values of a label.
            all_series: the names that a selector by a pattern of names can match.

        Raises:
            ValueError: the text is no PromQL.
        """
        self._labels_of = labels_of
        self._values_of = values_of
        self._all_series = all_series
        self.problems: list[str] = []
        """Series and labels that nothing emits."""
        self.series: set[str] = set()
        """Names of the series that it reads."""
        self.labels: Labels = self._read(promql_parser.parse(text))
        """Labels that its result can have."""

    def _read(self, node: Any) -> Labels:
        """The labels of the node's result; notes what its parts name and nothing emits."""
        match node:
            case VectorSelector():
                return self._select(node)
            case MatrixSelector():
                return self._select(node.vector_selector)
            case AggregateExpr():
                return self._aggregate(node)
            case Call():
                return self._call(node)
            case BinaryExpr():
                return self._combine(node)
            case ParenExpr() | SubqueryExpr() | UnaryExpr():
                return self._read(node.expr)
            case _:
                return frozenset()

    def _select(self, selector: VectorSelector) -> Labels:
        matchers = [(matcher.name, matcher.value) for matcher in selector.matchers.matchers]
        pattern = next((value for name, value in matchers if name == _NAME), selector.name or "")
        names = (
            [selector.name] if selector.name else [name for name in self._all_series() if re.fullmatch(pattern, name)]
        )
        known = [labels for name in names if (labels := self._labels_of(name)) is not None]
        if not known:
            self.problems.append(f"nothing emits {pattern}")
            return frozenset()
        # A query that counts all series uses none of them in particular.
        if pattern != _EVERY_NAME:
            self.series.update(names)
        available = frozenset[str]().union(*known)
        self._require({name for name, _ in matchers}, available, f"{pattern} has")
        for matcher in selector.matchers.matchers:
            self._check_values(matcher, names, pattern)
        return available

    def _check_values(self, matcher: Any, names: list[str], pattern: str) -> None:
        values = [self._values_of(name, matcher.name) for name in names]
        if matcher.name == _NAME or not all(values):
            return
        is_regex = matcher.op in (MatchOp.Re, MatchOp.NotRe)
        for value in unknown_values(matcher.value, frozenset[str]().union(*values), is_regex=is_regex):
            self.problems.append(f"{matcher.name} of {pattern} is never {value!r}")

    def _aggregate(self, node: AggregateExpr) -> Labels:
        available = self._read(node.expr)
        if node.modifier is None:
            return available if str(node.op) in _KEEP_LABELS else frozenset()
        labels = frozenset(node.modifier.labels)
        self._require(labels, available, "what is aggregated has")
        return labels if node.modifier.type == AggModifierType.By else available - labels

    def _call(self, node: Call) -> Labels:
        available = frozenset[str]().union(*map(self._read, node.args))
        match node.func.name:
            case "label_replace":
                # An empty source label is how a query adds a constant label.
                self._require({node.args[3].val} - {""}, available, "label_replace reads")
                return available | {node.args[1].val}
            case "label_join":
                return available | {node.args[1].val}
            case "histogram_quantile":
                return available - {"le"}
            case _:
                return available

    def _combine(self, node: BinaryExpr) -> Labels:
        left, right = self._read(node.lhs), self._read(node.rhs)
        operator, modifier = str(node.op), node.modifier
        matched: Labels = frozenset()
        added: Labels = frozenset()
        if modifier is not None:
            if modifier.matching is not None and modifier.matching.type == LabelModifierType.Include:
                matched = frozenset(modifier.matching.labels)
                self._require(matched, left & right if left and right else left | right, "both sides have")
            added = frozenset(modifier.group_labels or ())
        if operator in _SET_OPERATORS:
            return left
        return left | right | matched | added if operator == "or" or not left else left | added

    def _require(self, labels: Any, available: Labels, who: str) -> None:
        for label in sorted(set(labels) - available - {_NAME}):
            self.problems.append(f"{who} no label {label!r}")
