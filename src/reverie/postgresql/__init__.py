"""A PostgreSQL database: the only way to the server, and to asyncpg.

address.py     what a URL says: where, and whether a pooler stands between
errors.py      asyncpg's exceptions → ours; none leaves this package
connection.py  one connection inside a unit of work
pool.py        connections of one event loop, opened when needed
listener.py    the one connection that hears notifications
database.py    `Database`: units of work and single statements
"""

from __future__ import annotations

from reverie.postgresql.address import Address
from reverie.postgresql.database import PostgresqlDatabase

__all__ = ["Address", "PostgresqlDatabase"]
