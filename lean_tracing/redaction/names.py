"""The table of names whose values are secrets or personal data. The library and the Collector both decide by it.

`keys.py` searches names with these expressions, and `collector/redaction.j2` is rendered from them. Both Python's `re`
and Go's RE2 run them, so they hold no lookaround, no possessive repetition and no backslash. Names come in every
spelling: `db.password`, `DB_PASSWORD`, `dbPassword`, `db-password`. `tests/support/names.json` has examples of each
entry; the tests of the library and of the real Collector both read it.
"""

from typing import Final

# Alternatives are sorted: Go's expressions then try each first letter once, which makes them three times as fast.


def _alone(*words: str) -> str:
    """Any of `words` as a whole word: `pwd` in `userPwd`, `PWDHash` and `pwd.0`, not in `opwd` or `pwds`."""
    small = "|".join(f"[{word[0].upper()}{word[0]}]{word[1:]}" for word in words)
    capital = "|".join(word.capitalize() for word in words)
    large = "|".join(word.upper() for word in words)
    return (
        f"(?:(?:^|[^A-Za-z])(?:{small})|[a-z](?:{capital}))(?:[^a-z]|$)"
        f"|(?:^|[^A-Z])(?:{large})(?:[^A-Za-z]|[A-Z][a-z]|$)"
    )


def _last(*words: str) -> str:
    """Any of `words` as the last word, before the indexes that a flattened list adds: `token.count`, `tokenCount.0`."""
    capital = "|".join(sorted(form for word in words for form in (word.capitalize(), word.upper())))
    return f"(?:(?:^|[^A-Za-z])(?i:{'|'.join(words)})|[a-z](?:{capital}))(?:[.][0-9]+)*$"


_PASSWORD = "(?:kennwort|pass(?:code|phrase|wd|wor[dt]))"
_CODE = "(?:2fa|mfa|recovery|security|sms|verification)[._-]?codes?"
# `secretary`, `tokenizer` and `tokenise` are other words. A key is a secret only together with what it opens: message,
# primary, partition, cache keys are not.
_ANYWHERE = (
    f"{_CODE}(?:[^a-z]|$)|(?:access|api)[._-]?key|(?:account|aes|app|application|auth)[._-]?keys?(?:[^a-z]|$)"
    "|(?:admin|db|root|user)pass(?:[^a-z]|$)|authorization|bearer|card[._-]?(?:no(?:[._-]|$)|number)"
    "|client[._-]?keys?(?:[^a-z]|$)|connection[._-]?string|cookie|credential|credit[._-]?card|[cx]srf"
    "|deploy[._-]?keys?(?:[^a-z]|$)|encryption[._-]?key|(?:hash|hmac)[._-]?keys?(?:[^a-z]|$)"
    f"|license[._-]?keys?(?:[^a-z]|$)|master[._-]?key|{_PASSWORD}|private[._-]?key|rsa[._-]?keys?(?:[^a-z]|$)"
    "|secret(?:[^a]|a[^r]|a?$)|(?:server|service)[._-]?keys?(?:[^a-z]|$)|sessid|session|shared[._-]?keys?(?:[^a-z]|$)"
    "|signing[._-]?key|(?:ssh|storage|stripe)[._-]?keys?(?:[^a-z]|$)|token(?:[^i]|i[^sz]|i?$)|webhook[._-]?keys?(?:[^a-z]|$)"
)

_COUNTED_WORDS = (
    "accepted", "audio", "available", "billed", "cache", "cached", "completion", "context", "creation", "free", "image",
    "input", "left", "max", "min", "num", "output", "prediction", "prompt", "read", "reasoning", "rejected",
    "remaining", "text", "thinking", "thoughts", "total", "use", "used",
)  # fmt: skip
_COUNTED = "|".join(_COUNTED_WORDS)
_COUNTED_CAPITAL = "|".join(word.capitalize() for word in _COUNTED_WORDS)

