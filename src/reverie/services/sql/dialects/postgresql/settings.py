"""What a PostgreSQL service is set to: where the database is, and how its connections behave."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from reverie.errors import BadRequest
from reverie.model import JSON, is_true
from reverie.postgresql.address import POOLER, Address
from reverie.services.sql.timeouts import timeout_of
from reverie.store.records import ServiceRecord

CONFIG_FIELDS: Final[tuple[Mapping[str, JSON], ...]] = (
    {"name": "host", "label": "Host", "type": "string", "description": "Name or address of the server."},
    {"name": "port", "label": "Port", "type": "integer", "default": 5432, "description": "Port of the server."},
    {"name": "database", "label": "Database", "type": "string", "description": "Name of the database."},
    {"name": "username", "label": "Username", "type": "string", "description": "Who the service is there."},
    {
        "name": "password", "label": "Password", "type": "password", "secret": True,
        "description": "Kept encrypted; never shown.",
    },
    {
        "name": "schema", "label": "Schema", "type": "string", "default": "public",
        "description": "The schema whose tables are served.",
    },
    {
        "name": "url", "label": "URL", "type": "password", "secret": True,
        "description": "postgresql://user:password@host:5432/database, instead of the settings above.",
    },
    {
        "name": "options", "label": "Driver Options", "type": "object",
        "description": "A map with any of sslmode, application_name, timezone, pooler (session or transaction).",
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

# Others, such as those that name files of keys, would be read with the rights of this server.
_OPTIONS: Final = frozenset({"sslmode", "application_name", "timezone", POOLER})


def address_of(record: ServiceRecord) -> Address:
    """Where the service's database is.

    Raises:
        BadRequest: a setting is missing or wrong; says which, and never shows the password.
    """
    config = record.config
    try:
        url = _text(config, "url") or _url(config)
        named = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)) | _options(config)
        if unknown := sorted(named.keys() - _OPTIONS):
            raise ValueError(f"the option {unknown[0]!r} is not one of {', '.join(sorted(_OPTIONS))}")
        # A server that offers encryption is asked for it, and one that does not is used without, as libpq has it.
        base = url.partition("?")[0]
        return Address.parse(f"{base}?{urlencode(named)}" if named else base)
    except ValueError as error:
        raise BadRequest(f"The settings of service '{record.name}' do not fit: {error}.") from None


def schema_of(config: Mapping[str, JSON]) -> str:
    return _text(config, "schema") or "public"


def server_settings(record: ServiceRecord) -> dict[str, str]:
    """What every connection of the service is set to."""
    schema = schema_of(record.config).replace('"', '""')
    return {
        "search_path": f'"{schema}"',
        "statement_timeout": f"{timeout_of(record)}s",
        "default_transaction_read_only": "on" if is_true(record.config.get("read_only")) else "off",
        "datestyle": "ISO, MDY",
        "standard_conforming_strings": "on",
    }


def _url(config: Mapping[str, JSON]) -> str:
    host, database, user = (_text(config, name) for name in ("host", "database", "username"))
    for name, value in (("host", host), ("database", database), ("username", user)):
        if not value:
            raise ValueError(f"{name} is needed, or a url")
    port = _text(config, "port") or "5432"
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ValueError("port must be a number up to 65535")
    if not re.fullmatch(r"[A-Za-z0-9_.:-]+", host):
        raise ValueError("host must be the name or address of a server")
    place = f"[{host}]" if ":" in host else host
    password = _text(config, "password", strip=False)
    who = quote(user, safe="") + (":" + quote(password, safe="") if password else "")
    return f"postgresql://{who}@{place}:{port}/{quote(database, safe='')}"


def _options(config: Mapping[str, JSON]) -> dict[str, str]:
    options = config.get("options") or {}
    if not isinstance(options, dict):
        raise ValueError("options must be a map")
    return {str(name): str(value) for name, value in options.items()}


def _text(config: Mapping[str, JSON], name: str, *, strip: bool = True) -> str:
    value = config.get(name)
    if value is None:
        return ""
    if isinstance(value, bool | list | dict) or "\0" in str(value):
        raise ValueError(f"{name} must be a text")
    return str(value).strip() if strip else str(value)
