"""Seals what the record keeps of things with secrets, with the keys of a file."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockstep.worker.operation.content import Content
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.process.secrets import know

if TYPE_CHECKING:
    from lockstep.worker.kinds.kind import Kind


class Seal:
    """What the texts of one thing are kept under: sealed with a key, or, without one, as they are."""

    def __init__(self, about: str, key_id: str = "", key: bytes = b"") -> None:
        """`about` names the thing: what was sealed for it opens for no other."""
        self.id, self._about = key_id, about.encode()
        self._key = key and hmac.digest(key, b"lockstep: seal", "sha256")
        self._digests = key and hmac.digest(key, b"lockstep: digest", "sha256")

    def digest(self, text: str) -> str:
        """Return the SHA-256 of a text, in hexadecimal; with a key nobody else can tell what it is of."""
        if not self._key:
            return hashlib.sha256(text.encode()).hexdigest()
        return hmac.new(self._digests, self._about + b"\0" + text.encode(), hashlib.sha256).hexdigest()

    def seal(self, text: str) -> str:
        """Return the text sealed by AES-GCM, a multiple of 64 bytes long, behind the id of its key."""
        if not self._key:
            return text
        nonce, plain = os.urandom(12), text.encode()
        padded = plain + b" " * (-len(plain) % 64)
        sealed = nonce + _aes(self._key).encrypt(nonce, padded, self._about)
        return f"{self.id}:{base64.b64encode(sealed).decode()}"

    def open(self, sealed: str) -> str:
        """Return the text. Raises InvalidInput for what this key did not seal for this thing."""
        if not self._key:
            return sealed
        aes = _aes(self._key)
        try:
            raw = base64.b64decode(sealed.partition(":")[2], validate=True)
            return str(aes.decrypt(raw[:12], raw[12:], self._about), "utf-8").rstrip(" ")
        except Exception as error:  # InvalidTag, or what a wrong length or letter raises
            why = "it was changed, or sealed for another thing"
            raise InvalidInput(f"what is sealed with key {self.id} does not open: {why}") from error


def _aes(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise InvalidInput("secrets of things need cryptography: pip install 'lockstep[secrets]'") from None
    return AESGCM(key)


class SealKeys:
    """The keys of a file, which is read for each use, so that a new one counts at once."""

    def __init__(self, path: str = "") -> None:
        self.path = path

    def read(self) -> dict[str, bytes]:
        """Return the keys by their ids; the first seals. Raises InvalidInput, with nothing of the file."""
        if not self.path:
            raise InvalidInput(
                "no key seals the secrets of things: LOCKSTEP_SEAL_KEY_FILE names a file of keys"
            )
        noun = f"seal key file {self.path!r}"
        try:
            text = Path(self.path).read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not ASCII text"
            raise InvalidInput(f"{noun} cannot be read: {why}") from None
        found = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not (line := line.partition("#")[0].strip()):
                continue
            know(line)
            try:
                key = base64.b64decode(line, validate=True)
            except binascii.Error:
                key = b""
            if len(key) != 32:
                rule = "must be 32 random bytes in base64: openssl rand -base64 32"
                raise InvalidInput(f"line {number} of {noun} {rule}")
            found[hmac.digest(key, b"lockstep: id", "sha256").hex()[:8]] = key
        if not found:
            raise InvalidInput(f"{noun} has no key: openssl rand -base64 32 makes one")
        return found

    def of(self, about: str, key_id: str = "") -> Seal:
        """Return the seal for a thing with this key, or with the first. Raises InvalidInput."""
        keys = self.read()
        chosen = key_id or next(iter(keys))
        if chosen not in keys:
            raise InvalidInput(
                f"it is sealed with key {chosen}, and {self.path!r} has {', '.join(keys)} alone"
            )
        return Seal(about, chosen, keys[chosen])

    def open(self, about: str, sealed: str) -> str:
        """Return what any of the keys sealed for a thing. Raises InvalidInput."""
        return self.of(about, sealed.partition(":")[0]).open(sealed)

    def content(self, kind: Kind, about: str, text: str | None) -> Content | None:
        """Return the content of a text as it is kept; None for none. Raises InvalidInput."""
        if text is None:
            return None
        return Content.read(self.open(about, text) if kind.sealed else text)

    def told(self) -> str:
        """Return the ids of the keys, the one that seals first, or why there is none: for people."""
        try:
            return ", ".join(self.read())
        except InvalidInput as error:
            return str(error) if self.path else ""
