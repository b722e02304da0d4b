"""The class path of Kafka's programs, for tests: without Kafka or Java, a test is skipped, or fails in CI."""

from checks.harness import kafka_programs
from checks.harness.collector import MissingProgram
from tests.support.programs import skipping


def libraries() -> str:
    """Returns the class path of Kafka's programs."""
    with skipping("Kafka", MissingProgram):
        return kafka_programs.libraries()


def previous_libraries() -> str:
    """Returns the class path of the version before."""
    with skipping("java", MissingProgram):
        return kafka_programs.previous_libraries()
