"""Searching jobs by the call they keep: ``service:orders verb:POST role:partner status:failed since:2h``.

connection:database  queue:slow  status:failed,cancelled  script:db._table.todo.post.queued  error:"out of tea"
service:orders  verb:POST  user:me@example.test  role:partner  app:shop          names, or numbers of records
since:2h  until:2024-05-02  since:"2024-05-02 10:00"                             s m h d w before now, or UTC
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Table, select

from reverie.errors import BadRequest, NotFound
from reverie.jobs.ledger import JobFilter
from reverie.model import JobStatus
from reverie.store.scripts import event_script_by_name
from reverie.store.services import service_by_name
from reverie.store.store import Store
from reverie.store.tables import app, role, user

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_PLAIN: Final = {"connection": "connection", "queue": "queue", "service": "service", "error": "text"}
_NAMES: Final = ("script", "user", "role", "app")
KEYS: Final = (*_PLAIN, *_NAMES, "verb", "status", "since", "until")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What was asked for: a filter, and names that only the store can turn into numbers."""

    where: JobFilter
    role: str | None = None
    user: str | None = None
    app: str | None = None
    script: str | None = None


def parse_search(text: str, now: float) -> Search:
    """Read ``key:value`` words with blanks between them; a value with blanks stands in quotes.

    Args:
        now: Unix seconds, that ``since:2h`` counts back from.

    Raises:
        BadRequest: names the word that cannot be read, and what could stand there.
    """
    where: dict[str, Any] = {}
    names: dict[str, str] = {}
    for word in _words(text):
        key, colon, value = word.partition(":")
        key = key.lower()
        if not colon or key not in KEYS:
            raise BadRequest(f"{word!r} cannot be searched for: write key:value, the keys are {', '.join(KEYS)}.")
        if not value:
            raise BadRequest(f"{key}: has no value; write {key}:value, without a blank.")
        if key in _NAMES:
            names[key] = value
        elif key == "verb":
            where["verb"] = value.upper()
        elif key == "status":
            where["statuses"] = tuple(_status(one) for one in value.split(","))
        elif key in ("since", "until"):
            where["after" if key == "since" else "before"] = moment_of(value, now)
        else:
            where[_PLAIN[key]] = value
    return Search(where=JobFilter(**where), **names)


async def resolved(search: Search, store: Store) -> JobFilter:
    """The filter, with every name looked up.

    Raises:
        NotFound: there is no such role, user or app.
        StoreUnavailable
    """
    where = search.where
    if search.role is not None:
        where = replace(where, role_id=await _id(store, role, search.role, "name"))
    if search.user is not None:
        where = replace(where, user_id=await _id(store, user, search.user, "email", "username"))
    if search.app is not None:
        where = replace(where, app_id=await _id(store, app, search.app, "name"))
    if search.script is not None:
        where = replace(where, script=await _script(store, search.script))
    return where


def moment_of(text: str, now: float) -> float:
    """Unix seconds of ``2h`` (before *now*), or of a date or time as ISO 8601 writes it, in UTC unless it says.

    Raises:
        BadRequest
    """
    if ago := _AGO.fullmatch(text):
        return now - float(ago[1]) * _UNITS[ago[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        wanted = "30s, 5m, 2h, 3d, 1w, or a time such as 2024-05-02T10:00"
        raise BadRequest(f"{text!r} is no time; write {wanted}.") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _words(text: str) -> list[str]:
    splitter = shlex.shlex(text, posix=True, punctuation_chars=False)
    splitter.whitespace_split = True
    splitter.commenters = ""
    splitter.escape = ""
    splitter.quotes = '"'
    try:
        return list(splitter)
    except ValueError as error:
        raise BadRequest("The search ends inside a quoted text; close it with a double quote.") from error


def _status(text: str) -> JobStatus:
    try:
        return JobStatus(text.strip().lower())
    except ValueError as error:
        raise BadRequest(f"There is no status {text!r}; there are {', '.join(JobStatus)}.") from error


async def _id(store: Store, table: Table, name: str, *columns: str) -> int:
    """The number of a record by one of its names, or by the number itself."""
    if name.isdigit():
        return int(name)
    for column in columns:
        wanted = name.lower() if column == "email" else name
        found = await store.scalar(select(table.c.id).where(table.c[column] == wanted))
        if isinstance(found, int):
            return found
    raise NotFound(f"There is no {table.name} {name!r}.")


async def _script(store: Store, name: str) -> str:
    """As jobs name it: an event script by its name, a service by its number; else what was typed."""
    script = await event_script_by_name(store, name)
    if script is not None:
        return script.name
    service = await service_by_name(store, name)
    return name if service is None else f"service:{service.id}"
