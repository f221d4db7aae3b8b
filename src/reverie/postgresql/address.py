"""What a URL of a PostgreSQL database says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

POOLER: Final = "pooler"
"""The parameter that says what stands between us and the server: ``transaction`` or ``session``."""


@dataclass(frozen=True, slots=True)
class Address:
    """A URL such as ``postgresql://user:password@host:5432/database``; shown without its password.

    Attributes:
        dsn: the URL without what concerns only us; several hosts, ``sslmode`` and server settings are asyncpg's.
        pooled: a pooler gives each transaction whatever connection is free: no statement and no LISTEN outlives one.
    """

    dsn: str = field(repr=False)
    pooled: bool = False

    @classmethod
    def parse(cls, url: str) -> Address:
        """Raises ValueError with words for a person, and without the password."""
        parts = urlsplit(re.sub(r"^(postgres|postgresql)(\+asyncpg)?:", "postgresql:", url.strip()))
        if parts.scheme != "postgresql":
            raise ValueError("expected postgresql://user:password@host:5432/database")
        named = dict(parse_qsl(parts.query, keep_blank_values=True))
        if not parts.path.strip("/") and not {"database", "dbname"} & named.keys():
            raise ValueError("expected the name of the database at the end: postgresql://user:password@host/database")
        mode = named.pop(POOLER, "session")
        if mode not in ("session", "transaction"):
            raise ValueError(f"expected {POOLER}=session or {POOLER}=transaction")
        dsn = urlunsplit(parts._replace(query=urlencode(named, quote_via=quote)))
        # An address without a host keeps its slashes: urlunsplit drops them.
        dsn = re.sub(r"^postgresql:/(?!/)", "postgresql:///", dsn)
        return cls(dsn, pooled=mode == "transaction")

    def __str__(self) -> str:
        """Where it is, for people: no user, no password, no parameters."""
        parts = urlsplit(self.dsn)
        return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"
