"""Verifies the tokens (JWT, RFC 7519) of an identity provider that speaks OpenID Connect."""

from collections.abc import Mapping
from typing import Any, Final

import jwt
from jwt import exceptions

from contracts.access import Refusal, Role
from service.common.access import Caller
from service.gateway.access.key_set import ALGORITHMS, KeySet
from service.gateway.access.refused import Refused

_REQUIRED: Final = ("exp", "iss", "aud", "sub")
_LEEWAY_SECONDS: Final = 10
"""The clocks of the gateway and of the identity provider may differ so much."""
_LONGEST_SUBJECT: Final = 255
"""OpenID Connect allows no more."""
# The first that fits: some of these are subclasses of later ones.
_REASONS: Final = (
    (exceptions.ExpiredSignatureError, Refusal.EXPIRED),
    (exceptions.ImmatureSignatureError, Refusal.NOT_YET_VALID),
    (exceptions.InvalidIssuerError, Refusal.ISSUER),
    (exceptions.InvalidAudienceError, Refusal.AUDIENCE),
    (exceptions.InvalidAlgorithmError, Refusal.ALGORITHM),
    (exceptions.InvalidSignatureError, Refusal.SIGNATURE),
    (exceptions.InvalidTokenError, Refusal.CLAIMS),
)


class Tokens:
    """Verifies the tokens of one issuer for one audience."""

    def __init__(self, *, issuer: str, audience: str, keys: KeySet, roles_claim: str) -> None:
        """Prepares it.

        Args:
            issuer: the claim `iss` of its tokens.
            audience: one of the values of their claim `aud`.
            keys: those of the issuer.
            roles_claim: name of the claim with the caller's roles; dots lead into nested claims.
        """
        self._issuer = issuer
        self._audience = audience
        self._keys = keys
        self._roles_claim = roles_claim.split(".")

    async def caller(self, token: str) -> Caller:
        """The caller whom a token names. Raises Refused, and Unavailable without the issuer's keys."""
        try:
            header = jwt.get_unverified_header(token)
        except (exceptions.PyJWTError, ValueError):
            raise Refused(Refusal.MALFORMED) from None
        if header.get("alg") not in ALGORITHMS:
            raise Refused(Refusal.ALGORITHM)
        key_id = header.get("kid")
        key = await self._keys.key(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise Refused(Refusal.SIGNING_KEY)
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": list(_REQUIRED)},
            )
        except exceptions.PyJWTError as error:
            reason = next((reason for kind, reason in _REASONS if isinstance(error, kind)), Refusal.MALFORMED)
            # Without the cause: its text may quote the token.
            raise Refused(reason) from None
        except (ValueError, TypeError, OverflowError, RecursionError):  # a claim of a form that PyJWT does not expect
            raise Refused(Refusal.CLAIMS) from None
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or "\x00" in subject:
            raise Refused(Refusal.CLAIMS)
        return Caller(owner=f"token:{subject}", role=self._role(claims))

    def _role(self, claims: Mapping[str, Any]) -> Role:
        """The role that may read most; that of a user without the claim."""
        value: Any = claims
        for name in self._roles_claim:
            value = value.get(name) if isinstance(value, dict) else None
        named = value if isinstance(value, list) else [value]
        return next((role for role in (Role.SUPPORT, Role.OPERATOR) if role in named), Role.USER)
