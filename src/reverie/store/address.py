"""Where the platform's own store is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reverie.postgresql.address import Address


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A SQLite file or a PostgreSQL database: one of the two is None. Shown without a password."""

    file: Path | None = None
    server: Address | None = None

    @classmethod
    def parse(cls, url: str) -> StoreAddress:
        """Read ``sqlite:///path`` or ``postgresql://...``. Raises ValueError with words for a person."""
        if url.startswith("postgres"):
            return cls(server=Address.parse(url))
        if not url.startswith("sqlite:"):
            raise ValueError(
                "expected sqlite:/// and the path of a file, or postgresql://user:password@host:5432/database"
            )
        path = url.removeprefix("sqlite:///")
        if path == url or not path or path.startswith(":memory:"):
            raise ValueError("expected sqlite:/// and the path of a file")
        return cls(file=Path(path).expanduser().absolute())

    @property
    def path(self) -> Path:
        """The SQLite file; asked for only where it is one."""
        if self.file is None:
            raise ValueError(f"{self} is no file")
        return self.file

    def __str__(self) -> str:
        return str(self.file or self.server)
