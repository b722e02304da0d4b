"""An identity provider on this machine: an HTTP server with public keys, and tokens that its private keys sign."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AUDIENCE: Final = "web-crawl"
_LIFETIME_SECONDS: Final = 3600

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class SigningKey:
    """A pair of keys."""

    id: str
    algorithm: str
    private: PrivateKey

    @classmethod
    def make(cls, key_id: str, algorithm: str = "RS256") -> "SigningKey":
        """Make a pair for RS256, ES256 or EdDSA."""
        makers: Mapping[str, Any] = {
            "RS256": lambda: rsa.generate_private_key(65537, 2048),
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }
        return cls(key_id, algorithm, makers[algorithm]())

    def public(self) -> dict[str, Any]:
        """Return the public key as an entry of a JWKS."""
        algorithms: Mapping[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}
        entry = json.loads(algorithms[self.algorithm].to_jwk(self.private.public_key()))
        return {**entry, "kid": self.id, "alg": self.algorithm, "use": "sig"}


@dataclass
class Issuer:
    """The identity provider."""

    url: str = ""
    keys: list[SigningKey] = field(default_factory=list)
    """Those that it publishes; the first one signs."""
    document: bytes | None = None
    """What it answers instead of its keys."""
    is_available: bool = True
    requests: int = 0

    @property
    def keys_url(self) -> str:
        """URL of the JWKS."""
        return f"{self.url}/keys"

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a good token; a change to None leaves a claim out."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + _LIFETIME_SECONDS, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, key: SigningKey | None = None, headers: Mapping[str, Any] = {}, **changes: Any) -> str:
        """Return a token with these changes to its claims."""
        signing = key or self.keys[0]
        return jwt.encode(
            self.claims(**changes), signing.private, signing.algorithm, headers={"kid": signing.id, **headers}
        )


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """Run an identity provider with a key of each algorithm."""
    issuer = Issuer(keys=[SigningKey.make(name.lower(), name) for name in ("RS256", "ES256", "EdDSA")])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.requests += 1
            published = json.dumps({"keys": [key.public() for key in issuer.keys]}).encode()
            body = issuer.document or published
            self.send_response(200 if issuer.is_available else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    issuer.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
