"""``system/script_version``: what scripts were at each save, who saved them, and how their runs ended."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from sqlalchemy import ColumnElement, or_, select

from reverie.database import Connection, Value
from reverie.errors import BadRequest, Conflict
from reverie.events.difference import differences
from reverie.events.recording import Recorder
from reverie.model import JSON, Context, Request, Response
from reverie.services.system.batch import record_of
from reverie.services.system.criteria import Criteria
from reverie.services.system.fields import Field, from_column, moment, shown
from reverie.services.system.records import Records
from reverie.services.system.relations import Row
from reverie.services.system.resource import Resource, unsupported_verb
from reverie.store import tables
from reverie.store.script_versions import SERVICE, Count, counts_of, text_and_config
from reverie.store.services import open_config
from reverie.store.store import Store

WANTED: Final = 'Send {"action": "restore"}.'
_SETTINGS: Final = (
    "is_active",
    "allow_event_modification",
    "storage_service_id",
    "storage_path",
    "scm_repository",
    "scm_reference",
)


class ScriptVersions(Records):
    """Only read, but that one can be restored: then what it was is saved again, as a new version.

    Args:
        event_scripts, services: where a restored version is saved.
        recorder: whose notes are written before counts are read; None where nothing is counted.
    """

    name = "script_version"
    table = tables.script_version
    fields: ClassVar[tuple[Field, ...]] = (
        Field(name="id", kind="integer", writable=False),
        Field(name="script", writable=False),
        Field(name="name", writable=False),
        Field(name="number", kind="integer", writable=False),
        Field(name="type", writable=False),
        Field(name="hash", writable=False, computed=True),
        Field(name="content", writable=False, computed=True),
        Field(name="settings", kind="json", writable=False, computed=True),
        Field(name="is_current", kind="boolean", writable=False, computed=True),
        Field(name="runs", kind="integer", writable=False, computed=True),
        Field(name="failures", kind="integer", writable=False, computed=True),
        Field(name="refusals", kind="integer", writable=False, computed=True),
        Field(name="last_failed_at", kind="time", writable=False, computed=True),
        Field(name="last_error", kind="json", writable=False, computed=True),
        Field(name="created_date", writable=False),
        Field(name="created_by_id", kind="integer", writable=False),
    )

    def __init__(self, store: Store, event_scripts: Resource, services: Resource, recorder: Recorder | None) -> None:
        super().__init__(store)
        self.event_scripts = event_scripts
        self.services = services
        self.recorder = recorder

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        if self.recorder is not None:
            await self.recorder.flush()
        if request.method == "GET" and len(path) < 2:
            if path and request.parameters.get("compare") is not None:
                return await self._compared(path[0], str(request.parameters["compare"]))
            return await super().handle(request, context, path)
        if request.method == "PATCH" and len(path) == 1:
            return await self._restored(request, context, path[0])
        raise unsupported_verb(request, self.name, path)

    def criteria(self, request: Request) -> Criteria:
        """``script=name`` leaves those of one script; the newest come first."""
        found = super().criteria(request)
        where: ColumnElement[bool] | None = found.where
        if (name := request.parameters.get("script")) is not None:
            mine = or_(self.table.c.script == str(name).lower(), self.table.c.name == str(name))
            where = mine if where is None else where & mine
        order = found.order if request.parameters.get("order") else (self.table.c.id.desc(),)
        return replace(found, where=where, order=order)

    def show(self, row: Row) -> dict[str, JSON]:
        record = shown(self.fields, row)
        text, _ = text_and_config(self.store.sealer, row)
        record["hash"] = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
        record["content"] = text
        record["settings"] = self._settings(row)
        return record

    async def shaped(
        self, rows: Sequence[Row], criteria: Criteria, connection: Connection | None, *, full: bool = False
    ) -> list[JSON]:
        records = await super().shaped(rows, criteria, connection, full=full)
        asked = {field.name for field in self.fields if field.computed}
        if criteria.fields is not None:
            asked &= set(criteria.fields)
        elif not full:
            asked = set()
        if not asked - {"hash", "content", "settings"}:
            return records
        places = [(str(row["script"]), number_of(row)) for row in rows]
        counts = await counts_of(self.store, places)
        current = await self._current({key for key, _ in places})
        for record, place in zip(records, places, strict=True):
            if isinstance(record, dict):
                facts = _facts(counts.get(place, Count()))
                facts["is_current"] = current.get(place[0]) == place[1]
                record.update({name: value for name, value in facts.items() if name in asked})
        return records

    async def _current(self, keys: set[str]) -> dict[str, int]:
        """The version of each script now."""
        events, services = tables.event_script, tables.service
        found: dict[str, int] = {}
        names = [key for key in keys if not key.startswith(SERVICE)]
        for row in await self.store.fetch(
            select(events.c.lower_name, events.c.version).where(events.c.lower_name.in_(names))
        ):
            found[str(row["lower_name"])] = number_of(row, "version")
        ids = [int(key.removeprefix(SERVICE)) for key in keys if key.startswith(SERVICE)]
        for row in await self.store.fetch(select(services.c.id, services.c.version).where(services.c.id.in_(ids))):
            found[f"{SERVICE}{number_of(row, 'id')}"] = number_of(row, "version")
        return found

    def _settings(self, row: Row) -> dict[str, JSON]:
        """All that was saved beside type and text."""
        if str(row["script"]).startswith(SERVICE):
            config = open_config(self.store.sealer, str(row["config"] or ""))
            config.pop("content", None)
            return {"is_active": bool(row["is_active"]), "config": config}
        known: dict[str, JSON] = {name: from_column(row[name], "text") for name in _SETTINGS}
        return {**known, "config": from_column(row["config"], "json")}

    # -- compared

    async def _compared(self, identifier: str, other: str) -> Response:
        """What changed from *other*, an id or ``previous`` or ``current``, to this one."""
        row = await self.row(identifier, None)
        base = await self._other(row, other)
        new, old = self.show(row), self.show(base)
        text = difflib.unified_diff(
            str(old["content"]).splitlines(),
            str(new["content"]).splitlines(),
            f"{old['name']} {old['number']}",
            f"{new['name']} {new['number']}",
            lineterm="",
        )
        return Response(
            content={
                "from": {"id": old["id"], "number": old["number"]},
                "to": {"id": new["id"], "number": new["number"]},
                "text": "\n".join(text),
                "settings": differences(_beside_text(old), _beside_text(new)),
            }
        )

    async def _other(self, row: Row, other: str) -> Row:
        column = self.table.c
        same = select(self.table).where(column.script == row["script"])
        if other == "previous":
            found = await self.store.fetch_one(same.where(column.id < row["id"]).order_by(column.id.desc()).limit(1))
        elif other == "current":
            found = await self.store.fetch_one(same.order_by(column.id.desc()).limit(1))
        else:
            return await self.row(other, None)
        if found is None:
            raise BadRequest("There is no version before this one.")
        return found

    # -- restored

    async def _restored(self, request: Request, context: Context, identifier: str) -> Response:
        if record_of(request).get("action") != "restore":
            raise BadRequest(f"There is nothing to do. {WANTED}")
        row = await self.row(identifier, None)
        key = str(row["script"])
        if key.startswith(SERVICE):
            await self._restore_service(row, context, key.removeprefix(SERVICE))
        else:
            await self._restore_event_script(row, context)
        newest = select(self.table).where(self.table.c.script == key).order_by(self.table.c.id.desc()).limit(1)
        made = await self.store.fetch_one(newest)
        return Response(content={"id": from_column(None if made is None else made["id"], "integer")})

    async def _restore_event_script(self, row: Row, context: Context) -> None:
        """Whether it is active stays as it is, if the script is still there."""
        sent: dict[str, JSON] = {
            "type": row_text(row, "type"),
            "content": row_text(row, "content"),
            **self._settings(row),
        }
        if await self._current({str(row["script"])}):
            del sent["is_active"]
        await self.event_scripts.handle(_saving("POST", sent), context, [str(row["name"])])

    async def _restore_service(self, row: Row, context: Context, service_id: str) -> None:
        if not await self._current({str(row["script"])}):
            raise Conflict(f"The service of {row_text(row, 'name')} was deleted; make a new one with this text.")
        config = open_config(self.store.sealer, str(row["config"] or ""))
        sent: dict[str, JSON] = {"type": row_text(row, "type"), "config": config}
        await self.services.handle(_saving("PATCH", sent), context, [service_id])


def _beside_text(version: Mapping[str, JSON]) -> dict[str, JSON]:
    settings = version["settings"]
    return {"type": version["type"], **(settings if isinstance(settings, dict) else {})}


def _saving(method: str, sent: dict[str, JSON]) -> Request:
    return Request(method=method, service="system", payload=sent)


def _facts(count: Count) -> dict[str, JSON]:
    return {
        "runs": count.runs,
        "failures": count.failures,
        "refusals": count.refusals,
        "last_failed_at": moment(count.last_failed_at),
        "last_error": count.last_error,
    }


def number_of(row: Mapping[str, Value], name: str = "number") -> int:
    value = row[name]
    return value if isinstance(value, int) else 0


def row_text(row: Row, name: str) -> JSON:
    value = row[name]
    return value if isinstance(value, str) else None
