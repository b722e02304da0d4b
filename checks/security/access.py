"""Attacks on access to the gateway: forged tokens, guessed keys, other callers' tasks, too many requests."""

import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, Final

import httpx

from checks.security.issuer import Issuer
from checks.security.outcome import Outcome
from checks.security.services import KEYS, SERVICE_TOKEN, STACK_KEY, Services
from checks.security.tokens import forged
from contracts.access import STACK_CALLER, Role, owner_of_key
from contracts.http import TASKS
from stack.polling import poll_until

BODY: Final = {"user_email": "ada@example.com", "user_query": "?", "base_url": "http://site.example/"}
REFUSED: Final = frozenset({httpx.codes.UNAUTHORIZED})


def bearer(credential: str) -> dict[str, str]:
    """Return the header with a credential."""
    return {"Authorization": f"Bearer {credential}"}


def submit(client: httpx.Client, credential: str, **changes: Any) -> str:
    """Submit a task and return its id once it can be read."""
    headers = bearer(credential)
    identifier = str(client.post(TASKS, json={**BODY, **changes}, headers=headers).raise_for_status().json()["id"])
    poll_until("the task", lambda: client.get(f"{TASKS}/{identifier}", headers=headers).is_success)
    return identifier


def forged_tokens(services: Services, issuer: Issuer, count: int, seed: int) -> list[Outcome]:
    """Try tokens that nothing may accept, one kind of attack after the other; half of them to submit a task.

    Every 500 tokens, a good token of each algorithm must still be accepted: a gateway that refuses all is no defence.
    """
    outcomes: dict[str, Outcome] = defaultdict(lambda: Outcome(attack=""))
    with httpx.Client(base_url=services.gateway, timeout=30) as client:
        for number, (attack, token) in enumerate(forged(issuer, count, seed)):
            outcome = outcomes[attack]
            outcome.attack = f"token: {attack}"
            answer = _try(client, token, is_submission=bool(number % 2))
            outcome.add(None if answer in REFUSED else f"status {answer}")
            if number % 500 == 0:
                for key in issuer.keys:
                    answer = _try(client, issuer.token(key=key), is_submission=False)
                    if answer != httpx.codes.OK:
                        outcome.successes.append(f"a good token of {key.algorithm} is refused: {answer}")
    return list(outcomes.values())


def _try(client: httpx.Client, token: str, *, is_submission: bool) -> int:
    headers = [(b"Authorization", b"Bearer " + token.encode("latin-1"))]
    request = (
        client.build_request("POST", TASKS, json=BODY, headers=headers)
        if is_submission
        else client.build_request("GET", TASKS, headers=headers)
    )
    return client.send(request).status_code


def guessed_keys(services: Services, count: int, seed: int) -> Outcome:
    """Try texts that are no API key: near ones, their hashes, odd headers."""
    outcome = Outcome(attack="API key: near, random and malformed ones")
    with httpx.Client(base_url=services.gateway, timeout=30) as client:
        for headers in _credentials(Random(seed), count):
            try:
                status = client.get(TASKS, headers=headers).status_code
            except httpx.LocalProtocolError:  # the client itself refuses to send it
                continue
            is_refused = status in (*REFUSED, httpx.codes.BAD_REQUEST)
            outcome.add(None if is_refused else f"{status} to {headers}")
    return outcome


def _credentials(random: Random, count: int) -> Iterator[list[tuple[bytes, bytes]]]:
    from service.common.access import digest

    keys = [STACK_KEY, *KEYS.values()]
    for _ in range(count):
        key = random.choice(keys)
        place = random.randrange(len(key))
        near = random.choice(
            [
                key[:place],
                f"{key[:place]}{chr(33 + (ord(key[place]) - 32) % 90)}{key[place + 1 :]}",
                f"{key}{random.choice('aA0 ')}.",
                digest(key),
                key.swapcase(),
                SERVICE_TOKEN,
                "",
                f"{key},{key}",
                f"{key} {key}",
                f"{key}\x00".replace("\x00", "%00"),
                "".join(chr(random.randrange(33, 127)) for _ in range(random.randint(1, 100))),
                "x" * random.choice([8192, 8193, 20_000]),
            ]
        ).encode()
        scheme = random.choice([b"Bearer ", b"bearer ", b"Basic ", b"", b"Token ", b"Bearer  ", b"Bearer\t"])
        yield random.choice(
            [
                [(b"Authorization", b"Bearer " + near)],
                [(b"Authorization", scheme + near)],
                [(b"Authorization", b"Bearer " + key.encode()), (b"Authorization", b"Bearer " + near)],
                [(b"X-API-Key", key.encode())],
                [(b"x-caller", b"key:a-user"), (b"x-caller-role", b"support")],
                [(b"Cookie", b"Authorization=" + key.encode())],
            ]
        )


