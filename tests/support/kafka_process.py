"""The class path of Kafka's programs, for tests: without Kafka or Java, a test is skipped, or fails in CI."""

from pathlib import Path

from checks.harness import kafka
from checks.harness.collector import MissingProgram
from tests.support.programs import skipping


def libraries(directory: Path) -> str:
    """Returns the class path of Kafka's programs."""
    with skipping("Kafka", MissingProgram):
        return kafka.libraries(directory)


def previous_libraries(directory: Path) -> str:
    """Returns the class path of the version before."""
    with skipping("java", MissingProgram):
        return kafka.previous_libraries(directory)
