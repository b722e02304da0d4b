"""How many examples Hypothesis tries: few while a person waits, more in CI, thousands at night.

`HYPOTHESIS_PROFILE` chooses the profile; `make unit`, `make test` and `make nightly` set it.
"""

import os

from hypothesis import settings

EXAMPLES = {"dev": 20, "ci": 200, "nightly": 3000}
DEFAULT = "dev"


def load_profile() -> None:
    """Registers the profiles and loads the one that the environment names."""
    for name, count in EXAMPLES.items():
        # A shared machine can make any single example slow, so no example has a deadline.
        settings.register_profile(name, max_examples=count, deadline=None)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", DEFAULT))


def is_quick() -> bool:
    """Whether a person waits for the tests: then a test of a cost takes a smaller size."""
    return settings().max_examples == EXAMPLES["dev"]


def is_nightly() -> bool:
    """Whether the tests may take their time: then they leave out nothing that others prove already."""
    return settings().max_examples == EXAMPLES["nightly"]


def examples(share: float) -> int:
    """The number of examples of a test whose single example costs many times that of the others."""
    return max(5, round(settings().max_examples * share))
