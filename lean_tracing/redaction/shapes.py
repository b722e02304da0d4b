"""The table of what is recognised by its form: secrets and personal data inside text.

A row says how each user of the table finds such a text. They differ in what a mistake costs:

- `Redactor` and the Collector search telemetry. They hide too much rather than too little.
- The stack refuses a configuration with a secret in clear. A false alarm there stops a deployment.

The tests of all of them are made from the examples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lean_tracing.redaction import forms, names, pairs
from lean_tracing.redaction.cards import hide_cards
from lean_tracing.redaction.edits import Context, Seam
from lean_tracing.redaction.tokens import COLLECTOR as TOKENS_OF_COLLECTOR
from lean_tracing.redaction.tokens import TOKENS, hide_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Secrets, or personal data, of one form.

    Attributes:
        name: what it is.
        hit: a text that holds one, between « and ».
        miss: a similar text that holds none.
        hide: how `Redactor` hides it.
        hints: one of these is in every text, in lower case, that holds one; without any the text is always searched.
        collector: expressions of the Collector. Go's RE2 runs them, and they are written both in YAML and inside OTTL's
            quotes: they hold no lookaround, no possessive repetition and no backslash.
        manifest: an expression that finds it in Kubernetes manifests and in the stack's settings.
        setting: an expression that finds it in the stack's settings alone; verbose syntax.
    """

    name: str
    hit: str
    miss: str
    hide: Callable[[str, Context, Seam | None], str] | None = None
    hints: tuple[str, ...] = ()
    collector: tuple[str, ...] = ()
    manifest: str = ""
    setting: str = ""


