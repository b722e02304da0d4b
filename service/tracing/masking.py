"""Keeps personal data and secrets out of spans and logs: a keyed hash where values must still be told apart."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from urllib.parse import urlsplit, urlunsplit

REDACTED = "[redacted]"

# Bounded repetitions keep the search linear on hostile input.
_EMAIL = re.compile(r"[\w.+%'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]{1,256}@")
_SECRET_WORDS = ("password", "passwd", "secret", "token", "authorization", "cookie", "api_key", "apikey", "credential")


class Masker:
    """Masks text, URLs and named values. Hashes of two maskers agree only where their keys do."""

    def __init__(self, key: str | None = None) -> None:
        """`key`: secret shared by all services whose hashes shall agree; None makes a random one for this process."""
        self._key = key.encode() if key else secrets.token_bytes(32)

    def hash(self, value: str) -> str:
        """16 hex characters of HMAC-SHA-256; case and outer blanks do not count, so one mailbox has one hash."""
        return hmac.new(self._key, value.strip().lower().encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:16]

    def text(self, value: str) -> str:
        """Replaces e-mail addresses by `email:<hash>` and credentials in URLs by a marker."""
        if "@" not in value:
            return value
        value = _URL_CREDENTIALS.sub(f"{REDACTED}@", value)
        return _EMAIL.sub(lambda match: f"email:{self.hash(match.group())}", value)

    def url(self, value: str) -> str:
        """A URL without credentials, query values and fragment: any of them may carry a secret."""
        try:
            parts = urlsplit(value)
            host = parts.netloc.rpartition("@")[2]
        except ValueError:
            return REDACTED
        return self.text(urlunsplit((parts.scheme, host, parts.path, REDACTED if parts.query else "", "")))

    def named(self, name: str, value: object) -> object:
        """`value` as it may be shown under `name`: hashed for e-mail, hidden for secrets, else masked text."""
        lowered = name.lower()
        if any(word in lowered for word in _SECRET_WORDS):
            return REDACTED
        if "email" in lowered:
            return self.hash(str(value))
        return self.text(value) if isinstance(value, str) else value
