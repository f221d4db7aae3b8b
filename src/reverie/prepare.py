"""What a start does once: migrate, the first administrator, the demo, and files that were given to be served."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import insert, select, update

from reverie.app import build, table_names
from reverie.config import Settings
from reverie.database import Connection
from reverie.demo import sample_sql
from reverie.errors import BadRequest, SettingsError, Unavailable
from reverie.model import JSON, Caller, Request
from reverie.mysql.address import Address as MysqlAddress
from reverie.platform import SET_UP, Platform
from reverie.postgresql.address import Address as PostgresqlAddress
from reverie.sealing import secret_from
from reverie.sqlite import SqliteDatabase
from reverie.store import tables
from reverie.store.apps import make_api_key
from reverie.store.facts import ANSWERS_AT, claim_fact, get_fact, put_fact
from reverie.store.migrate import migrate, version_of
from reverie.store.services import seal_config
from reverie.store.store import Store
from reverie.store.users import count_administrators, user_by_email

READ, ALL = 1, 31
"""Verb masks: GET alone, and every verb."""
DEMO_ADMIN: Final = "admin@example.test"
_DEMO_APP: Final = "demo_app"
_SHOWN_TABLES: Final = 3
_NAME: Final = re.compile(r"[^a-z0-9_-]+")
_SCHEMES: Final = {
    "sqlite": "sqlite", "postgresql": "pgsql", "postgres": "pgsql", "mysql": "mysql",
    "mariadb": "mysql",
}  # fmt: skip
"""Types of services by the beginning of an address."""


@dataclass(kw_only=True)
class Prepared:
    """What a start found or made, see `cli.start`."""

    initialised: bool = False
    setup_path: str | None = None
    admin_email: str | None = None
    admin_password: str | None = None
    api_key: str | None = None
    admin_token: str | None = None
    curls: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def prepare(settings: Settings, given: Sequence[str], write: bool) -> Prepared:
    """Do it all; a second start finds it done.

    Raises:
        SettingsError: a given file or address cannot be served, or the administrator's password is too short.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    make_library(settings.library)
    wanted = [served_database(one, write=write) for one in given]
    is_new = version_of(settings.store) is None
    if settings.secret_key is None:
        secret_from(settings.data_dir)
    migrate(settings.store)
    prepared = Prepared()
    async with build(settings, scripts=False) as platform:
        await put_fact(platform.store, ANSWERS_AT, settings.address)
        await _administrator(platform, settings, prepared, demo=settings.demo and is_new)
        if settings.demo and is_new:
            await _make_demo(platform.store, settings)
        if settings.demo:
            await _tell_of_demo(platform, prepared)
        for one in wanted:
            await _serve(platform, settings, one, prepared, write=write)
    return prepared


def make_library(folder: Path) -> None:
    """The folder of what scripts `require`. Children that are not us read it, so others may walk through it."""
    if folder.exists():
        return
    try:
        folder.mkdir(parents=True)
        folder.chmod(0o755)
    except OSError as error:
        raise SettingsError([f"REVERIE_SCRIPT_LIBRARY: {folder} cannot be made ({error.strerror})"]) from error


# -- the administrator


async def _administrator(platform: Platform, settings: Settings, prepared: Prepared, *, demo: bool) -> None:
    store = platform.store
    if not await count_administrators(store):
        if settings.admin_email and settings.admin_password:
            await platform.create_administrator(settings.admin_email, settings.admin_password, "Administrator")
        elif demo:
            prepared.admin_email, prepared.admin_password = DEMO_ADMIN, secrets.token_urlsafe(18)
            await platform.create_administrator(DEMO_ADMIN, prepared.admin_password, "Administrator")
    prepared.initialised = await count_administrators(store) > 0
    if not prepared.initialised:
        token = await claim_fact(store, SET_UP, secrets.token_urlsafe(24))
        prepared.setup_path = f"/setup/{token}"


# -- the demo


async def _make_demo(store: Store, settings: Settings) -> None:
    """The sample as the service ``db``, and a key whose role may do everything with it."""
    path = settings.data_dir / "db.sqlite"
    if not path.exists():
        await _fill(path)
    sample = Served(type="sqlite", name="db", config={"database": str(path)}, shown=path.name)
    service_id = await _store_service(store, "db", sample, read_only=False, description="Harbour Pantry, a sample")
    app_id, _ = await _make_app(store, "demo", {service_id: ALL})
    await put_fact(store, _DEMO_APP, str(app_id))


