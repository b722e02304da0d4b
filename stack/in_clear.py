"""Secrets that stand in clear in a stack's configuration, wherever in it and however they are spelled.

No value is ever a part of a message: messages end up in logs.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from stack import secrets
from stack.policy import clear_text

_SECRETS: Final = {re.sub("[^a-z0-9]", "", key.lower()): key for key in (*secrets.KEYS, *secrets.OPTIONAL)}
_WORDS: Final = frozenset(
    {
        *("password", "passwd", "passphrase", "pass", "pwd", "pw", "pgpassword", "secret", "token", "credential"),
        *("key", "apikey", "accesskey", "secretkey", "privatekey", "dsn", "authorization", "bearer"),
    }
)
"""Last words of names of what holds a secret."""
_CREDENTIALS: Final = re.compile(r"[^\s:/@]+:[^\s/@$*]+@[^\s@]")
_GENERATED: Final = re.compile(r"(?=[^\d\s]*\d)(?=[^A-Za-z\s]*[A-Za-z])[\w+=-]{20,}")
"""Long, of letters and digits: nobody has thought of it."""
_CIPHERTEXT: Final = re.compile(r"v\d+:\S+|[A-Za-z0-9+/=:._-]{16,}")


def names_secret(name: str) -> bool:
    """Whether a name, in any spelling, says that a secret is in it: `postgresPassword`, `PG_PASSWORD`, `api-key`."""
    if re.sub("[^a-z0-9]", "", name.lower()) in _SECRETS:
        return True
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return bool(words) and not _WORDS.isdisjoint({words[-1].lower(), words[-1].lower().removesuffix("s")})


def may_be_shown(path: Iterable[Any], value: Any) -> bool:
    """Whether a value of the configuration can be a part of a message."""
    if any(names_secret(str(part)) for part in path):
        return False
    return not any(_looks_secret(text) or _GENERATED.search(text) for text in _texts(value))


def _looks_secret(text: str) -> bool:
    return clear_text(text) or bool(_CREDENTIALS.search(text))


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
            named = any(map(names_secret, unknown)) or (path[-1] in unknown and own and _meant(path))
            if (named and text not in (None, "")) or (isinstance(text, str) and _looks_secret(text)):
                yield _problem(path if own else (f"{namespace}:{path[0]}", *path[1:]), own)


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        if value.keys() == {"secure"}:
            secure = value["secure"]
            if isinstance(secure, str) and not _CIPHERTEXT.fullmatch(secure):
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
