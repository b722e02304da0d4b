"""The ledger of the coverage check: an entry for each operation, and the result of all of them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from checks.coverage.compare import Comparison
from checks.coverage.operations import Operation
from contracts.errors import UserError


class LedgerError(UserError):
    """The ledger cannot be kept. This is no statement about the traces."""


@dataclass(kw_only=True, eq=False)
class Entry:
    """An operation, from its start to the comparison of its trace."""

    operation: Operation
    started: float
    """By the monotonic clock, as the other times."""
    effect_seen: float | None = None
    next_lookup: float = 0.0
    lookups: int = 0
    spans: int = 0
    comparison: Comparison | None = None
    failure: str | None = None

    @property
    def is_covered(self) -> bool:
        """Whether its trace is complete and correctly linked."""
        return self.failure is None and self.comparison is not None and self.comparison.is_complete

    def problems(self) -> str:
        """The problems of its trace."""
        comparison = self.comparison or Comparison()
        return "; ".join(
            [
                *([self.failure] if self.failure else []),
                *(f"missing: {span}" for span in comparison.missing),
                *comparison.wrong,
            ]
        )


@dataclass(kw_only=True)
class Outcome:
    """The ledger at the end of a run."""

    entries: list[Entry] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> list[Entry]:
        """Operations whose trace differs from the expected one."""
        return [entry for entry in self.entries if not entry.is_covered]

    @property
    def percent(self) -> float:
        """Share of the operations that are covered; 100 only if all are."""
        return 100.0 * (len(self.entries) - len(self.failed)) / max(1, len(self.entries))

    def kinds(self) -> list[tuple[str, int, int]]:
        """(kind, operations, covered operations) of each kind."""
        total = Counter(entry.operation.kind for entry in self.entries)
        covered = Counter(entry.operation.kind for entry in self.entries if entry.is_covered)
        return [(kind, count, covered[kind]) for kind, count in sorted(total.items())]


def describe(failed: Sequence[Entry], limit: int = 20) -> Iterator[str]:
    """A line for each operation that is not covered: the operation, its trace id, and what is wrong."""
    for entry in failed[:limit]:
        operation = entry.operation
        yield f"operation {operation.number} ({operation.kind}), trace {operation.trace_id}: {entry.problems()}"
    if len(failed) > limit:
        yield f"and {len(failed) - limit} more"
