"""Settings: the environment and one file, read once, every mistake reported together.

A setting is ``REVERIE_<NAME>`` in the environment and ``<name>`` in the TOML file; the environment wins. A secret may
stand in a file of its own, named by ``REVERIE_<NAME>_FILE``. Every setting is described in docs/reference/settings.md.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

from reverie.errors import SettingsError, meant
from reverie.jobs.connections import STANDARD, ConnectionSettings
from reverie.jobs.settings import names_connection, near_names, read_connections
from reverie.store.address import StoreAddress

PREFIX: Final = "REVERIE_"
FILE_NAME: Final = "reverie.toml"
CLIENT_NAMES: Final = frozenset({"REVERIE_URL", "REVERIE_KEY", "REVERIE_ADMIN"})
"""Names for clients, printed by the demo's start; a server that finds them ignores them."""
ALIASES: Final = {
    "DF_SCRIPTING_DISABLE": "scripting_disable",
    "QUEUE_DRIVER": "queue_connection",
    "QUEUE_CONNECTION": "queue_connection",
}
"""Names that people who come from DreamFactory have set already; our own name wins, then the later of these."""
SECRETS: Final = frozenset({"secret_key", "secret_key_old", "admin_password", "database_url", "metrics_token"})
_DEFAULT_DATA_DIR: Final = "data"
_UNITS: Final = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the instance was told.

    Attributes:
        data_dir: absolute; the store, the secret key and demo data live here.
        port: 0 lets the system choose.
        database_url: ``sqlite:///`` and a path, or ``postgresql://`` and the rest; the platform's own store.
        secret_key: 32 characters or more; None: one is made and kept in the data folder.
        secret_key_old: secrets that were the key before; what they sealed can still be opened.
        workers: worker processes of ``reverie up``; 0 for none.
        queue_connection: the connection of scripts that name none; it need not exist until a job needs it.
        queue_connections: the standard ones and those that were named.
        queue_tries: of the worker of ``reverie up``; 0 for ever.
        queue_timeout: seconds a queued script may run under ``reverie up``; 0 for ever.
        queue_crashes: a job whose process died this often is failed.
        sql_plans: ``none`` has every request of database services planned and compiled anew.
        metrics: ``open`` lets programs of this machine read /metrics without credentials.
        metrics_token: with it as a bearer token /metrics can be read from anywhere.
        scripting_disable: languages that are switched off, or ``("all",)``.
        max_body: bytes.
    """

    data_dir: Path
    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    database_url: str = ""
    secret_key: str | None = None
    secret_key_old: tuple[str, ...] = ()
    admin_email: str | None = None
    admin_password: str | None = None
    demo: bool = False
    workers: Annotated[int, Meta(ge=0, le=64)] = 1
    queue_connection: Annotated[str, Meta(min_length=1)] = "database"
    queue_tries: Annotated[int, Meta(ge=0)] = 3
    queue_timeout: Annotated[float, Meta(ge=0, le=10**9)] = 60.0
    queue_crashes: Annotated[int, Meta(ge=1)] = 3
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    sqlite_synchronous: Literal["full", "normal"] = "full"
    sql_plans: Literal["kept", "none"] = "kept"
    metrics: Literal["closed", "open"] = "closed"
    metrics_token: str | None = None
    script_egress: Literal["any", "public", "none"] = "any"
    script_isolation: Literal["instance", "service", "script", "run"] = "instance"
    scripting_disable: tuple[str, ...] = ()
    max_body: int = 32 * 1024 * 1024
    queue_connections: tuple[ConnectionSettings, ...] = STANDARD

    @property
    def address(self) -> str:
        """Where a client on this machine finds the API."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104 - compared only
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"http://{host}:{self.port}"

    @property
    def store(self) -> StoreAddress:
        """Where the platform's own store is."""
        return StoreAddress.parse(self.database_url)

    @property
    def store_path(self) -> Path:
        """The file of the store. Raises ValueError where that is no file."""
        return self.store.path

    def __repr__(self) -> str:
        """Without the values of secrets, so that no log or traceback shows them."""
        shown = (
            f"{name}={'***' if name in SECRETS and value else repr(value)}"
            for name, value in msgspec.structs.asdict(self).items()
        )
        return f"Settings({', '.join(shown)})"