HARMLESS: Final = (
    # Facts about a secret: its count, its length, its kind.
    _last(
        "age", "algorithm", "arn", "at", "attempts", "budget", "bytes", "count", "counts", "created", "date", "days",
        "disabled", "domain", "duration", "enabled", "endpoint", "errors", "exists", "expiration", "expired", "expires",
        "expiry", "failures", "format", "hours", "kind", "len", "length", "limit", "limits", "method", "minutes",
        "missing", "mode", "ms", "name", "ns", "pid", "policy", "present", "provider", "rate", "ratio", "reason",
        "required", "retries", "rotated", "scope", "scopes", "seconds", "size", "status", "strength", "time", "timeout",
        "total", "ttl", "type", "updated", "usage", "used", "valid", "verified", "version",
    ),
    # Counts of a language model's tokens, also where a string or a line of a log holds the number.
    f"(?:(?:^|[^A-Za-z])(?i:{_COUNTED})|[a-z](?:{_COUNTED_CAPITAL}))[._-]?(?i:(?:(?:new|number|of)[._-]?)*tokens"
    "(?:[._-]?details)?)(?:[.][0-9]+)*$",
    "(?i:(?:^|[._-])(?:first|per)[._-](?:input[._-]|output[._-])?tokens?|tokens[._-]per[._-][a-z]+)$",
)  # fmt: skip
"""These names hide nothing, even if another expression matches them. Their text is searched like all text."""

TYPED: Final = (
    f"(?i:card[._-]?(?:no|number)|{_CODE}|{_PASSWORD})(?:[.][0-9]+)*$",
    _last("cvc", "cvv", "otp", "pin", "pwd", "ssn", "totp"),
)
"""Secrets that people type in digits: a number under such a name is hidden like text, unless the name is a FLAG."""

FLAG: Final = ("(?:^|[.])(?:(?i:has|is)[_-]|(?:has|is)[A-Z])[A-Za-z0-9_-]*(?:[.][0-9]+)*$",)
"""Flags such as `has_password`: a number under such a name only tells whether there is a secret."""

SECRET: Final = (
    f"(?i:{_ANYWHERE})",
    _alone("cvc", "cvv", "dsn", "iban", "jwt", "otp", "pass", "pin", "pw", "pwd", "sid", "ssn", "totp"),
    "(?:(?:^|[^A-Za-z])(?i:auth)|[a-z]Auth)$",
)
"""Text under these names is hidden. Numbers and booleans stay, except under TYPED."""

EMAIL: Final = ("(?i:email)|(?:^|[^A-Za-z])(?i:e[._-]mail)",)
"""Text under these names is personal data. The library hashes it, and the Collector hides it."""

LINE: Final = ("(?i:authorization|cookies?)$",)
"""Secrets whose values hold spaces. Inside text such a value ends with the line."""

_BRACKET = "[][]"  # without the second bracket, Python's `re` warns of a set inside a set

PARAMETER: Final = "(?i:^(?:code|key|ticket)$|(?:^|[._-])(?:sig|signature)$)"
"""Common names that are secrets only as parameters of a URL: OAuth codes, API keys, signatures (`X-Amz-Signature`)."""

SECRET_PARAMETER: Final = (
    "(?i:[?&;](?:(?:[A-Za-z0-9_.-]*[._-])?(?:sig|signature)|[A-Za-z0-9_.-]*(?:accesskeyid|credential|jwt"
    f"|{_PASSWORD}|pwd|secret|session|sid|token|(?:access|api|private)[._-]?key)|code|key|ticket)=)"
    f"(?:[^& []|{_BRACKET}[^r])[^& ]*"
)
"""A secret parameter of a URL with its value, unless the library has redacted the value already."""

PASSWORD_IN_TEXT: Final = tuple(f"{name}=(?:[^& []|{_BRACKET}[^r])[^& ]*" for name in ("password", "passwd"))
"""Passwords in a text, in the common spelling: Go finds what begins with fixed letters a hundred times faster."""

REDACTED_VALUE: Final = f"^(?:{_BRACKET}[redact]*]?|e(?:m(?:a(?:i(?:l(?::[0-9a-f]{{0,16}})?)?)?)?)?)$"
"""The texts that the library writes instead of a hidden value and of an e-mail address, whole or cut."""

MANIFEST: Final = "(?i:(?:password|passwd|passphrase|secret|token|credential|(?:^|_)key)s?$)"
"""Names of variables and fields of Kubernetes manifests that hold secrets."""

HINTS: Final = (
    "pass", "pw", "secret", "token", "cred", "auth", "cookie", "sess", "sid", "jwt", "otp", "cvv", "cvc", "ssn", "iban",
    "bearer", "card", "key", "pin", "code", "sig", "ticket",
    "dsn", "srf", "string", "wort",
)  # fmt: skip
"""Every secret name holds one of these, in lower case. A text without any needs no search for names."""
