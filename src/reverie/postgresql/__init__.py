"""A PostgreSQL database: the only way to the server, and to asyncpg.

    address.py     what a URL says: where, and whether a pooler stands between
    errors.py      asyncpg's exceptions → ours; none leaves this package
    connection.py  one connection inside a unit of work
    pool.py        connections of one event loop, opened when needed
    listener.py    the one connection that hears notifications
    database.py    `PostgresqlDatabase`: units of work and single statements
    script.py      a script that runs once, whoever else would run it

Only ``address.py`` can be imported without asyncpg.
"""
