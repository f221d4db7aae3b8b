"""Queue connections as the settings name them.

    REVERIE_QUEUE_<NAME>_DRIVER, _URL, _QUEUE    or    [queue.<name>] with driver, url, queue in the TOML file

The environment wins, field by field; its names are those of the file in capitals, with ``_`` for every other sign.
Last come the names that DreamFactory uses: ``QUEUE_HOST``, ``QUEUE_PORT``, ``QUEUE_DATABASE`` and ``QUEUE_PASSWORD``
describe a Redis connection called ``redis``, ``QUEUE_NAME`` is the queue of connections that name none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, cast, get_args
from urllib.parse import quote

from reverie.errors import meant
from reverie.jobs.address import RedisAddress, parse_address
from reverie.jobs.connections import STANDARD, ConnectionSettings, Driver

PREFIX: Final = "REVERIE_QUEUE_"
FIELDS: Final = ("driver", "url", "queue")
FOREIGN: Final = ("QUEUE_HOST", "QUEUE_PORT", "QUEUE_DATABASE", "QUEUE_PASSWORD")
"""DreamFactory's names for a Redis connection."""
FOREIGN_QUEUE: Final = "QUEUE_NAME"
FOREIGN_DATABASE: Final = 3
"""The database that DreamFactory takes where ``QUEUE_DATABASE`` is not set."""
_DRIVERS: Final[Mapping[str, Driver]] = {one: one for one in cast("tuple[Driver, ...]", get_args(Driver))}
_STANDARD: Final[Mapping[str, Driver]] = {one.name: one.driver for one in STANDARD}
_IN_ENVIRONMENT: Final = re.compile(rf"{PREFIX}(?P<name>.+?)_(?P<field>DRIVER|URL|QUEUE|URL_FILE)")


@dataclass(frozen=True, slots=True)
class _Text:
    """A value, and where it was found, in words for a person."""

    text: str
    where: str


def names_connection(key: str) -> bool:
    """Whether a name of the environment is one of a queue connection."""
    return _IN_ENVIRONMENT.fullmatch(key) is not None


def near_names(key: str) -> list[str]:
    """What somebody may have meant who wrote *key*, which is no setting."""
    name, _, _ = key.removeprefix(PREFIX).rpartition("_")
    return [f"{PREFIX}{name}_{field.upper()}" for field in FIELDS] if key.startswith(PREFIX) and name else []


def read_connections(
    environ: Mapping[str, str], tables: object, file: str, mistakes: list[str]
) -> tuple[ConnectionSettings, ...]:
    """The standard connections and those that were named; what is wrong is added to *mistakes*.

    Args:
        tables: what stands under ``queue`` in the file, None when nothing does.
        file: how to call the file in a mistake.
    """
    named: dict[str, dict[str, _Text]] = {one.name: {} for one in STANDARD}
    named |= _from_file(tables, file, mistakes)
    _add_environment(named, environ, mistakes)
    _add_foreign(named, environ, mistakes)
    everywhere = environ.get(FOREIGN_QUEUE, "").strip() or "default"
    found = [_connection(name, fields, everywhere, mistakes) for name, fields in named.items()]
    return tuple(one for one in found if one is not None)


def _connection(
    name: str, fields: Mapping[str, _Text], everywhere: str, mistakes: list[str]
) -> ConnectionSettings | None:
    before = len(mistakes)
    driver = _driver(name, fields, mistakes)
    address = _address(name, driver, fields.get("url"), mistakes)
    queue = fields["queue"].text.strip() if "queue" in fields else everywhere
    if len(mistakes) > before or driver is None:
        return None
    return ConnectionSettings(name=name, driver=driver, queue=queue, address=address)


def _driver(name: str, fields: Mapping[str, _Text], mistakes: list[str]) -> Driver | None:
    """The one that was given, else the one that the connection is called, else Redis if there is a URL."""
    standard = _STANDARD.get(name)
    if "driver" in fields:
        text, where = fields["driver"].text.strip().lower(), fields["driver"].where
        given = _DRIVERS.get(text)
        if given is None:
            mistakes.append(f"{where}: expected one of {', '.join(_DRIVERS)}, not {text!r}{meant(text, [*_DRIVERS])}")
        elif standard is not None and given != standard:
            mistakes.append(f"{where}: the driver of the connection {name!r} is always {standard}; use another name")
            return None
        return given
    if standard is not None:
        return standard
    if name == "redis" or "url" in fields:
        return "redis"
    where = next(iter(fields.values())).where
    known = [one.name for one in STANDARD] + ["redis"]
    mistakes.append(
        f"{where}: the connection {name!r} has no driver: set it to one of {', '.join(_DRIVERS)}{meant(name, known)}"
    )
    return None


