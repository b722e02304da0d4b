"""Finds secrets in clear in a stack's configuration, at any place and in any spelling of their names.

A value is never part of a message: messages end up in logs.
"""

import base64
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from contracts import secret_keys
from lean_tracing.redaction import names
from lean_tracing.redaction.configuration import has_secret_in_clear
from stack.settings import secret_headers

KeyPath = tuple[str, ...]
"""Names of a section, of the sections in it, and of the setting."""

_OWN_KEYS: Final = {re.sub("[^a-z0-9]", "", key.lower()): key for key in secret_keys.ALL}
"""Keys of the stack's secrets, by their letters and digits in lower case."""
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
"""Last words of names that tell where a secret is kept, and do not hold it: `secretRef`, `tokenFile`."""
_OTHER_MEANING: Final = re.compile(
    "(?<![a-z])(?:cookies?|session|pin|sid|pull_secrets?|pass(?=_)|auth(?=_(?!keys?(?![a-z])))|access_key_id$)(?![a-z])"
)
"""Names in the tracing library's table with another meaning in a configuration: IAM's `Sid`, `imagePullSecrets`."""
_FLAG_OR_COUNT: Final = re.compile(r"true|false|\d{1,5}")
"""The engine passes flags and numbers as texts."""
_URL_PARAMETER: Final = re.compile(r"[?&#]([\w.-]+)=(?![$*<{])[^&#\s]")
_GENERATED: Final = re.compile(r"(?=[^\d\s]*\d)(?=[^A-Za-z\s]*[A-Za-z])[\w+=-]{20,}")
"""A long word of letters and digits: a program has generated it."""
_SECRET_OBJECT: Final = re.compile(r"([a-z0-9-]+/)?[a-z0-9.-]+")
"""Name of a Secret of Kubernetes."""
_SEALED: Final = re.compile(r"v\d+:([A-Za-z0-9+/]{16}):([A-Za-z0-9+/]+={0,2})")
"""A ciphertext of a passphrase or a data key: version, nonce of 12 bytes, text, in base64."""
_MIN_CIPHERTEXT_BYTES: Final = 30
"""A key service returns no shorter ciphertext: nonce and tag alone take 28 bytes."""


def problems(
    config: Mapping[str, Any], project: str, known: Collection[str], encrypted: Collection[str]
) -> Iterator[str]:
    """Yield a sentence for each secret in clear, which explains how to set it.

    Args:
        config: `namespace:key` → value, of all namespaces; an encrypted value is `{"secure": …}`.
        project: the namespace of the stack's own settings.
        known: names of settings, which hold no secrets even if their names look like it.
        encrypted: keys whose values the engine has decrypted.
    """
    for key, value in config.items():
        if key in encrypted:
            continue
        namespace, _, name = key.rpartition(":")
        is_own = namespace in ("", project)
        for path, text, is_sealed in _leaves(value, (name,)):
            unknown = [part for part in path if part not in known]
            is_misplaced = is_own and path[-1] in unknown and _intended_key(path) is not None
            is_misplaced |= is_own and secret_headers.names_secret(path)
            has_secret_name = is_misplaced or is_sealed or _holds_secret(unknown, path[-1], text)
            if (has_secret_name and text not in (None, "")) or (isinstance(text, str) and _looks_secret(text)):
                yield _problem(path if is_own else (f"{namespace}:{path[0]}", *path[1:]), is_own=is_own)


def may_be_shown(path: Iterable[Any], value: Any) -> bool:
    """Return whether a value of the configuration may be part of a message."""
    if any(names_secret(str(part)) for part in path):
        return False
    return not any(_looks_secret(text) or _GENERATED.search(text) for text in _texts(value))


def names_secret(name: str) -> bool:
    """Return whether a name, in any spelling, is that of a secret: `postgresPassword`, `PG_PASSWORD`, `api-key`."""
    return _is_own(name) or (bool(_SECRET.search(_words(name))) and not _is_pointer(name))


def _is_own(name: str) -> bool:
    return re.sub("[^a-z0-9]", "", name.lower()) in _OWN_KEYS


def _is_pointer(name: str) -> bool:
    """Return whether a name describes a secret, such as its length, or where it is."""
    words = _words(name)
    return bool(_HARMLESS.search(words)) or words.rpartition("_")[2] in _POINTERS


def _words(name: str) -> str:
    """Return a name's words in lower case, without those that have another meaning in a configuration."""
    words = "_".join(word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name))
    return "_".join(filter(None, re.sub(_OTHER_MEANING, "", words).split("_")))


def _looks_secret(text: str) -> bool:
    return has_secret_in_clear(text, in_settings=True) or _has_secret_parameter(text)


