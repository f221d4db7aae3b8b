"""What a URL of a MySQL or MariaDB database says."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

TLS_MODES: Final = ("disabled", "required", "verify_identity")
"""Without encryption; encrypted with whoever answers; encrypted with who has a certificate for that host."""
OPTIONS: Final = frozenset({"ssl_mode", "timezone"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a database is, and who we are there; shown without the password.

    Attributes:
        tls: one of `TLS_MODES`.
        timezone: of the session, as the server knows it; ``""`` for the server's own.
    """

    host: str
    port: int = 3306
    database: str
    user: str
    password: str = field(default="", repr=False)
    tls: str = "disabled"
    timezone: str = ""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read ``mysql://user:password@host:3306/database``. Raises ValueError with words for a person."""
        parts = urlsplit(url.strip())
        if parts.scheme not in ("mysql", "mariadb") or not parts.hostname:
            raise ValueError("expected mysql://user:password@host:3306/database")
        try:
            port = parts.port or 3306
        except ValueError:
            raise ValueError("port must be a number up to 65535") from None
        return cls.of(
            host=parts.hostname,
            port=port,
            database=unquote(parts.path.strip("/")),
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            options=dict(parse_qsl(parts.query, keep_blank_values=True)),
        )

    @classmethod
    def of(cls, *, host: str, port: int, database: str, user: str, password: str, options: dict[str, str]) -> Address:
        """From its parts. Raises ValueError with words for a person."""
        if not database or not user:
            missing = "username" if database else "database"
            raise ValueError(f"{missing} is needed: mysql://user:password@host:3306/database")
        # The URLs of other tools spell the option with a hyphen, and its modes in capitals.
        named = {name.replace("-", "_").lower(): value for name, value in options.items()}
        if unknown := sorted(named.keys() - OPTIONS):
            raise ValueError(f"the option {unknown[0]!r} is not one of {', '.join(sorted(OPTIONS))}")
        tls = named.get("ssl_mode", "disabled").lower()
        if tls not in TLS_MODES:
            raise ValueError(f"ssl_mode must be one of {', '.join(TLS_MODES)}")
        if any("\0" in text for text in (host, database, user, password, named.get("timezone", ""))):
            raise ValueError("a NUL character is in it")
        return cls(
            host=host,
            port=port,
            database=database,
            user=user,
            password=password,
            tls=tls,
            timezone=named.get("timezone", ""),
        )

    def context(self) -> ssl.SSLContext | None:
        """What encrypts the connection; None where nothing does."""
        if self.tls == "disabled":
            return None
        found = ssl.create_default_context()
        if self.tls == "required":
            found.check_hostname = False
            found.verify_mode = ssl.CERT_NONE
        return found

    def __str__(self) -> str:
        """Where it is, for people: no user, no password, no options."""
        return f"mysql://{self.host}:{self.port}/{self.database}"
