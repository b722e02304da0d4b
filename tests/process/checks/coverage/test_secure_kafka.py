"""The coverage check with a Kafka that the stack did not build, and with access control.

The services and the agent use TLS and SASL, and a caller reads its own tasks alone.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from checks.coverage.ledger import describe
from contracts.services import GATEWAY
from lean_tracing.testing import Recorder
from tests.support.kafka_process import libraries
from tests.support.secure_kafka import access, environment, secure_kafka
from tests.support.system import running_system

OPERATIONS = 60
_KEY: Final = "key-of-the-stack-0123456789abcdef"


def test_every_operation_has_its_complete_trace(make_recorder: Callable[[str], Recorder], tmp_path: Path) -> None:
    (tmp_path / "brokers").mkdir()
    with secure_kafka(tmp_path / "brokers", libraries()) as kafka:
        variables = environment(access(kafka.external).service_variables(GATEWAY, "s"))
        assert variables["KAFKA_ENCRYPTED"] == "true"
        with running_system(variables, make_recorder, tmp_path, key=_KEY) as system:
            outcome = system.cover(OPERATIONS, OPERATIONS // 3)
    assert len(outcome.entries) == OPERATIONS
    assert not outcome.failed, "\n".join(describe(outcome.failed))
