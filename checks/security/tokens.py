"""Tokens that no identity provider has issued, or that are not for the gateway, by kind of attack."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any, Final

from cryptography.hazmat.primitives import serialization

from checks.security.issuer import Issuer, SigningKey

Forge = Callable[[Issuer, Random], str]


def _encoded(content: Any) -> str:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unsigned(issuer: Issuer, algorithm: Any, signature: str = "") -> str:
    header = _encoded({"alg": algorithm, "typ": "JWT", "kid": issuer.keys[0].id})
    return f"{header}.{_encoded(issuer.claims())}.{signature}"


def _none(issuer: Issuer, random: Random) -> str:
    return _unsigned(issuer, random.choice(["none", "None", "NONE", "nOnE", "", None]), random.choice(["", "AAAA"]))


def _confused(issuer: Issuer, random: Random) -> str:
    """Sign with an HMAC whose key is the public key, in one of the forms in which it is published."""
    key = random.choice(issuer.keys)
    public = key.private.public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    forms = (
        public.public_bytes(serialization.Encoding.PEM, spki),
        public.public_bytes(serialization.Encoding.PEM, spki).strip(),
        public.public_bytes(serialization.Encoding.DER, spki),
        json.dumps(key.public()).encode(),
        str(key.public().get("n") or key.public()["x"]).encode(),
    )
    name, digest = random.choice([("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)])
    body = f"{_encoded({'alg': name, 'kid': key.id})}.{_encoded(issuer.claims())}"
    return f"{body}.{_encoded(hmac.digest(random.choice(forms), body.encode(), digest))}"


def _stranger(issuer: Issuer, random: Random) -> str:
    """Sign with a key of the attacker, under the id of a key of the issuer."""
    own = _STRANGERS[random.choice([key.algorithm for key in issuer.keys])]
    return issuer.token(key=SigningKey(random.choice(issuer.keys).id, own.algorithm, own.private))


def _unknown_id(issuer: Issuer, random: Random) -> str:
    own = random.choice([*_STRANGERS.values(), issuer.keys[0]])
    return issuer.token(key=SigningKey(f"{random.getrandbits(64):x}", own.algorithm, own.private))


def _embedded(issuer: Issuer, random: Random) -> str:
    """Bring the key along, or name a place to fetch it from."""
    own = random.choice([*_STRANGERS.values()])
    choices: list[dict[str, Any]] = [
        {"jwk": own.public()},
        {"jku": f"{issuer.url}/other"},
        {"x5u": "http://127.0.0.1/"},
        {"kid": "../keys"},
    ]
    headers = random.choice(choices)
    return issuer.token(key=own, headers={"kid": issuer.keys[0].id, **headers})


def _expired(issuer: Issuer, random: Random) -> str:
    now = issuer.claims()["iat"]
    return issuer.token(key=random.choice(issuer.keys), exp=now - random.randint(11, 10**9))


def _early(issuer: Issuer, random: Random) -> str:
    now = issuer.claims()["iat"]
    return issuer.token(key=random.choice(issuer.keys), nbf=now + random.randint(60, 10**9))


def _other_audience(issuer: Issuer, random: Random) -> str:
    audience = random.choice(["web-crawl ", "Web-Crawl", "", "other", ["other"], [], ["web-crawl2", "x"], None])
    return issuer.token(key=random.choice(issuer.keys), aud=audience)


def _other_issuer(issuer: Issuer, random: Random) -> str:
    name = random.choice([f"{issuer.url}/", issuer.url.upper(), "https://evil.example", "", None])
    return issuer.token(key=random.choice(issuer.keys), iss=name)


def _lacking(issuer: Issuer, random: Random) -> str:
    changes: dict[str, Any] = {random.choice(["exp", "sub", "iss", "aud"]): None}
    return issuer.token(key=random.choice(issuer.keys), **changes)


def _odd_claims(issuer: Issuer, random: Random) -> str:
    """Claims of other types than RFC 7519 gives them, in a token whose signature is good."""
    odd: list[Mapping[str, Any]] = [
        {"exp": "never"}, {"exp": [9**20]}, {"exp": {}}, {"exp": 1e400}, {"exp": "1"}, {"nbf": "later"},
        {"sub": ""}, {"sub": 7}, {"sub": ["ada"]}, {"sub": "x" * 256}, {"sub": "a\x00b"}, {"iss": [issuer.url]},
        {"aud": {"web-crawl": 1}}, {"aud": 7}, {"aud": [["web-crawl"]]}, {"iat": "now"},
    ]  # fmt: skip
    return _signed_by_hand(issuer, random.choice(odd))


def _signed_by_hand(issuer: Issuer, changes: Mapping[str, Any]) -> str:
    """Sign claims that PyJWT refuses to encode."""
    import jwt

    key = issuer.keys[0]
    payload = json.dumps({**issuer.claims(), **changes}).encode()
    return jwt.api_jws.encode(payload, key.private, key.algorithm, headers={"kid": key.id})


def _mangled(issuer: Issuer, random: Random) -> str:
    """Change a good token in one place."""
    token = issuer.token(key=random.choice(issuer.keys))
    header, payload, signature = token.split(".")
    place = random.randrange(len(token) - 4)  # the last digits of base64 have bits that do not count
    other = random.choice([character for character in _ALPHABET if character != token[place]])
    return random.choice(
        [
            f"{token[:place]}{other}{token[place + 1 :]}"
            if not _only_padding(token, place)
            else f"{header}.{payload}.",
            f"{header}.{payload}.",
            f"{header}.{payload}",
            f"{header}.{_encoded(issuer.claims(sub='root', roles=['support']))}.{signature}",
            f"{header}.{payload}.{signature}.{signature}",
            f"{payload}.{header}.{signature}",
            f"{token[:place]}\xff{token[place:]}",
            f"{header}..{signature}",
            token[:place],
            "." * random.randint(1, 9),
            f"{_encoded(b'[]')}.{payload}.{signature}",
            f"{_encoded(b'{')}.{payload}.{signature}",
            f"{_encoded(b'[' * 20_000)}.{payload}.{signature}"[:8000],
        ]
    )


def _only_padding(token: str, place: int) -> bool:
    """Return whether a place is the last digit of a part, some of whose bits do not count."""
    return token[place] == "." or place + 1 == len(token) or token[place + 1] == "."


def _noise(_: Issuer, random: Random) -> str:
    return "".join(random.choices(_ALPHABET + ".", k=random.randint(1, 400)))


def _with_critical_extension(issuer: Issuer, random: Random) -> str:
    """Demand an extension that the gateway does not know (RFC 7515, `crit`)."""
    return issuer.token(key=issuer.keys[0], headers={"crit": random.choice([["x"], ["b64"], []]), "x": 1})


_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_STRANGERS: Final = {name: SigningKey.make("stranger", name) for name in ("RS256", "ES256", "EdDSA")}
ATTACKS: Final[Mapping[str, Forge]] = {
    "no signature (alg=none)": _none,
    "HMAC with the public key": _confused,
    "signed by a stranger": _stranger,
    "unknown key id": _unknown_id,
    "key brought along": _embedded,
    "expired": _expired,
    "not yet valid": _early,
    "other audience": _other_audience,
    "other issuer": _other_issuer,
    "a claim is missing": _lacking,
    "claims of other types": _odd_claims,
    "unknown critical extension": _with_critical_extension,
    "mangled": _mangled,
    "noise": _noise,
}


def forged(issuer: Issuer, count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield (attack, token), the attacks in turn."""
    random = Random(seed)
    names = list(ATTACKS)
    for number in range(count):
        name = names[number % len(names)]
        yield name, ATTACKS[name](issuer, random)
