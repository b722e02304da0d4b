"""Headers to a store of yours that hold a secret: how they are known, and what to set instead."""

import re
from collections.abc import Sequence
from typing import Final

from contracts import secret_keys

_KEYS: Final = {
    "traces": (secret_keys.TRACES_AUTHORIZATION, secret_keys.TRACES_QUERY_AUTHORIZATION),
    "logs": (secret_keys.LOGS_AUTHORIZATION, secret_keys.LOGS_QUERY_AUTHORIZATION),
    "metrics": (secret_keys.METRICS_WRITE_TOKEN, secret_keys.METRICS_QUERY_AUTHORIZATION),
}
"""Section → the secret that is sent to the receiver, and the one that is sent to the query API."""
_NAME: Final = re.compile(r"(?:^|[-_])(?:cookie|[a-z]*key)$|^x-honeycomb-team$", re.IGNORECASE)
"""Names that hold a secret in a header, and not always elsewhere."""


def is_header(path: Sequence[str]) -> bool:
    """Return whether the path of a setting is that of a header: `traces.external.headers.NAME`."""
    return len(path) == 4 and path[0] in _KEYS and tuple(path[1:3]) == ("external", "headers")


def names_secret(path: Sequence[str]) -> bool:
    """Return whether the path of a setting is that of a header whose value is a secret by its name."""
    return is_header(path) and _NAME.search(path[-1]) is not None


def advice(path: Sequence[str]) -> str:
    """Return a sentence that says with which settings a header is sent as a secret."""
    section, name = path[0], path[-1]
    sent, queried = _KEYS[section]
    receiver = "remoteWrite.authorize: true" if section == "metrics" else f"authorize: true and receiverHeader: {name}"
    return (
        f"To send it to the receiver, set {section}.external.{receiver}, and the secret {sent} with `pulumi config set "
        f"--secret {sent} -s STACK`, or without Pulumi with `{secret_keys.variable(sent)}=… make deploy STACK=…`. To "
        f"send the header Authorization to the query API, set authorizeQueries: true and the secret {queried}"
    )