def _address(name: str, driver: Driver | None, url: _Text | None, mistakes: list[str]) -> RedisAddress | None:
    if driver == "redis":
        if find_spec("redis") is None:
            mistakes.append(f"the queue connection {name!r} needs a library: pip install 'reverie[redis]'")
        if url is None:
            mistakes.append(
                f"the queue connection {name!r} needs an address: set {PREFIX}{_capitals(name)}_URL, for instance to "
                "redis://127.0.0.1:6379"
            )
            return None
        try:
            return parse_address(url.text)
        except ValueError as error:
            mistakes.append(f"{url.where}: {error}")
    elif driver is not None and url is not None:
        hint = "; jobs are kept in the store, see REVERIE_DATABASE_URL" if driver == "database" else ""
        mistakes.append(f"{url.where}: a connection of the driver {driver} has no address{hint}")
    return None


# -- where they are found


def _from_file(tables: object, file: str, mistakes: list[str]) -> dict[str, dict[str, _Text]]:
    if tables is None:
        return {}
    if not isinstance(tables, Mapping):
        mistakes.append(f"queue in {file}: expected tables, one for each connection, such as [queue.redis]")
        return {}
    found: dict[str, dict[str, _Text]] = {}
    for name, table in tables.items():
        where = f"[queue.{name}] in {file}"
        if not isinstance(table, Mapping) or not name.strip():
            mistakes.append(
                f"queue.{name} in {file}: expected a table such as [queue.redis] with driver, url and queue"
            )
            continue
        for key, value in table.items():
            if key not in FIELDS:
                mistakes.append(f"{key} of {where}: there is no such setting{meant(key, [*FIELDS])}")
            elif not isinstance(value, str):
                mistakes.append(f"{key} of {where}: expected a text")
            elif value.strip():
                found.setdefault(name, {})[key] = _Text(value, f"{key} of {where}")
        if not table:
            found.setdefault(name, {})["queue"] = _Text("default", where)
    return found


def _add_environment(named: dict[str, dict[str, _Text]], environ: Mapping[str, str], mistakes: list[str]) -> None:
    by_capitals: dict[str, list[str]] = {}
    for name in named:
        by_capitals.setdefault(_capitals(name), []).append(name)
    for key in sorted(environ):
        match = _IN_ENVIRONMENT.fullmatch(key)
        if match is None or not environ[key].strip():
            continue
        capitals, field = match["name"], match["field"].lower()
        names = by_capitals.setdefault(capitals, [capitals.lower()])
        if len(names) > 1:
            mistakes.append(f"{key}: it may mean {' or '.join(map(repr, names))}; set it in the file")
            continue
        text = environ[key] if field != "url_file" else _secret(key, environ, mistakes)
        if text is not None:
            named.setdefault(names[0], {})[field.removesuffix("_file")] = _Text(text, key)


def _secret(key: str, environ: Mapping[str, str], mistakes: list[str]) -> str | None:
    """An address that stands in a file of its own."""
    if environ.get(key.removesuffix("_FILE")):
        mistakes.append(f"{key}: {key.removesuffix('_FILE')} is set as well; only one of them can hold")
        return None
    try:
        return Path(environ[key]).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        mistakes.append(f"{key}: the file {environ[key]!r} cannot be read ({reason})")
        return None


def _add_foreign(named: dict[str, dict[str, _Text]], environ: Mapping[str, str], mistakes: list[str]) -> None:
    given = {name: environ[name].strip() for name in FOREIGN if environ.get(name, "").strip()}
    fields = named.get("redis", {})
    if not given or "url" in fields or fields.get("driver", _Text("redis", "")).text.strip().lower() != "redis":
        return
    ok = True
    for name, most in (("QUEUE_PORT", 65535), ("QUEUE_DATABASE", 2**31)):
        text = given.get(name, "0")
        if not (text.isascii() and text.isdigit() and int(text) <= most):
            ok = False
            mistakes.append(f"{name}: expected a whole number up to {most}, not {text!r}")
    if ok:
        url = _foreign_url(given)
        named.setdefault("redis", {})["url"] = _Text(url, next(iter(given)))


def _foreign_url(given: Mapping[str, str]) -> str:
    host = given.get("QUEUE_HOST", "127.0.0.1")
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    secret = f":{quote(given['QUEUE_PASSWORD'], safe='')}@" if "QUEUE_PASSWORD" in given else ""
    port = given.get("QUEUE_PORT", "6379")
    return f"redis://{secret}{host}:{port}/{given.get('QUEUE_DATABASE', FOREIGN_DATABASE)}"


def _capitals(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())
