"""An authority and what it signs, made with the openssl command for one test run."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; `file` is what its friends trust."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self.file = directory / "ca.pem"
        self._key = directory / "ca.key"
        subject = ["-subj", f"/CN={directory.name}", "-addext", "keyUsage=critical,keyCertSign"]
        _openssl("req", "-x509", "-days", "2", *_new_key(self._key), "-out", str(self.file), *subject)

    def sign(self, name: str, alternative: str) -> Signed:
        """Sign a certificate for a subject alternative name such as IP:127.0.0.1."""
        signed = Signed(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        request, extensions = self._directory / f"{name}.csr", self._directory / f"{name}.ext"
        # Python asks for the rest from 3.13 on.
        extensions.write_text(
            f"subjectAltName={alternative}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        _openssl("req", *_new_key(signed.key), "-out", str(request), "-subj", f"/CN={name}")
        authority = ["-CA", str(self.file), "-CAkey", str(self._key), "-CAcreateserial"]
        files = ["-in", str(request), "-out", str(signed.certificate), "-extfile", str(extensions)]
        _openssl("x509", "-req", "-days", "2", *files, *authority)
        return signed


def _new_key(file: Path) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(file)]


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
