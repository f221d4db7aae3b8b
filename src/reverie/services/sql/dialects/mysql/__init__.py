"""MySQL and MariaDB: one database (which MySQL also calls a schema) per service.

dialect.py     `MysqlDialect`: statements, values to the client
settings.py    what a service is set to → where the database is, and how its connections behave
catalogue.py   tables, columns and keys, from information_schema
writing.py     what a write returns, where the server has no RETURNING
routines.py    procedures and functions
"""

from reverie.services.sql.dialects.mysql.dialect import MysqlDialect

__all__ = ["MysqlDialect"]
