"""Hides secrets and addresses that are recognised by their form alone."""

import base64
import binascii
import re
from typing import Final
from urllib.parse import unquote

from lean_tracing.redaction.edits import Context, Seam, substitute
from lean_tracing.redaction.limits import REDACTED

# --- private keys -----------------------------------------------------------------------------------------------------

_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20}-----.*?(?:-----END [A-Z0-9 ]{0,60}-----|\Z)",
    re.DOTALL,
)


def hide_private_keys(text: str, _: Context, seam: Seam | None) -> str:
    """Hides private keys in PEM form; one without an end reaches to the end of the text."""
    return substitute(_PRIVATE_KEY, REDACTED, text, seam)


# --- credentials of URLs ----------------------------------------------------------------------------------------------

_URL_CREDENTIALS = re.compile(r"(?<=://)[^\s/?#]*@")
# A password with a slash in it, which is not allowed, yet generated. Not a port, after which a path may hold "@".
_URL_CREDENTIALS_WITH_SLASH = re.compile(r"(?<=://)[^\s/?#@:]{0,256}:(?![0-9]{1,5}(?:[/?#\s]|\Z))[^\s@]{0,512}@")


def hide_url_credentials(text: str, _: Context, seam: Seam | None) -> str:
    """Hides the user and password of URLs."""
    if "@" not in text:
        return text
    text = substitute(_URL_CREDENTIALS, f"{REDACTED}@", text, seam)
    return substitute(_URL_CREDENTIALS_WITH_SLASH, f"{REDACTED}@", text, seam)


# --- authorization schemes --------------------------------------------------------------------------------------------

_SCHEME = re.compile(r"(?<![A-Za-z])(bearer|basic)((?:\s|%20|\+)++)([^\s,;\"'<>\[\]]++)", re.IGNORECASE)
_SCHEME_WORDS = frozenset({"token", "tokens", "auth", "authentication", "authorization", "scheme", "credentials"})
_PLAIN_WORD = re.compile(r"[A-Za-z]?[a-z]*[.:!?)]*")


def hide_authorization(text: str, _: Context, seam: Seam | None) -> str:
    """Hides the credentials after `Bearer` and `Basic`."""
    return substitute(_SCHEME, _hide_credentials, text, seam)


def _hide_credentials(match: re.Match[str]) -> str:
    scheme, blank, value = match.groups()
    if value == REDACTED or value.lower().rstrip(".:!?)") in _SCHEME_WORDS:
        return match.group()
    # "Basic" is an English word. The word after it is a secret unless it is an English word as well.
    if scheme.lower() == "basic" and _PLAIN_WORD.fullmatch(value) and not _holds_user_and_password(value):
        return match.group()
    return f"{scheme}{blank}{REDACTED}"


def _holds_user_and_password(value: str) -> bool:
    try:
        return b":" in base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False


# --- JSON web tokens --------------------------------------------------------------------------------------------------

_JWT = re.compile(r"eyJ[\w-]{7,}+(?:\.[\w-]*+){0,4}=*+", re.ASCII)


def hide_jwts(text: str, _: Context, seam: Seam | None) -> str:
    """Hides JSON web tokens."""
    return substitute(_JWT, REDACTED, text, seam)


# --- e-mail addresses -------------------------------------------------------------------------------------------------

LOCAL: Final = r"[\w.+!#$*'^`{|}~-]"
"""A character of an address before the `@`."""
_EMAIL = re.compile(
    rf"""(?P<local>"[^"\n]{{1,64}}+"|(?:{LOCAL}|%(?!40))(?<!{LOCAL}.)(?<!%.)(?:{LOCAL}|%(?!40))*+|[/=?&])
    (?:(?:@|%40)[\w-]++(?:\.[\w-]++)++)++""",
    re.VERBOSE | re.DOTALL,
)
_AT = re.compile("@|%40")
_AROUND_ADDRESS = "'`{|}!#$*^~.+-%"


def hash_emails(text: str, context: Context, seam: Seam | None) -> str:
    """Replaces e-mail addresses by `email:<hash>`."""

    def hide(match: re.Match[str]) -> str:
        whole, local = match.group(), match.group("local")
        # A label of the domain after the first begins with a letter. In `package@1.2.3` none does.
        if not any(label[0].isalpha() for domain in _AT.split(whole)[1:] for label in domain.split(".")[1:]):
            return whole
        # Quotes and the like around an address are allowed as a part of it, yet never meant as one.
        lead = len(local) - len(local.lstrip(_AROUND_ADDRESS))
        lead = 0 if lead == len(local) else lead
        return f"{whole[:lead]}email:{context.hash_text(unquote(whole[lead:]))}"

    return substitute(_EMAIL, hide, text, seam)