# `Redactor` applies the rows in this order.
SHAPES: Final = (
    Shape(
        name="private key",
        hit="-----BEGIN EC PRIVATE KEY-----«\nMHcCAQEE\n»-----END EC PRIVATE KEY-----",
        miss="-----BEGIN PUBLIC KEY-----\nMFkwEwYH\n-----END PUBLIC KEY-----",
        hide=forms.hide_private_keys,
        hints=("private key",),
        # Written so that it does not find itself in the Collector's ConfigMap.
        collector=("-----BEGIN [A-Z ]*PRIVATE KEY[-]{5}[^-]*(?:-----END [A-Z ]*PRIVATE KEY[-]{5})?",),
        manifest="PRIVATE KEY-----",
    ),
    Shape(
        name="private key of PGP",
        hit="-----BEGIN PGP «PRIVATE KEY BLOCK»-----",
        miss="-----BEGIN PGP PUBLIC KEY BLOCK-----",
        setting="PRIVATE[ ]KEY[ ]BLOCK",
    ),
    Shape(
        name="credentials of a URL",
        hit="postgresql://«tasks:hunter22»@db:5432/tasks",
        miss="http://db:5432/tasks@2x",
        hide=forms.hide_url_credentials,
        hints=("://",),
        collector=("://[^/ :@]*:[^/ @]+@",),
        # Not `docker://image:1@sha256:…`, nor a reference in the place of the password.
        manifest=r"://[^/\s:@\"']*:(?![$*]|[^/\s@]*\$[({])[^/\s@\"']+@(?!sha\d+:)",
    ),
    Shape(
        name="credentials of a URL without a scheme",
        hit="connect to «tasks:hunter22»@db.example:5432",
        miss="Operations <mailto:ops2@db.example>",
        # A host with a port or a path, or a host with a dot after a password with a digit. Addresses (`mailto:ops@…`),
        # members of a cloud's policies (`user:ops@…`), digests of images and contexts have none of these.
        setting=r"""(?<![^\s="'])(?!<?(?i:acct|domain|group|mailto|npm|principal|serviceaccount|sips?|user|xmpp):)
            [^\s:/@]+:(?![$*])(?:[^\s/@]+@(?!sha\d+:)(?:[\w-]+(?:\.[\w-]+)*:\d{2,5}(?!\d)|[\w-]+(?:\.[\w-]+)+/)
            |[^\s/@]*\d[^\s/@]*@(?:[A-Za-z][\w-]*\.)+[A-Za-z]{2,}(?![\w.-]))""",
    ),
    Shape(
        name="element with the name of a secret",
        hit="<password>«hunter22»</password>",
        miss="<user>ada</user>",
        hide=pairs.hide_elements,
        hints=("</",),
    ),
    Shape(
        name="pair with the name of a secret",
        hit="connection failed: password=«hunter22»",
        miss="token_count=5, token=None",
        hide=pairs.hide_pairs,
        hints=("=", ":", "%", ",", ">"),
        collector=names.PASSWORD_IN_TEXT,
        # What is assigned is no reference (`$(NAME)`, `${NAME}`, `$NAME`) and no mark of a redaction.
        manifest=r"(?i:(?:password|passwd|passphrase|secret|token|credentials?"
        r"|(?:api|access|private|secret|signing)[_-]?key)[\"']?[ \t]*[:=][ \t]*[\"']?(?![*…])[^\s\"'$<{(\[|…]{6,})",
    ),
    Shape(
        name="flag with the name of a secret",
        hit="psql --password «hunter22» -h db",
        miss="psql --no-password -h db",
        hide=pairs.hide_flags,
        hints=("--",),
    ),
    Shape(
        name="secret parameter of a URL",  # `Redactor` finds it as a pair
        hit="GET /callback?state=1&code=«4f9a1c»",
        miss="GET /callback?state=1&page=4",
        collector=(names.SECRET_PARAMETER,),
    ),
    Shape(
        name="authorization scheme",
        hit="sent Bearer «k8Zt0qW3xY7uB2nM»",
        miss="Basic authentication failed, bearer token missing",
        hide=forms.hide_authorization,
        hints=("bearer", "basic"),
        # "Basic" is an English word. What follows is encoded credentials if it holds more than small letters.
        collector=(
            "(?i:bearer)[ ]+[A-Za-z0-9._~+/=-]{8,}",
            "(?i:basic)[ ]+[A-Za-z0-9+/]{4,}[A-Z0-9+/=][A-Za-z0-9+/=]*",
        ),
        manifest=r"(?i:\b(?:bearer|basic)(?:%20|[ ])+[A-Za-z0-9._~+/-]{16,})",
    ),
    Shape(
        name="JSON web token",
        hit="id «eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcDEF123»",
        miss="eyJ is how one begins",
        hide=forms.hide_jwts,
        hints=("eyj",),
        collector=("eyJ[A-Za-z0-9_-]{5,}[.][A-Za-z0-9_-]{5,}[.][A-Za-z0-9_-]*",),
        setting=r"\beyJ[\w-]{8,}\.[\w-]{8,}\.",
    ),
    Shape(
        name="payment card",
        hit="paid with «4111 1111 1111 1111» today",
        miss="41111111-1111-4111-8111-411111111111",
        hide=hide_cards,
        # Without a look at the characters around it, a part of many a UUID would match.
        collector=(
            "(?:^|[^0-9A-Za-z._-])(?:4[0-9]{3}|5[1-5][0-9]{2}|2[2-7][0-9]{2}|3[47][0-9]{2}|6(?:011|5[0-9]{2}))"
            "[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{1,7}(?:[^0-9A-Za-z-]|$)",
        ),
    ),
    Shape(
        name="e-mail address",
        hit="no mailbox «ada@example.com»",
        miss="package@1.2.3",
        hide=forms.hash_emails,
        hints=("@", "%40"),
        collector=("[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+[.][A-Za-z0-9.-]*[A-Za-z]",),
    ),
    # None of these belongs into a configuration, under any key.
    *(
        Shape(name=token.name, hit=token.hit, miss=token.miss, hide=hide_tokens, setting=rf"\b{token.expression}")
        for token in TOKENS
    ),
    Shape(
        name="key in a connection string",
        hit="AccountName=a;AccountKey=«YWJj»",
        miss="AccountName=a;AccountKey=$KEY",
        setting=r"""(?:^|[;\s"'])(?i:AccountKey|SharedAccessKey|SharedAccessSignature|Pwd)\s*=\s*[^\s;$*<{]""",
    ),
    Shape(
        name="client key of a kubeconfig",
        hit="client-key-data: «LS0tLS1CRUdJTiBSU0E»",
        miss="client-key-data: $KEY",
        setting=r"""client-key-data["']?\s*:\s*["']?[A-Za-z0-9+/=]{16}""",
    ),
)

COLLECTOR: Final = (*(expression for shape in SHAPES for expression in shape.collector), TOKENS_OF_COLLECTOR)
"""The expressions that the Collector looks for in values, names and messages."""
