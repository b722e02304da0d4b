"""The stack's own certificate authority, as a pure function of a random text.

All keys and certificates are derived from the text, so nothing but the text is kept, and a deployment without a change
changes no object. Who has the text can issue certificates, as with the private key of an authority.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

RENEWAL: Final = timedelta(days=30)
"""The first deployment of each such period renews the certificates of the servers, with new keys."""
LIFETIME: Final = timedelta(days=397)
"""Of a server's certificate. A deployment alone renews it, so it is valid for about a year without one."""
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_AUTHORITY_END: Final = datetime(2046, 1, 1, tzinfo=UTC)
_CURVE: Final = ec.SECP256R1()
_ORDER_OF_CURVE: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256: its private keys are the numbers from 1 to this one, without it (FIPS 186-5)."""
# Keys are derived from 16 bytes more than they have, so that no key is likelier than another (FIPS 186-5, A.2.1).
_KEY_BYTES: Final = 32 + 16
_SERIAL_BYTES: Final = 16
_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A server's certificate with its private key, both as PEM."""

    certificate: str
    key: str

    @property
    def combined(self) -> str:
        """The key and then the certificate, as servers read them from one file."""
        return self.key + self.certificate


class Authority:
    """Issues the certificates of one stack's servers, or of a group of them."""

    def __init__(self, seed: str, group: str | None = None) -> None:
        """Derives the authority.

        Args:
            seed: at least 16 random bytes, as text.
            group: servers that trust no certificate but those of each other; None for the authority of the stack.
        """
        of_group = f" of {group}" if group else ""
        self._seed = seed + of_group
        self._key = _private_key(self._seed, "authority")
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"web-crawl-tracing authority{of_group}")])
        own = (
            _builder(self._name, self._name, self._key, _START, _AUTHORITY_END)
            .serial_number(_serial_number(self._seed, "authority"))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        )
        self.certificate: str = _pem(_signed(own, self._key))
        """What clients verify servers with, as PEM."""

    def issue(self, name: str, hosts: Sequence[str], moment: datetime, *, is_client: bool = False) -> Certificate:
        """Return a server's certificate; it is the same for all moments of a period of `RENEWAL`.

        Args:
            name: of the server.
            hosts: DNS names and IP addresses by which clients reach it.
            moment: now.
            is_client: whether the server is a client of others, to which the certificate says who it is.
        """
        start = _START + (moment - _START) // RENEWAL * RENEWAL
        context = f"{name} {start:%Y-%m-%d}"
        key = _private_key(self._seed, context)
        end = min(start + LIFETIME, _AUTHORITY_END)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if is_client else [])]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        # An hour earlier: clocks differ.
        builder = (
            _builder(subject, self._name, key, start - timedelta(hours=1), end)
            .serial_number(_serial_number(self._seed, f"{context} {','.join(hosts)} {is_client}"))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage("digital_signature"), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Certificate(certificate=_pem(_signed(builder, self._key)), key=private.decode())


def _derive(seed: str, context: str, length: int) -> int:
    """Return a number of `length` bytes; numbers of different contexts tell nothing about each other."""
    derived = HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=context.encode()).derive(seed.encode())
    return int.from_bytes(derived)


def _private_key(seed: str, context: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(_derive(seed, f"key of {context}", _KEY_BYTES) % (_ORDER_OF_CURVE - 1) + 1, _CURVE)


def _serial_number(seed: str, context: str) -> int:
    return _derive(seed, f"serial number of {context}", _SERIAL_BYTES) or 1


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*allowed: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{usage: usage in allowed for usage in _USAGES})


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Return the certificate; without random numbers, equal certificates have equal signatures (RFC 6979)."""
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
