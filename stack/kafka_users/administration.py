"""Makes the users and rights of a Kafka those that are declared. What is right is not written again."""

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from stack.kafka_users.declared import Declared, Right

_SECONDS: Final = 20.0
_ITERATIONS: Final = 4096
"""Kafka's default. The passwords are long random texts, which no number of iterations would protect better."""
_MECHANISM: Final = ScramMechanism.SCRAM_SHA_512
_ANY: Final[Any] = None
"""confluent_kafka's annotations have no name that stands for all."""
_ALL: Final = AclBindingFilter(
    ResourceType.ANY, _ANY, ResourcePatternType.ANY, _ANY, _ANY, AclOperation.ANY, AclPermissionType.ANY
)


class Administration:
    """Writes users and rights, again and again."""

    def __init__(self) -> None:
        self._written: set[str] = set()
        """Users whose passwords this process has written: Kafka does not tell them."""

    def apply(self, admin: AdminClient, declared: Declared) -> list[str]:
        """Write the missing users and rights, and delete undeclared ones.

        Args:
            admin: has all rights.
            declared: users and rights.

        Returns:
            What was changed.

        Raises:
            KafkaException: Kafka is unavailable, or refuses.
        """
        return [*self._apply_rights(admin, declared), *self._apply_users(admin, declared)]

    def _apply_users(self, admin: AdminClient, declared: Declared) -> list[str]:
        described: Any = admin.describe_user_scram_credentials(request_timeout=_SECONDS)
        existing: set[str] = set(described.result())
        missing = sorted({*declared.passwords} - (existing & self._written))
        unknown = sorted(existing - {*declared.passwords})
        alterations: list[UserScramCredentialAlteration] = [
            *(UserScramCredentialDeletion(user, _MECHANISM) for user in unknown),
            *(_credential(user, declared.passwords[user]) for user in missing),
        ]
        if alterations:
            _wait(admin.alter_user_scram_credentials(alterations, request_timeout=_SECONDS).values())
        self._written |= {*missing}
        return [*(f"user {user}" for user in missing), *(f"no user {user}" for user in unknown)]

    @staticmethod
    def _apply_rights(admin: AdminClient, declared: Declared) -> list[str]:
        existing: set[AclBinding] = set(admin.describe_acls(_ALL, request_timeout=_SECONDS).result())
        expected = {_binding(right) for right in declared.rights}
        missing, unknown = expected - existing, existing - expected
        if missing:
            _wait(admin.create_acls([*missing], request_timeout=_SECONDS).values())
        if unknown:
            _wait(admin.delete_acls([_filter(item) for item in unknown], request_timeout=_SECONDS).values())
        return [
            *sorted(f"right {_text(item)}" for item in missing),
            *sorted(f"no right {_text(item)}" for item in unknown),
        ]


def _credential(user: str, password: str) -> UserScramCredentialUpsertion:
    return UserScramCredentialUpsertion(user, ScramCredentialInfo(_MECHANISM, _ITERATIONS), password.encode())


def _binding(right: Right) -> AclBinding:
    return AclBinding(
        ResourceType[right.kind.upper()],
        right.name,
        ResourcePatternType.LITERAL,
        f"User:{right.user}",
        "*",
        AclOperation[right.operation],
        AclPermissionType.ALLOW,
    )


def _filter(binding: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )


def _text(binding: AclBinding) -> str:
    operation, kind = AclOperation(binding.operation), ResourceType(binding.restype)
    return f"{binding.principal} {operation.name} {kind.name} {binding.name}"


def _wait(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        future.result()
