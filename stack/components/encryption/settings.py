"""The section `encryption` of the settings."""

from contracts import secret_keys
from contracts.section import Section


class Encryption(Section):
    """TLS between the pods of the stack, with certificates of the stack's own authority.

    A server that the stack did not build has its own settings, such as `kafka.external.encrypted`.
    """

    postgres: bool = False
    """Whether the stack's own Postgres refuses connections without TLS. The task-manager verifies its name, and
    reads and writes rows only; the role that owns the tables migrates them before each start."""

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """Keys of the secrets that TLS needs."""
        return (secret_keys.AUTHORITY_SEED, secret_keys.POSTGRES_SERVICE_PASSWORD) if self.postgres else ()