async def _fill(path: Path) -> None:
    database = SqliteDatabase(path)

    async def load(connection: Connection) -> None:
        for statement in statements(sample_sql()):
            await connection.execute(statement)

    try:
        await database.write(load)
    finally:
        await database.close()


def statements(sql: str) -> list[str]:
    """The statements of a script; no text in it may end a line with a semicolon. Pragmas are not for us."""
    text = "\n".join(line for line in sql.splitlines() if not line.lstrip().startswith("--"))
    parts = (part.strip() for part in re.split(r";\s*$", text, flags=re.MULTILINE))
    return [part for part in parts if part and not part.upper().startswith("PRAGMA")]


async def _tell_of_demo(platform: Platform, prepared: Prepared) -> None:
    """The key, and a session of the administrator, for the line to paste; a demo without its app has neither."""
    store = platform.store
    app_id = await get_fact(store, _DEMO_APP)
    key = await store.scalar(select(tables.app.c.api_key).where(tables.app.c.id == int(app_id))) if app_id else None
    email = prepared.admin_email or platform.settings.admin_email or DEMO_ADMIN
    administrator = await user_by_email(store, email)
    if not isinstance(key, str) or administrator is None or not administrator.is_sys_admin:
        return
    prepared.api_key = key
    prepared.admin_token = (await platform.auth.open_session(administrator.id)).token


# -- databases that were given


@dataclass(frozen=True, kw_only=True)
class Served:
    """A database that a start was given.

    Attributes:
        name: what its service is called, if that is free.
        config: settings of the service that say where it is.
        shown: the same for people, without a password.
    """

    type: str
    name: str
    config: dict[str, JSON] = field(repr=False)
    shown: str


def served_database(given: str, *, write: bool) -> Served:
    """The database that a file name or address means: ``sqlite:///``, ``postgresql://`` or ``mysql://``.

    Raises:
        SettingsError: it is of another kind, or not there; never shows a password.
    """
    address = re.match(r"([a-z0-9+]+):", given)
    scheme = address[1] if address and len(address[1]) > 1 else "sqlite"
    kind = _SCHEMES.get(scheme)
    if kind is None:
        raise SettingsError([f"databases of type {scheme!r} cannot be served; {', '.join(sorted(_SCHEMES))} can"])
    if kind == "sqlite":
        path = _database_file(given, write=write)
        return Served(type=kind, name=path.stem, config={"database": str(path)}, shown=path.name)
    try:
        shown = str(MysqlAddress.parse(given) if kind == "mysql" else PostgresqlAddress.parse(given))
    except ValueError as error:
        raise SettingsError([f"the {scheme} address that is to be served does not fit: {error}"]) from None
    return Served(type=kind, name=shown.rpartition("/")[2], config={"url": given}, shown=shown)


def _database_file(given: str, *, write: bool) -> Path:
    path = Path(given.removeprefix("sqlite:///")).expanduser().absolute()
    if path.is_dir() or not (path.exists() or (write and path.parent.is_dir())):
        raise SettingsError([f"{given}: there is no such file" + ("" if write else "; --write would make one")])
    if path.exists() and path.stat().st_size and path.read_bytes()[:15] != b"SQLite format 3":
        raise SettingsError([f"{given}: this is not a SQLite database"])
    return path


async def _serve(platform: Platform, settings: Settings, served: Served, prepared: Prepared, *, write: bool) -> None:
    store = platform.store
    if served.type not in platform.types:
        missing = "mysql" if served.type == "mysql" else "postgresql"
        raise SettingsError([f"{served.shown}: its driver is not installed: pip install 'reverie[{missing}]'"])
    name = await _free_name(platform, served)
    service_id = await _store_service(store, name, served, read_only=not write)
    app_id = await get_fact(store, f"served:{name}")
    if app_id is None:
        made, key = await _make_app(store, f"served {name}", {service_id: ALL if write else READ})
        await put_fact(store, f"served:{name}", str(made))
    else:
        value = await store.scalar(select(tables.app.c.api_key).where(tables.app.c.id == int(app_id)))
        key = str(value)
    await platform.memory.fresh()
    try:
        shown = (await table_names(platform, name))[:_SHOWN_TABLES]
    except BadRequest as error:
        raise SettingsError([f"{served.shown}: {error.message}"]) from error
    except Unavailable as error:
        # It may come later, as after a restart of all, and the rest is not to wait for it.
        prepared.notes.append(f"{served.shown} cannot be reached now: {error.message}")
        shown = []
    for table in shown:
        url = f"{settings.address}/api/v2/{name}/_table/{quote(table)}?limit=5"
        prepared.curls.append(f"curl -H 'X-DreamFactory-API-Key: {key}' {shlex.quote(url)}")
    prepared.notes.append(f"{served.shown} is the service {name}, " + ("open for writing" if write else "read-only"))


