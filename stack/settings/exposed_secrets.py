"""Secrets that stand in clear in a stack's configuration, wherever in it and however they are spelled.

No value is ever a part of a message: messages end up in logs.
"""

import base64
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from contracts import secret_keys
from service.tracing.redaction import names
from service.tracing.redaction.configuration import has_secret_in_clear

_SECRETS: Final = {re.sub("[^a-z0-9]", "", key.lower()): key for key in secret_keys.ALL}
_SECRET, _HARMLESS, _TYPED, _FLAG = (
    re.compile("|".join(patterns)) for patterns in (names.SECRET, names.HARMLESS, names.TYPED, names.FLAG)
)
_PARAMETER: Final = re.compile(names.PARAMETER)
_POINTERS: Final = frozenset(
    {
        *("class", "engine", "file", "host", "issuer", "manager", "namespace", "path", "plugin", "ref", "reference"),
        *("selector", "source", "store", "uri", "url"),
    }
)
"""Last words of names of where a secret is kept or comes from."""
_OTHERWISE: Final = re.compile(
    "(?<![a-z])(?:cookies?|session|pin|sid|pull_secrets?|pass(?=_)|auth(?=_(?!keys?(?![a-z])))|access_key_id$)(?![a-z])"
)
"""Names of the library's table that mean something else in a configuration: IAM's `Sid`, `imagePullSecrets`."""
_PLAIN: Final = re.compile(r"true|false|\d{1,5}")
"""A switch or a count: the engine hands every value over as a text."""
_URL_PARAMETER: Final = re.compile(r"[?&#]([\w.-]+)=(?![$*<{])[^&#\s]")
_GENERATED: Final = re.compile(r"(?=[^\d\s]*\d)(?=[^A-Za-z\s]*[A-Za-z])[\w+=-]{20,}")
"""Long, of letters and digits: nobody has thought of it."""
_SEALED: Final = re.compile(r"v\d+:([A-Za-z0-9+/]{16}):([A-Za-z0-9+/]+={0,2})")
"""What a passphrase or a data key encrypts: version, nonce of 12 bytes, text, in base64."""
_SEALED_BYTES: Final = 30
"""Fewer do not come back from a key service: nonce and tag alone are 28."""


def names_secret(name: str) -> bool:
    """Whether a name, in any spelling, says that a secret is in it: `postgresPassword`, `PG_PASSWORD`, `api-key`."""
    return _is_own(name) or (bool(_SECRET.search(_words(name))) and not _is_pointer(name))


def _is_own(name: str) -> bool:
    return re.sub("[^a-z0-9]", "", name.lower()) in _SECRETS


def _is_pointer(name: str) -> bool:
    """Whether a name says something of a secret, such as its length, or where it is."""
    words = _words(name)
    return bool(_HARMLESS.search(words)) or words.rpartition("_")[2] in _POINTERS


def _words(name: str) -> str:
    """A name's words in lower case, without those that mean something else in a configuration."""
    words = "_".join(word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name))
    return "_".join(filter(None, re.sub(_OTHERWISE, "", words).split("_")))


def may_be_shown(path: Iterable[Any], value: Any) -> bool:
    """Whether a value of the configuration can be a part of a message."""
    if any(names_secret(str(part)) for part in path):
        return False
    return not any(_looks_secret(text) or _GENERATED.search(text) for text in _texts(value))


def _looks_secret(text: str) -> bool:
    return has_secret_in_clear(text, in_settings=True) or _secret_parameter(text)


def _secret_parameter(text: str) -> bool:
    """Whether a URL in the text has a parameter that is a secret."""
    return any(names_secret(name) or _PARAMETER.search(name) for name in _URL_PARAMETER.findall(text))


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
        for path, text, is_sealed in _leaves(value, (name,)):
            unknown = [part for part in path if part not in known]
            meant = path[-1] in unknown and own and _meant(path)
            named = meant or is_sealed or _holds_secret(unknown, path[-1], text)
            if (named and text not in (None, "")) or (isinstance(text, str) and _looks_secret(text)):
                yield _problem(path if own else (f"{namespace}:{path[0]}", *path[1:]), own)


def _holds_secret(names_above: Sequence[str], last: str, value: Any) -> bool:
    """Whether the names on the way to a value say that it is a secret.

    A switch is none, and a number is one only where people type one.
    """
    telling = [name for name in names_above if names_secret(name)]
    if not telling or isinstance(value, bool) or value in ("true", "false"):
        return False
    if any(map(_is_own, telling)):
        return True
    if _is_pointer(last):
        return False
    if isinstance(value, int | float) or (isinstance(value, str) and _PLAIN.fullmatch(value)):
        return any(_TYPED.search(_words(name)) and not _FLAG.search(name) for name in telling)
    return True


def _leaves(
    value: Any, path: tuple[str, ...], *, is_sealed: bool = False
) -> Iterator[tuple[tuple[str, ...], Any, bool]]:
    """Every value with its path, and whether it stands where only a ciphertext can."""
    if isinstance(value, dict):
        if value.keys() == {"secure"}:
            secure = value["secure"]
            if isinstance(secure, bool):
                yield path, secure, False  # `secure: true` may be a switch of another provider
            elif not (isinstance(secure, str) and _is_ciphertext(secure)):
                yield from _leaves(secure, path, is_sealed=True)
            return
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)), is_sealed=is_sealed)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            # The names in it are those of its items' keys; a number names nothing.
            below = (*path, str(number)) if isinstance(inner, dict) else path
            yield from _leaves(inner, below, is_sealed=is_sealed)
    else:
        yield path, value, is_sealed
        if isinstance(value, str) and not is_sealed:
            yield from _leaves(_written(value), path)


def _written(text: str) -> Any:
    """The mapping or list that a text is, such as a kubeconfig or a chart's values; else an empty one."""
    if not re.search(r"[\n{\[]", text):
        return []
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return []
    return found if isinstance(found, dict | list) else []


def _is_ciphertext(text: str) -> bool:
    if sealed := _SEALED.fullmatch(text):
        return len(sealed[2]) % 4 == 0
    try:
        sealed_bytes = base64.b64decode(text, validate=True)
    except ValueError:
        return False
    # Random bytes hold both letters; words in small letters are base64, too.
    return len(sealed_bytes) >= _SEALED_BYTES and bool(re.search("[A-Z]", text) and re.search("[a-z]", text))


def _problem(path: tuple[str, ...], own: bool) -> str:
    where = ".".join(path)
    key = _meant(path) if own else None
    said = f"{where}: a secret in clear (its value is not shown). Take it out, and give what it protects a new one"
    if key:
        return (
            f"{said}; set that with `pulumi config set --secret {key} -s STACK`, or, where there is no Pulumi, with "
            f"`{secret_keys.variable(key)}=… make deploy STACK=…`"
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
