"""Encryption of what is stored: AES-256-GCM under keys derived from the instance's secret.

An envelope, in bytes: version 1, key id 4, salt 16, nonce 12, then ciphertext and tag. The key id names the secret, so
that an old one can still open what it sealed. The salt makes a key of its own for each process, so that random nonces
never run short, however many jobs are sealed.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SHORTEST_SECRET: Final = 32
KEY_FILE: Final = "secret.key"

_VERSION: Final = b"\x01"
_KEY_ID: Final = slice(1, 5)
_SALT: Final = slice(5, 21)
_NONCE: Final = slice(21, 33)
_HEAD: Final = 33
LOOK_EVERY: Final = 1.0
"""Seconds for which keys are taken to be as they were."""
_MOST_SALTS: Final = 1024
"""Derived keys kept for opening; each is one process that sealed something."""


log = structlog.get_logger()


class Unsealable(Exception):
    """Sealed under a secret that is not known here, for another purpose, or changed since."""


def make_secret() -> str:
    return secrets.token_urlsafe(48)


def _derive(secret: str, purpose: str, salt: bytes = b"") -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt or None, info=f"reverie {purpose}".encode()).derive(
        secret.encode()
    )


class Sealer:
    """Seals with *secret*; opens what it or one of the *older* secrets sealed.

    Args:
        secret: any text of 32 characters or more.
        changed: the secrets as they are now, the one in use first, if they may have changed since it was last asked;
            else None. It is asked at most once in `LOOK_EVERY`, and whenever a key is not known.

    Raises:
        ValueError: a secret is too short.
    """

    def __init__(
        self, secret: str, older: Sequence[str] = (), *, changed: Callable[[], Sequence[str] | None] = lambda: None
    ) -> None:
        self._changed = changed
        self._look_at = float("-inf")
        self._salt = os.urandom(16)
        self._ciphers: dict[tuple[bytes, bytes], AESGCM] = {}
        self._learn([secret, *older])

    def _learn(self, secrets: Sequence[str]) -> None:
        if any(len(text) < SHORTEST_SECRET for text in secrets):
            raise ValueError(f"a secret key needs {SHORTEST_SECRET} characters or more")
        self._secrets = {_derive(text, "key id")[:4]: text for text in reversed(secrets)}
        self._key_id = _derive(secrets[0], "key id")[:4]
        self._token_keys = {_name(text): _derive(text, "tokens") for text in secrets}
        self._token_key = (_name(secrets[0]), self._token_keys[_name(secrets[0])])

    def _look(self, *, now: bool = False) -> None:
        """Learn of keys that came and went."""
        if not now and time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_EVERY
        if (secrets := self._changed()) is not None:
            known = [*self._secrets]
            self._learn(secrets)
            if known != [*self._secrets]:
                log.info("key.changed", in_use=self._key_id.hex(), keys=len(self._secrets))

    @property
    def key_id(self) -> str:
        """Names the secret in use without telling it."""
        self._look()
        return self._key_id.hex()

    @property
    def key_ids(self) -> list[str]:
        """Of every secret that can open something."""
        self._look()
        return [key_id.hex() for key_id in self._secrets]

    @property
    def token_key(self) -> tuple[str, bytes]:
        """Id and bytes of the key that signs session tokens."""
        self._look()
        return self._token_key

    @property
    def token_keys(self) -> Mapping[str, bytes]:
        """Every key whose tokens are still believed, by id."""
        self._look()
        return self._token_keys

    def seal(self, data: bytes, *, about: str = "") -> bytes:
        """Encrypt *data*; *about* is not stored, and must be the same when it is opened."""
        self._look()
        nonce = os.urandom(12)
        sealed = self._cipher(self._key_id, self._salt).encrypt(nonce, data, about.encode())
        return b"".join((_VERSION, self._key_id, self._salt, nonce, sealed))

    def open(self, data: bytes, *, about: str = "") -> bytes:
        """The opposite of `seal`.

        Raises:
            Unsealable
        """
        if len(data) < _HEAD or data[:1] != _VERSION:
            raise Unsealable("this is not a sealed value")
        key_id = bytes(data[_KEY_ID])
        if key_id not in self._secrets:
            self._look(now=True)
        if key_id not in self._secrets:
            raise Unsealable(f"sealed under key {key_id.hex()}, which is not known here; see REVERIE_SECRET_KEY")
        cipher = self._cipher(key_id, bytes(data[_SALT]))
        try:
            return cipher.decrypt(data[_NONCE], data[_HEAD:], about.encode())
        except InvalidTag as error:
            raise Unsealable("the sealed value was changed, or belongs elsewhere") from error

    def seal_text(self, text: str, *, about: str = "") -> str:
        """`seal` for text columns: base64 of the envelope."""
        return base64.b64encode(self.seal(text.encode(), about=about)).decode()

    def open_text(self, text: str, *, about: str = "") -> str:
        """The opposite of `seal_text`.

        Raises:
            Unsealable
        """
        try:
            data = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise Unsealable("this is not a sealed value") from error
        return self.open(data, about=about).decode()

    def _cipher(self, key_id: bytes, salt: bytes) -> AESGCM:
        cipher = self._ciphers.get((key_id, salt))
        if cipher is None:
            if len(self._ciphers) >= _MOST_SALTS:
                self._ciphers.clear()
            cipher = AESGCM(_derive(self._secrets[key_id], "sealing", salt))
            self._ciphers[key_id, salt] = cipher
        return cipher


def _name(secret: str) -> str:
    return hashlib.sha256(_derive(secret, "token key id")).hexdigest()[:12]


def key_id_of(sealed: bytes) -> str:
    """The id of the key that sealed something; ``""`` for what is no sealed value."""
    return bytes(sealed[_KEY_ID]).hex() if len(sealed) >= _HEAD and sealed[:1] == _VERSION else ""


def key_id_of_text(sealed: str) -> str:
    """`key_id_of` for what `Sealer.seal_text` made."""
    try:
        return key_id_of(base64.b64decode(sealed, validate=True))
    except binascii.Error:
        return ""


def key_id_of_secret(secret: str) -> str:
    return _derive(secret, "key id")[:4].hex()


def sealer_for(folder: Path, secret: str | None = None, older: Sequence[str] = ()) -> Sealer:
    """The sealer of an instance: with *secret*, or else with the keys in *folder*, which it watches.

    Raises:
        OSError, ValueError: see `secret_from`.
    """
    if secret is not None:
        return Sealer(secret, older)
    secret_from(folder)
    file = KeyFile(folder)
    first, *rest = [*file.secrets(), *older]

    def changed() -> Sequence[str] | None:
        found = file.changed()
        return None if found is None else [*found, *older]

    return Sealer(first, rest, changed=changed)


class KeyFile:
    """The secrets in a data folder, one on each line: the one in use, then those of before."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / KEY_FILE
        self._seen: tuple[int, int] | None = None

    def secrets(self) -> list[str]:
        """Those in the file.

        Raises:
            OSError, ValueError: it cannot be read, or holds something too short.
        """
        lines = [line.strip() for line in self.path.read_text(encoding="utf-8").splitlines() if line.strip()]
        if not lines or any(len(line) < SHORTEST_SECRET for line in lines):
            raise ValueError(f"{self.path} holds fewer than {SHORTEST_SECRET} characters")
        return lines

    def changed(self) -> list[str] | None:
        """The secrets, if the file is another than when this was last asked; one that cannot be read is no news."""
        with contextlib.suppress(OSError, ValueError):
            status = self.path.stat()
            seen = (status.st_ino, status.st_mtime_ns)
            if seen != self._seen:
                found = self.secrets()
                self._seen = seen
                return found
        return None

    def write(self, secrets: Sequence[str]) -> None:
        """Replace all of them, at one stroke and durably."""
        draft = _draft(self.path, "\n".join(secrets) + "\n")
        draft.replace(self.path)
        _keep_name(self.path)


def secret_from(folder: Path) -> str:
    """The secret in use of those kept in *folder*, made now if there is none; readable by its owner only.

    Two processes that start together agree: the file appears whole, by one link that only the first can make.

    Raises:
        OSError: the folder cannot be written.
        ValueError: the file holds something too short.
    """
    path = folder / KEY_FILE
    if not path.exists():
        _put_secret(path)
    return KeyFile(folder).secrets()[0]


def _put_secret(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path, make_secret() + "\n")
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        _keep_name(path)
    finally:
        draft.unlink()


def _draft(path: Path, text: str) -> Path:
    """A file beside *path* that holds *text*, durably, for its owner only."""
    descriptor, name = tempfile.mkstemp(prefix=".secret-", dir=path.parent)  # mode 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _keep_name(path: Path) -> None:
    """Make durable that the folder has this name for it."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
