"""PostgreSQL: one schema of one database per service.

dialect.py     `PostgresqlDialect`: statements, values to the client
settings.py    what a service is set to → where the database is, and how its connections behave
routines.py    procedures and functions, from pg_catalog
catalogue.py   tables, columns and keys, from pg_catalog
"""

from reverie.services.sql.dialects.postgresql.dialect import PostgresqlDialect

__all__ = ["PostgresqlDialect"]