def foreign_tasks(services: Services, issuer: Issuer, count: int, seed: int) -> Outcome:
    """Read tasks of other callers, by id and in lists, with headers and parameters that might widen the view."""
    outcome = Outcome(attack="a caller reads other callers' tasks, or their addresses")
    random = Random(seed)
    callers = {"key": KEYS[Role.USER], "stack": STACK_KEY, **{name: issuer.token(sub=name) for name in ("ada", "bob")}}
    widened: list[dict[str, str]] = [
        {},
        {"x-caller": owner_of_key(STACK_CALLER), "x-caller-role": "support"},
        {"X-Caller-Role": "operator"},
        {"x-forwarded-user": "ada"},
    ]
    with httpx.Client(base_url=services.gateway, timeout=30) as client:
        own = {name: submit(client, key, user_email=f"{name}@example.com") for name, key in callers.items()}
        for _ in range(count):
            reader, owner = random.sample(sorted(own), 2)
            headers = {**random.choice(widened), **bearer(callers[reader])}
            if random.random() < 0.5:
                answer = client.get(f"{TASKS}/{own[owner]}", headers=headers)
                outcome.add(None if answer.status_code == httpx.codes.NOT_FOUND else f"{reader} reads {owner}'s task")
            else:
                items = client.get(TASKS, headers=headers, params={"limit": 100}).raise_for_status().json()["items"]
                identifiers = {item["id"] for item in items}
                outcome.add(None if identifiers == {own[reader]} else f"{reader} lists {identifiers - {own[reader]}}")
        _operators(client, own, outcome)
    return outcome


def _operators(client: httpx.Client, own: Mapping[str, str], outcome: Outcome) -> None:
    """An operator reads all tasks without addresses, the support with them."""
    for role, shows in ((Role.OPERATOR, False), (Role.SUPPORT, True)):
        for name, identifier in own.items():
            answer = client.get(f"{TASKS}/{identifier}", headers=bearer(KEYS[role]))
            address = answer.raise_for_status().json()["user_email"]
            outcome.add(None if address == (f"{name}@example.com" if shows else None) else f"{role} sees {address}")


def direct_requests(services: Services, count: int, seed: int) -> Outcome:
    """Ask the task-manager without the gateway's token, in the name of a caller."""
    outcome = Outcome(attack="the task-manager is asked without the gateway")
    random = Random(seed)
    with httpx.Client(base_url=services.task_manager, timeout=30) as client:
        for _ in range(count):
            credential = random.choice(["", STACK_KEY, *KEYS.values(), SERVICE_TOKEN[:-1], SERVICE_TOKEN.upper()])
            headers = {
                "x-caller": owner_of_key(STACK_CALLER),
                "x-caller-role": "support",
                **(bearer(credential) if credential else {}),
            }
            path = random.choice([TASKS, f"{TASKS}/{uuid.uuid4()}"])
            status = client.get(path, headers=headers).status_code
            outcome.add(None if status in REFUSED else f"status {status}")
        # With the token and without a caller, or with a role that does not exist: refused as well.
        for odd in ({}, {"x-caller": "a"}, {"x-caller": "a", "x-caller-role": "root"}):
            status = client.get(TASKS, headers={**bearer(SERVICE_TOKEN), **odd}).status_code
            outcome.add(None if status in REFUSED else f"status {status}")
    return outcome


def leaked_credentials(services: Services, issuer: Issuer) -> Outcome:
    """Look for the credentials that were sent in all that the services exported and logged."""
    outcome = Outcome(attack="credentials in spans, logs and metrics")
    token = issuer.token(sub="leak")
    signature = token.rpartition(".")[2]
    with httpx.Client(timeout=30) as client:
        for path in (TASKS, f"{TASKS}/{uuid.uuid4()}", "/nowhere"):
            for credential in (token, STACK_KEY, *KEYS.values(), f"{token[:-9]}AAAAAAAAA"):
                client.get(f"{services.gateway}{path}", headers=bearer(credential))
        poll_until("the exports", lambda: services.exported() != b"")
        exposed = [client.get(f"{url}/api/metrics").text for url in (services.gateway, services.task_manager)]
    kept = services.exported() + services.log.encode() + "".join(exposed).encode()
    for credential in (STACK_KEY, *KEYS.values(), SERVICE_TOKEN, signature, token):
        outcome.add(f"{credential[:8]}… is there" if credential.encode() in kept else None)
    return outcome