NAMES: Final = tuple(name for name in Settings.__struct_fields__ if name != "queue_connections")
"""The settings that are one value each; connections have names of their own, see ``jobs/settings.py``."""


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+)\s*([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None or int(found[1]) == 0:
        raise ValueError("expected a size such as 1048576 or 32MiB")
    return int(found[1]) * _UNITS[found[2].upper()]


def _truth(text: str) -> bool:
    lower = text.strip().lower()
    if lower in ("1", "true", "yes", "on"):
        return True
    if lower in ("0", "false", "no", "off"):
        return False
    raise ValueError("expected 1 or 0")


def _store_url(text: str) -> str:
    address = StoreAddress.parse(text)
    return text if address.file is None else f"sqlite:///{address.file}"


def _at_least(characters: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if len(text) < characters:
            raise ValueError(f"expected {characters} characters or more, there are {len(text)}")
        return text

    return read


def _keys(text: str) -> tuple[str, ...]:
    return tuple(_at_least(32)(line.strip()) for line in text.splitlines() if line.strip())


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError("expected an e-mail address")
    return text


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "data_dir": lambda text: Path(text).expanduser().absolute(),
    "database_url": _store_url,
    "secret_key": _at_least(32),
    "secret_key_old": _keys,
    "metrics_token": _at_least(16),
    "admin_email": _email,
    "demo": _truth,
    "scripting_disable": lambda text: tuple(name.strip().lower() for name in text.split(",") if name.strip()),
    "max_body": _size,
}
"""How a text becomes a value, where the type alone does not say it."""


class _Found(msgspec.Struct, frozen=True):
    """A setting as it was found: its text, and where, in words for a person."""

    text: str
    where: str


def read_settings(environ: Mapping[str, str], file: Path | None = None) -> Settings:
    """Read everything once.

    Args:
        file: the TOML file; it must be there. Without it ``REVERIE_CONFIG``, which must be there too, else
            ``reverie.toml`` in the data folder, if it is there.

    Raises:
        SettingsError: with every mistake: unknown names, bad values, files that cannot be read.
    """
    mistakes: list[str] = []
    found = _from_environment(environ, mistakes)
    entries, path = _entries(file, environ, found, mistakes)
    connections = read_connections(environ, entries.pop("queue", None), str(path), mistakes)
    found = {**_from_file(entries, path, mistakes), **found}
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        if field.name in found:
            _read_one(field, found[field.name], values, mistakes)
    if ("admin_email" in found) != ("admin_password" in found):
        mistakes.append("REVERIE_ADMIN_EMAIL and REVERIE_ADMIN_PASSWORD belong together: one of them is missing")
    if mistakes:
        raise SettingsError(mistakes)
    values.setdefault("data_dir", Path(_DEFAULT_DATA_DIR).absolute())
    values.setdefault("database_url", f"sqlite:///{values['data_dir'] / 'reverie.sqlite'}")
    return Settings(**values, queue_connections=connections)


def _read_one(field: msgspec.structs.FieldInfo, found: _Found, values: dict[str, Any], mistakes: list[str]) -> None:
    try:
        reader = _READERS.get(field.name)
        if reader is not None:
            values[field.name] = reader(found.text)
        else:
            values[field.name] = msgspec.convert(found.text, field.type, strict=False)
    except (ValueError, msgspec.ValidationError) as error:
        if get_origin(field.type) is Literal:
            mistakes.append(f"{found.where}: expected one of {', '.join(get_args(field.type))}, not {found.text!r}")
            return
        shown = "" if field.name in SECRETS else f", not {found.text!r}"
        mistakes.append(f"{found.where}: {_plain(str(error))}{shown}")


def _plain(message: str) -> str:
    """The library's words for a wrong value, in a person's."""
    message = message.replace("`", "").replace("Expected", "expected")
    for kind, words in (("int", "a whole number"), ("float", "a number")):
        message = re.sub(rf"expected {kind}(, got str)?\b", f"expected {words}", message)
    return message


def _from_environment(environ: Mapping[str, str], mistakes: list[str]) -> dict[str, _Found]:
    """What the environment says; an empty text counts as not set."""
    names = {PREFIX + name.upper(): name for name in NAMES}
    found = {name: _Found(environ[alias], alias) for alias, name in ALIASES.items() if environ.get(alias)}
    for key in sorted(environ):
        if not key.startswith(PREFIX) or key in CLIENT_NAMES or key == PREFIX + "CONFIG" or not environ[key]:
            continue
        if key in names:
            found[names[key]] = _Found(environ[key], key)
            continue
        name = names.get(key.removesuffix("_FILE"))
        if key.endswith("_FILE") and name in SECRETS:
            _read_secret(name, key, environ, found, mistakes)
        elif not names_connection(key):
            mistakes.append(f"{key}: there is no such setting{meant(key, [*names, *near_names(key)])}")
    return found


def _read_secret(
    name: str, key: str, environ: Mapping[str, str], found: dict[str, _Found], mistakes: list[str]
) -> None:
    if environ.get(key.removesuffix("_FILE")):
        mistakes.append(f"{key}: {key.removesuffix('_FILE')} is set as well; only one of them can hold")
        return
    try:
        found[name] = _Found(Path(environ[key]).expanduser().read_text(encoding="utf-8").strip(), key)
    except (OSError, UnicodeDecodeError) as error:
        mistakes.append(f"{key}: the file {environ[key]!r} cannot be read ({_reason(error)})")


def _entries(
    file: Path | None, environ: Mapping[str, str], found: Mapping[str, _Found], mistakes: list[str]
) -> tuple[dict[str, object], Path]:
    """What stands in the TOML file, and its path."""
    named = file or (Path(environ[PREFIX + "CONFIG"]) if environ.get(PREFIX + "CONFIG") else None)
    folder = Path(found["data_dir"].text if "data_dir" in found else _DEFAULT_DATA_DIR).expanduser()
    path = named or folder / FILE_NAME
    if named is None and not path.is_file():
        return {}, path
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), path
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        mistakes.append(f"{path}: cannot be read ({_reason(error)})")
        return {}, path


def _from_file(entries: Mapping[str, object], path: Path, mistakes: list[str]) -> dict[str, _Found]:
    texts: dict[str, _Found] = {}
    for name, value in entries.items():
        text = _as_text(value)
        if name not in NAMES:
            mistakes.append(f"{name} in {path}: there is no such setting{meant(name, NAMES)}")
        elif text is None:
            mistakes.append(f"{name} in {path}: expected a text, a number, true, false or a list of texts")
        else:
            texts[name] = _Found(text, f"{name} in {path}")
    return texts


def _as_text(value: object) -> str | None:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    return None


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