def _has_secret_parameter(text: str) -> bool:
    """Return whether a URL in the text has a parameter that is a secret."""
    return any(names_secret(name) or _PARAMETER.search(name) for name in _URL_PARAMETER.findall(text))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, content in value.items():
            yield str(key)
            yield from _texts(content)
    elif isinstance(value, list | tuple):
        for content in value:
            yield from _texts(content)
    else:
        yield str(value)


def _holds_secret(path: Sequence[str], last: str, value: Any) -> bool:
    """Return whether a value is a secret according to the names on its path.

    A flag is none. A number is one only below a name for which people type numbers, such as `password`.
    """
    secret_names = [name for name in path if names_secret(name)]
    if not secret_names or isinstance(value, bool) or value in ("true", "false"):
        return False
    if any(map(_is_own, secret_names)):
        return True
    if _names_a_secret_of_kubernetes(last, value):
        return False
    if _is_pointer(last):
        return False
    if isinstance(value, int | float) or (isinstance(value, str) and _FLAG_OR_COUNT.fullmatch(value)):
        return any(_TYPED.search(_words(name)) and not _FLAG.search(name) for name in secret_names)
    return True


def _names_a_secret_of_kubernetes(name: str, value: Any) -> bool:
    """Return whether a name is that of an annotation of Kubernetes such as `nginx.ingress.kubernetes.io/auth-secret`,
    and the value the name of a Secret, with or without a namespace."""
    return (
        isinstance(value, str)
        and name.endswith("-secret")
        and "." in name.partition("/")[0]
        and bool(_SECRET_OBJECT.fullmatch(value))
        and not _GENERATED.search(value)
    )


def _leaves(value: Any, path: KeyPath, *, is_sealed: bool = False) -> Iterator[tuple[KeyPath, Any, bool]]:
    """Yield every value with its path, and whether it is written where only a ciphertext may be."""
    if isinstance(value, dict):
        if value.keys() == {"secure"}:
            secure = value["secure"]
            if isinstance(secure, bool):
                yield path, secure, False  # `secure: true` may be a flag of another provider
            elif not (isinstance(secure, str) and _is_ciphertext(secure)):
                yield from _leaves(secure, path, is_sealed=True)
            return
        for key, content in value.items():
            yield from _leaves(content, (*path, str(key)), is_sealed=is_sealed)
    elif isinstance(value, list | tuple):
        for number, content in enumerate(value):
            # Only the keys of a list's items are names; a number is none.
            item_path = (*path, str(number)) if isinstance(content, dict) else path
            yield from _leaves(content, item_path, is_sealed=is_sealed)
    else:
        yield path, value, is_sealed
        if isinstance(value, str) and not is_sealed:
            yield from _leaves(_document_in(value), path)


def _document_in(text: str) -> dict[Any, Any] | list[Any]:
    """Return the mapping or list in a text, such as a kubeconfig or a chart's values; empty if there is none."""
    if not re.search(r"[\n{\[]", text):
        return []
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return []
    return document if isinstance(document, dict | list) else []


def _is_ciphertext(text: str) -> bool:
    if sealed := _SEALED.fullmatch(text):
        return len(sealed[2]) % 4 == 0
    try:
        sealed_bytes = base64.b64decode(text, validate=True)
    except ValueError:
        return False
    # Random bytes have upper-case and lower-case letters; a word in lower case is valid base64 as well.
    return len(sealed_bytes) >= _MIN_CIPHERTEXT_BYTES and bool(re.search("[A-Z]", text) and re.search("[a-z]", text))


def _problem(path: KeyPath, *, is_own: bool) -> str:
    name = ".".join(path)
    message = f"{name}: a secret in clear (its value is not shown). Remove it, and replace the secret by a new one"
    if is_own and secret_headers.is_header(path):
        return f"{message}. {secret_headers.advice(path)}"
    if key := _intended_key(path) if is_own else None:
        return (
            f"{message}; set that with `pulumi config set --secret {key} -s STACK`, or without Pulumi with "
            f"`{secret_keys.variable(key)}=… make deploy STACK=…`"
        )
    if is_own:
        return f"{message}. Settings hold no secrets: stack/README.md lists the secrets, and how to set them"
    return f"{message}; set that with `pulumi config set --secret {name} -s STACK`"


def _intended_key(path: KeyPath) -> str | None:
    """Return the key of the stack's secret that a setting was meant to be, if there is one."""
    for start in range(len(path)):
        if key := _OWN_KEYS.get(re.sub("[^a-z0-9]", "", "".join(path[start:]).lower())):
            return key
    ending = re.sub("[^a-z0-9]", "", "".join(path[-2:]).lower())
    candidates = [key for letters, key in _OWN_KEYS.items() if letters.endswith(ending)]
    return candidates[0] if len(candidates) == 1 else None
