"""The names of a stack's objects in Grafana: a Grafana that the stack did not build has objects of others, too."""

from dataclasses import dataclass
from typing import Any, Final

from contracts import endpoints

_REFERENCES: Final = ("uid", "datasourceUid", "alertmanagerUid")
"""Fields that name a datasource."""
DATASOURCES: Final = (endpoints.PROMETHEUS_UID, endpoints.TRACES_UID, endpoints.LOGS_UID, endpoints.ALERTS_UID)
MAX_UID: Final = 40
"""Grafana refuses longer uids."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """The uids, titles and tags of a stack's objects in Grafana."""

    prefix: str = ""
    """Begins every uid and tag; empty in a Grafana of the stack."""

    def uid(self, name: str) -> str:
        """Return the uid of a datasource, dashboard or folder, or a tag.

        >>> Names(prefix="tracing").uid("services")
        'tracing-services'
        """
        return f"{self.prefix}-{name}" if self.prefix else name

    def title(self, title: str) -> str:
        """Return the title of a folder or the name of a datasource.

        >>> Names(prefix="prod").title("Runbooks")
        'Runbooks (prod)'
        """
        return f"{title} ({self.prefix})" if self.prefix else title

    def with_references(self, model: Any) -> Any:
        """Return a dashboard or datasource whose references to datasources are the uids of this Grafana."""
        match model:
            case dict():
                return {
                    key: self.uid(value) if key in _REFERENCES and value in DATASOURCES else self.with_references(value)
                    for key, value in model.items()
                }
            case list():
                return [self.with_references(item) for item in model]
            case _:
                return model


UNCHANGED: Final = Names()
"""The names in a Grafana of the stack."""