async def _free_name(platform: Platform, served: Served) -> str:
    """A service name after the database; the one it has already, or the next free one."""
    stem = _NAME.sub("_", served.name.lower()).strip("_")[:32] or "file"
    for number in range(1, 1000):
        name = stem if number == 1 else f"{stem}_{number}"
        known = await platform.memory.service(name)
        if known is None or _is_same(known.config, served):
            return name
    raise SettingsError([f"{served.shown}: there are a thousand services of that name"])


def _is_same(config: Mapping[str, JSON], served: Served) -> bool:
    """Whether a service has that database already, perhaps with another password."""
    if served.type == "sqlite":
        return config.get("database") == served.config["database"]
    try:
        return served_database(str(config.get("url")), write=False).shown == served.shown
    except SettingsError:
        return False


async def _store_service(store: Store, name: str, served: Served, *, read_only: bool, description: str = "") -> int:
    """The service's id; its settings are brought up to date when it is there already."""
    service = tables.service
    now = store.now_text()
    config = seal_config(store.sealer, {**served.config, "read_only": read_only}, {"url"})

    async def work(connection: Connection) -> int:
        known = await store.scalar(select(service.c.id).where(service.c.name == name), connection)
        if isinstance(known, int):
            changed = update(service).where(service.c.id == known)
            values = {"config": config, "is_active": True, "version": service.c.version + 1, "last_modified_date": now}
            await store.execute(changed.values(values), connection)
            return known
        values = {
            "name": name,
            "label": name,
            "description": description,
            "is_active": True,
            "type": served.type,
            "config": config,
            "created_date": now,
            "last_modified_date": now,
        }
        await store.execute(insert(service).values(values), connection)
        made = await store.scalar(select(service.c.id).where(service.c.name == name), connection)
        return int(str(made))

    return await store.write(work)


async def _make_app(store: Store, name: str, masks: dict[int, int]) -> tuple[int, str]:
    """An app with a key, and a role of its own: verb mask by service."""
    key = make_api_key()
    dates = {"created_date": store.now_text(), "last_modified_date": store.now_text()}

    async def work(connection: Connection) -> int:
        role, app, access = tables.role, tables.app, tables.role_service_access
        await store.execute(insert(role).values(name=name, is_active=True, **dates), connection)
        role_id = await store.scalar(select(role.c.id).where(role.c.name == name), connection)
        for service_id, mask in masks.items():
            row = {"role_id": role_id, "service_id": service_id, "component": "*", "verb_mask": mask}
            await store.execute(insert(access).values(**row, requestor_mask=3, filters="[]", **dates), connection)
        values = {"name": name, "api_key": key, "is_active": True, "role_id": role_id, **dates}
        await store.execute(insert(app).values(values), connection)
        return int(str(await store.scalar(select(app.c.id).where(app.c.name == name), connection)))

    return await store.write(work), key


# -- from the command line


async def create_admin(settings: Settings, *, email: str, password: str, name: str) -> None:
    """Make an administrator, the first or another.

    Raises:
        BatchError: the password is too short, or somebody has that e-mail; the message says which.
    """
    migrate(settings.store)
    async with build(settings, scripts=False) as platform:
        context = platform.dispatcher.context(Caller(is_admin=True))
        record: JSON = {"email": email, "password": password, "name": name or email, "is_active": True}
        request = Request(method="POST", service="system", resource="admin", payload={"resource": [record]})
        await platform.dispatcher.dispatch(request, context)


def bring_up_to_date(settings: Settings) -> None:
    """Apply the migrations that the store lacks."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    migrate(settings.store)
