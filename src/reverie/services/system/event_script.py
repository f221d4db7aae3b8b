"""``system/event_script``: scripts bound to events, known by the event's name in whatever case."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from sqlalchemy import select

from reverie.database import Connection, Refusal, Value
from reverie.model import JSON, Context, Request, Response, Script, is_true
from reverie.services.system.batch import client_error, record_of, records_of
from reverie.services.system.fields import STAMPS, Field, accept, is_storable, stored
from reverie.services.system.records import Records
from reverie.services.system.relations import Row
from reverie.services.system.scripting import MustPass, check_queue_options, decoded_config, refuse_disabled
from reverie.store import tables
from reverie.store.script_versions import keep_event_script, next_number
from reverie.store.scripts import event_script_by_name
from reverie.store.store import Store


class EventScripts(Records):
    """A POST to a name creates the script or replaces what is sent of it.

    Args:
        disabled: languages that are switched off, or ``all``; saving then answers 503.
        must_pass: refuses a script that fails its fixtures; None where there are none.
    """

    name = "event_script"
    table = tables.event_script
    key = "name"
    match = "lower_name"
    fields: ClassVar[tuple[Field, ...]] = (
        Field(name="name", required=True, limit=255),
        Field(name="type", required=True, limit=40),
        Field(name="content"),
        Field(name="config", kind="json"),
        Field(name="storage_service_id", kind="integer"),
        Field(name="storage_path", limit=255),
        Field(name="scm_repository", limit=255),
        Field(name="scm_reference", limit=255),
        Field(name="is_active", kind="boolean", nullable=False, default=False),
        Field(name="allow_event_modification", kind="boolean", nullable=False, default=False),
        *STAMPS,
    )

    def __init__(self, store: Store, disabled: Collection[str] = (), must_pass: MustPass | None = None) -> None:
        super().__init__(store)
        self.disabled = disabled
        self.must_pass = must_pass

    def match_value(self, identifier: JSON) -> Value:
        name = str(identifier)
        return name.lower() if is_storable(name) else None

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        if request.method in ("POST", "PUT", "PATCH"):
            refuse_disabled(self.disabled, None)
            await self._test(request, path)
        return await super().handle(request, context, path)

    async def post_one(self, request: Request, context: Context, identifier: str) -> Response:
        criteria = self.criteria(request)
        sent = {**record_of(request), "name": identifier}
        # Before the look into the store: a name that cannot be is no name to look for.
        accept(self.fields, sent, creating=False)
        author = self.author(context)

        async def work(connection: Connection) -> tuple[int, JSON]:
            query = select(self.table).where(self.table.c.lower_name == identifier.lower())
            row = await self.store.fetch_one(query, connection)
            if row is None:
                return 201, await self.create(connection, sent, author, request)
            return 200, await self.change(connection, row, sent, author, request)

        try:
            status, key = await self.store.write(work)
        except Refusal as refusal:
            raise client_error(refusal) from refusal
        return Response(status=status, content=(await self.reread([{self.key: key}], criteria))[0])

    async def values(
        self, connection: Connection, sent: Mapping[str, JSON], row: Row | None, request: Request
    ) -> dict[str, Value]:
        values = accept(self.fields, sent, creating=row is None)
        if row is not None:
            values.pop("name", None)
        language = values.get("type", row["type"] if row is not None and isinstance(row["type"], str) else None)
        refuse_disabled(self.disabled, language if isinstance(language, str) else None)
        check_queue_options(values.get("config"))
        columns = stored(self.fields, values)
        if row is None:
            key = str(values["name"]).lower()
            columns["lower_name"] = key
            columns["version"] = await next_number(self.store, connection, key)
        return columns

    async def written(self, connection: Connection, row: Row | None, values: Mapping[str, Value]) -> None:
        key = values["lower_name"] if row is None else row["lower_name"]
        await keep_event_script(self.store, connection, str(key), row)

    async def _test(self, request: Request, path: list[str]) -> None:
        """Try each script that is sent on its fixtures, where it wants that."""
        body = request.payload
        if self.must_pass is None or not body:
            return
        named = ["/".join(path)] if path else await self.targets(request)
        for sent in records_of(request):
            if isinstance(sent, dict):
                for name in named or [sent.get("name")]:
                    if isinstance(name, str) and is_storable(name):
                        await self.must_pass(await self._saved_as(name, sent))

    async def _saved_as(self, name: str, sent: Mapping[str, JSON]) -> Script:
        """The script as it will be."""
        old = await event_script_by_name(self.store, name)
        content = sent.get("content", old.content if old else "")
        may_modify = sent.get("allow_event_modification", bool(old and old.allow_event_modification))
        return Script(
            identifier=name if old is None else old.name,
            language=str(sent.get("type") or (old.type if old else "")),
            content=content if isinstance(content, str) else "",
            config=decoded_config(sent["config"]) if "config" in sent else old.config if old else {},
            may_modify=is_true(may_modify),
            key=name.lower(),
        )
