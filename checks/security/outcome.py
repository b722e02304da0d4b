"""The result of an attack."""

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """How often an attack was tried, and how often it was successful."""

    attack: str
    count: int = 0
    successes: list[str] = field(default_factory=list)
    """What each success was; of the first few."""
    notes: str = ""
    """What else was measured."""

    def add(self, success: str | None) -> None:
        """Count an attempt; success: what the attacker got, None if nothing."""
        self.count += 1
        if success is not None:
            self.successes.append(success)

    @property
    def is_harmless(self) -> bool:
        """Whether it was tried, and no attempt was successful."""
        return self.count > 0 and not self.successes
