"""A MySQL or MariaDB database: the only way to the server, and to asyncmy.

    address.py     what a URL says
    errors.py      asyncmy's exceptions → ours; none leaves this package
    connection.py  one connection inside a unit of work
    pool.py        connections of one event loop, opened when needed
    database.py    `MysqlDatabase`: units of work

Only ``address.py`` can be imported without asyncmy.
"""
