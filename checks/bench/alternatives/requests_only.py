"""What the alternatives have in common: they take part in the scenarios of single spans and of HTTP requests."""

from typing import Any, Final, NoReturn

from sqlalchemy import Engine

from checks.bench.instrumentation import Consuming, Sending

SCENARIOS: Final = ("span", "varied", "request")
"""Those that an alternative takes part in."""


class RequestsOnly:
    """Refuses databases and Kafka, so that no alternative is measured where it does not trace."""

    def engine(self, engine: Engine) -> None:
        self._refuse()

    def producer(self, config: dict[str, Any]) -> Sending:
        self._refuse()

    def consumer(self, config: dict[str, Any]) -> Consuming:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RuntimeError(f"{type(self).__name__} takes part in {', '.join(SCENARIOS)} only")
