"""Secrets that stand in clear in a stack's configuration, wherever in it and however they are spelled.

No value is ever a part of a message: messages end up in logs.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from stack import secrets
from stack.policy import clear_text

_SECRETS: Final = {re.sub("[^a-z0-9]", "", key.lower()): key for key in (*secrets.KEYS, *secrets.OPTIONAL)}
_TYPED: Final = frozenset({"password", "passwd", "passphrase", "pass", "passcode", "pwd", "pw", "pgpassword"})
"""Last words of names of what people type, which may be a number."""
_WORDS: Final = _TYPED | {"secret", "token", "credential", "dsn", "authorization", "bearer"}
"""Last words of names of what holds a secret."""
_KEYS: Final = frozenset(
    f"{word}key"
    for word in ("access", "account", "api", "auth", "encryption", "master", "private", "secret", "signing", "storage")
)
"""The same, of two words: a key alone is a label's, a table's, a topology's or a key's public half."""
# A host is after it: a name with a dot, a port or a path. An image's digest and a package's version are none.
_CREDENTIALS: Final = re.compile(
    r"""(?<![^\s/="'])(?!(?:mailto|npm|sip|xmpp):)[^\s:/@]+:[^\s/@$*]+@(?!sha\d+:)
    (?:[A-Za-z0-9-]+\.)*[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z]{2,}(?![A-Za-z0-9.-])|[:/])""",
    re.VERBOSE,
)
_SHAPES: Final = re.compile(
    r"""gh[pousr]_[A-Za-z0-9]{20} | github_pat_\w{20} | xox[abprs]-[\w-]{10} | AKIA[0-9A-Z]{16}
    | eyJ[\w-]{8,}\.[\w-]{8,}\. | hooks\.slack\.com/services/\w | discord(?:app)?\.com/api/webhooks/\d
    | (?i:AccountKey|SharedAccessKey|Pwd)=[^\s;$]{6} | client-key-data["']?\s*:\s*["']?[A-Za-z0-9+/=]{16}""",
    re.VERBOSE,
)
"""What well-known services give out, and private keys in a kubeconfig."""
_GENERATED: Final = re.compile(r"(?=[^\d\s]*\d)(?=[^A-Za-z\s]*[A-Za-z])[\w+=-]{20,}")
"""Long, of letters and digits: nobody has thought of it."""
_CIPHERTEXT: Final = re.compile(r"v\d+:[A-Za-z0-9+/]{16}={0,2}:[A-Za-z0-9+/]+={0,2}|[A-Za-z0-9+/]{32,}={0,2}")
"""What the engine writes: version, nonce and text of a passphrase's, or what a key service gave back."""


def names_secret(name: str) -> bool:
    """Whether a name, in any spelling, says that a secret is in it: `postgresPassword`, `PG_PASSWORD`, `api-key`."""
    if re.sub("[^a-z0-9]", "", name.lower()) in _SECRETS:
        return True
    words = _words(name)
    return bool(words) and (words[-1] in _WORDS or words[-1] in _KEYS or "".join(words[-2:]) in _KEYS)


def _words(name: str) -> list[str]:
    """In lower case, the last one without the `s` of a plural."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    return [*words[:-1], words[-1] if words[-1] in _WORDS else words[-1].removesuffix("s")] if words else []


def may_be_shown(path: Iterable[Any], value: Any) -> bool:
    """Whether a value of the configuration can be a part of a message."""
    if any(names_secret(str(part)) for part in path):
        return False
    return not any(_looks_secret(text) or _GENERATED.search(text) for text in _texts(value))


def _looks_secret(text: str) -> bool:
    return clear_text(text) or bool(_CREDENTIALS.search(text) or _SHAPES.search(text))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
    else:
        yield str(value)


def problems(
    config: Mapping[str, Any], project: str, known: Collection[str], encrypted: Collection[str]
) -> Iterator[str]:
    """What stands in clear, each with how it is set.

    Args:
        config: `namespace:key` → value, of all namespaces; what is encrypted is `{"secure": …}`.
        project: the namespace of the stack's own settings.
        known: names of settings, which hold no secrets whatever they are called.
        encrypted: keys that the engine has decrypted.
    """
    for key, value in config.items():
        if key in encrypted:
            continue
        namespace, _, name = key.rpartition(":")
        own = namespace in ("", project)
        for path, text in _leaves(value, (name,)):
            unknown = [part for part in path if part not in known]
            meant = path[-1] in unknown and own and _meant(path)
            named = meant or any(_holds_secret(part, text) for part in unknown)
            if (named and text not in (None, "")) or (isinstance(text, str) and _looks_secret(text)):
                yield _problem(path if own else (f"{namespace}:{path[0]}", *path[1:]), own)


def _holds_secret(name: str, value: Any) -> bool:
    """Whether a name says that a value is a secret; a switch is none, and a number only where people type one."""
    if isinstance(value, bool):
        return False
    typed = not isinstance(value, int | float) or not _TYPED.isdisjoint(_words(name)[-1:])
    return typed and names_secret(name)


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        if value.keys() == {"secure"}:
            secure = value["secure"]
            if not isinstance(secure, str):
                yield from _leaves(secure, path)
            elif not _CIPHERTEXT.fullmatch(secure):
                yield path, secure  # a text that nobody has encrypted
            return
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            # The names in it are those of its items' keys; a number names nothing.
            yield from _leaves(inner, (*path, str(number)) if isinstance(inner, dict) else path)
    else:
        yield path, value


def _problem(path: tuple[str, ...], own: bool) -> str:
    where = ".".join(path)
    key = _meant(path) if own else None
    said = f"{where}: a secret in clear (its value is not shown). Take it out, and give what it protects a new one"
    if key:
        return (
            f"{said}; set that with `pulumi config set --secret {key} -s STACK`, or, where there is no Pulumi, with "
            f"`{secrets.variable(key)}=… make deploy STACK=…`"
        )
    if own:
        return f"{said}. Settings hold no secrets: stack/README.md lists those that there are, and how they are set"
    return f"{said}; set that with `pulumi config set --secret {where} -s STACK`"


def _meant(path: tuple[str, ...]) -> str | None:
    """The secret of the stack that a setting was meant to be."""
    for end in range(len(path)):
        if key := _SECRETS.get(re.sub("[^a-z0-9]", "", "".join(path[end:]).lower())):
            return key
    last = re.sub("[^a-z0-9]", "", "".join(path[-2:]).lower())
    near = [key for plain, key in _SECRETS.items() if plain.endswith(last)]
    return near[0] if len(near) == 1 else None
