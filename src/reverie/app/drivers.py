"""The drivers that the settings name, and only those: what an instance does not use need not be installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from reverie.clock import Clock
from reverie.config import Settings
from reverie.database import Database
from reverie.jobs.connections import Connections
from reverie.jobs.ledger import Ledger
from reverie.jobs.queue import Queue
from reverie.jobs.transport import Broker, Transport
from reverie.model import JSON
from reverie.scripting.engine import Engine
from reverie.services.sql.dialect import Dialect
from reverie.services.sql.limits import CONFIG_FIELD as LIMITS
from reverie.services.system.service_type import ConfigField, ServiceType
from reverie.store.store import Store

if TYPE_CHECKING:
    from reverie.postgresql.database import PostgresqlDatabase


def script_engines(side_by_side: int) -> dict[str, Engine]:
    """The languages that this host can run, by name, in the order in which they are warmed up."""
    from reverie.scripting.engines import deno, nodejs, php, python

    engines: list[Engine] = []
    if deno.available():
        engines.append(deno.DenoEngine(size=side_by_side))
    if nodejs.available():
        engines.append(nodejs.NodeEngine(size=side_by_side))
    if python.available():
        snake = python.PythonEngine(size=side_by_side)
        engines += [snake, python.PythonAlias(snake)]
    if php.available():
        engines.append(php.PhpEngine(size=side_by_side))
    if deno.available():
        engines.append(deno.DenoEngine(typed=True, size=side_by_side))
    return {engine.name: engine for engine in engines}


def sql_dialects(settings: Settings) -> dict[str, Dialect]:
    """The databases that can be served, by the type of their services."""
    from reverie.services.sql.dialects.sqlite import SqliteDialect

    dialects: dict[str, Dialect] = {SqliteDialect.service_type: SqliteDialect(settings.data_dir)}
    if importlib.util.find_spec("asyncpg") is not None:
        from reverie.services.sql.dialects.postgresql import PostgresqlDialect

        dialects |= {PostgresqlDialect.service_type: PostgresqlDialect()}
    if importlib.util.find_spec("asyncmy") is not None:
        from reverie.services.sql.dialects.mysql import MysqlDialect

        dialects |= {MysqlDialect.service_type: MysqlDialect()}
    return dialects


def sql_type(dialect: Dialect) -> ServiceType:
    return ServiceType(
        name=dialect.service_type,
        label={"sqlite": "SQLite", "pgsql": "PostgreSQL", "mysql": "MySQL"}.get(
            dialect.service_type, dialect.service_type
        ),
        description="Database service: its tables and their records as a REST API.",
        group="Database",
        config_fields=[_config_field(one) for one in (*dialect.config_fields, LIMITS)],
    )


def _config_field(one: Mapping[str, JSON]) -> ConfigField:
    return ConfigField(
        name=str(one["name"]),
        label=str(one.get("label") or one["name"]),
        type=str(one.get("type") or "string"),
        description=str(one.get("description") or ""),
        default=one.get("default"),
        required=bool(one.get("required")),
        secret=bool(one.get("secret")),
    )


def job_queue(settings: Settings, store: Store, clock: Clock) -> Queue:
    """The queue in the store's own database."""
    ledger, transport = job_drivers(store.database, settings.data_dir / "wake", clock)
    connections = Connections(settings.queue_connections, default=settings.queue_connection)
    return Queue(ledger, transport, connections, clock, job_brokers(settings))


def job_drivers(database: Database, folder: Path, clock: Clock) -> tuple[Ledger, Transport]:
    """What keeps jobs in *database*, and what wakes workers with it; *folder* is for those of this host."""
    if database.dialect == "postgresql":
        from reverie.jobs.ledgers.postgresql import PostgresqlLedger
        from reverie.jobs.transports.postgresql import PostgresqlTransport

        server = cast("PostgresqlDatabase", database)
        return PostgresqlLedger(server, clock), PostgresqlTransport(server, folder)
    from reverie.jobs.ledgers.sqlite import SqliteLedger
    from reverie.jobs.transports.database import DatabaseTransport

    return SqliteLedger(database, clock), DatabaseTransport(database, folder)


def job_brokers(settings: Settings) -> dict[str, Broker]:
    """The servers that pass on wake-ups, by the name of their connection."""
    addresses = {one.name: one.address for one in settings.queue_connections if one.address is not None}
    if not addresses:
        return {}
    from reverie.jobs.transports.redis import RedisBroker

    return {name: RedisBroker(name, address) for name, address in addresses.items()}
