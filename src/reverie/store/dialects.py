"""SQLAlchemy's dialects as the store uses them: the same statement means the same on each database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import types
from sqlalchemy.dialects.postgresql.asyncpg import AsyncpgBigInteger, PGCompiler_asyncpg, PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Dialect


class _Compiler(PGCompiler_asyncpg):
    """Patterns as SQLite matches them: of any column, in any case, with no character that takes away a meaning."""

    def visit_like_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        left, right = binary.left._compiler_dispatch(self, **kw), binary.right._compiler_dispatch(self, **kw)
        return f"CAST({left} AS TEXT) ILIKE {right} ESCAPE ''"


class _Postgresql(PGDialect_asyncpg):
    """Integers are bound as wide as they may be: a number that no column holds is not found, and no mistake."""

    statement_compiler = _Compiler
    supports_statement_cache = True
    colspecs = {**PGDialect_asyncpg.colspecs, types.Integer: AsyncpgBigInteger}


def dialect_of(name: str) -> Dialect:
    """The dialect of `Database.dialect`."""
    kinds: dict[str, type[Dialect]] = {"sqlite": SQLiteDialect_pysqlite, "postgresql": _Postgresql}
    return kinds[name]()
