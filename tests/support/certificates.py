"""An authority of our own, and what it signs, as the files that servers, Python and Java read."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

VALID = timedelta(hours=2)


class Authority:
    """Signs certificates for 127.0.0.1.

    Attributes:
        certificate: PEM file to trust it by.
        truststore: PKCS #12 file that Java trusts it by.
    """

    def __init__(self, directory: Path, *, password: str) -> None:
        """Writes its files to the directory; `password` protects those of Java."""
        self._directory = directory
        self._password = password.encode()
        self._key = rsa.generate_private_key(65537, 2048)
        self._certificate = _signed("our authority", self._key, issuer=None, issuer_key=self._key)
        self.certificate = directory / "ca.pem"
        self.certificate.write_bytes(_pem(self._certificate))
        self.truststore = directory / "truststore.p12"
        trusted = [pkcs12.PKCS12Certificate(self._certificate, b"ca")]
        encryption = serialization.BestAvailableEncryption(self._password)
        self.truststore.write_bytes(pkcs12.serialize_java_truststore(trusted, encryption))

    def sign(self, name: str) -> tuple[Path, Path, Path]:
        """Files of a new certificate: PEM, its key, and both as PKCS #12."""
        key = rsa.generate_private_key(65537, 2048)
        certificate = _signed(name, key, issuer=self._certificate.subject, issuer_key=self._key)
        files = [self._directory / f"{name}.{ending}" for ending in ("pem", "key", "p12")]
        files[0].write_bytes(_pem(certificate))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        encryption = serialization.BestAvailableEncryption(self._password)
        bundle = pkcs12.serialize_key_and_certificates(b"own", key, certificate, None, encryption)
        files[2].write_bytes(bundle)
        return files[0], files[1], files[2]


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _signed(
    name: str,
    key: rsa.RSAPrivateKey,
    *,
    issuer: x509.Name | None,
    issuer_key: rsa.RSAPrivateKey,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID)
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )
