"""What a MySQL service is set to: where the database is, and how its connections behave."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from reverie.errors import BadRequest
from reverie.model import JSON, is_true
from reverie.mysql.address import Address
from reverie.services.sql.timeouts import timeout_of
from reverie.store.records import ServiceRecord

CONFIG_FIELDS: Final[tuple[Mapping[str, JSON], ...]] = (
    {"name": "host", "label": "Host", "type": "string", "description": "Name or address of the server."},
    {"name": "port", "label": "Port", "type": "integer", "default": 3306, "description": "Port of the server."},
    {"name": "database", "label": "Database", "type": "string", "description": "Name of the database."},
    {"name": "username", "label": "Username", "type": "string", "description": "Who the service is there."},
    {
        "name": "password", "label": "Password", "type": "password", "secret": True,
        "description": "Kept encrypted; never shown.",
    },
    {
        "name": "schema", "label": "Schema", "type": "string",
        "description": "The same as the database, and may be left out.",
    },
    {
        "name": "url", "label": "URL", "type": "password", "secret": True,
        "description": "mysql://user:password@host:3306/database, instead of the settings above.",
    },
    {
        "name": "options", "label": "Driver Options", "type": "object",
        "description": "A map with any of ssl_mode (disabled, required or verify_identity) and timezone.",
    },
    {
        "name": "statement_timeout", "label": "Statement Timeout", "type": "integer", "default": 30,
        "description": "Seconds that one statement may take.",
    },
    {
        "name": "max_records", "label": "Maximum Records", "type": "integer", "default": 1000,
        "description": "Most records that one answer holds.",
    },
    {
        "name": "read_only", "label": "Read Only", "type": "boolean", "default": False,
        "description": "Nothing can be written or created through this service.",
    },
    {
        "name": "allow_upsert", "label": "Allow Upsert", "type": "boolean", "default": False,
        "description": "PUT and PATCH of an id that does not exist create the record.",
    },
)  # fmt: skip

_ZONE: Final = re.compile(r"[A-Za-z0-9_+:/-]{1,64}")

# Identifiers stand in double quotes, as our definitions write them. A value that does not fit is an error, not a guess,
# and 0 is a key like others.
_MODE: Final = "ANSI_QUOTES,STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION"


def address_of(record: ServiceRecord) -> Address:
    """Where the service's database is.

    Raises:
        BadRequest: a setting is missing or wrong; says which, and never shows the password.
    """
    config = record.config
    try:
        url = _text(config, "url")
        found = Address.parse(url) if url else _from_parts(config)
        if found.timezone and not _ZONE.fullmatch(found.timezone):
            raise ValueError("timezone must be a name such as Europe/Oslo, or +01:00")
        schema = _text(config, "schema")
        if schema and schema != found.database:
            raise ValueError("the schema must be the same as the database: in MySQL they are one")
    except ValueError as error:
        raise BadRequest(f"The settings of service '{record.name}' do not fit: {error}.") from None
    return found


def session_of(record: ServiceRecord, address: Address) -> Callable[[str], Sequence[str]]:
    """What every connection of the service is set to, by the server's version."""
    seconds = timeout_of(record)
    read_only = is_true(record.config.get("read_only"))

    def statements(version: str) -> Sequence[str]:
        # MySQL ends only reads after a time; MariaDB any statement.
        longest = f"max_statement_time={seconds}" if "MariaDB" in version else f"max_execution_time={seconds * 1000}"
        found = [f"SET SESSION sql_mode='{_MODE}', {longest}, lock_wait_timeout=2, innodb_lock_wait_timeout=2"]
        if address.timezone:
            found.append(f"SET SESSION time_zone='{address.timezone}'")
        if read_only:
            found.append("SET SESSION TRANSACTION READ ONLY")
        return found

    return statements


def _from_parts(config: Mapping[str, JSON]) -> Address:
    host = _text(config, "host")
    if not host or not re.fullmatch(r"[A-Za-z0-9_.:-]+", host):
        raise ValueError("host must be the name or address of a server" if host else "host is needed, or a url")
    port = _text(config, "port") or "3306"
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ValueError("port must be a number up to 65535")
    options = config.get("options") or {}
    if not isinstance(options, dict):
        raise ValueError("options must be a map")
    return Address.of(
        host=host,
        port=int(port),
        database=_text(config, "database"),
        user=_text(config, "username"),
        password=_text(config, "password", strip=False),
        options={str(name): str(value) for name, value in options.items()},
    )


def _text(config: Mapping[str, JSON], name: str, *, strip: bool = True) -> str:
    value = config.get(name)
    if value is None:
        return ""
    if isinstance(value, bool | list | dict) or "\0" in str(value):
        raise ValueError(f"{name} must be a text")
    return str(value).strip() if strip else str(value)
