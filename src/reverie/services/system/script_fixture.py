"""``system/script_fixture``: events with what a script is expected to make of them. For administrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from reverie.database import Connection, Value
from reverie.errors import BadRequest
from reverie.events.fixtures import Fixtures, check_expectation
from reverie.events.masks import masked_caller, masked_event
from reverie.events.recording import open_capture
from reverie.jobs.payload import Packed, PayloadUnreadable, pack
from reverie.model import ANONYMOUS, JSON, Caller, Context, Request, Response
from reverie.services.system.fields import ID, STAMPS, Field, accept
from reverie.services.system.records import Records
from reverie.services.system.relations import Row
from reverie.services.system.resource import administrators_only
from reverie.store import tables
from reverie.store.captures import about_capture


class ScriptFixtures(Records):
    """Made from a capture, a job, or an event that is sent; without an expectation the script's own doing is it."""

    name = "script_fixture"
    table = tables.script_fixture
    fields: ClassVar[tuple[Field, ...]] = (
        ID,
        Field(name="script", required=True, limit=255),
        Field(name="name", required=True, limit=120),
        Field(name="event", kind="json", computed=True),
        Field(name="expect", kind="json", computed=True),
        Field(name="calls", kind="json", computed=True),
        *STAMPS,
    )

    def __init__(self, fixtures: Fixtures, caller: Caller = ANONYMOUS) -> None:
        super().__init__(fixtures.trials.store)
        self.fixtures = fixtures
        self.caller = caller

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        administrators_only(context, "the fixtures of scripts")
        mine = ScriptFixtures(self.fixtures, context.caller)  # an event that is sent is his who sends it
        return await Records.handle(mine, request, context, path)

    def show(self, row: Row) -> dict[str, JSON]:
        record = super().show(row)
        try:
            packed = open_capture(self.store, row)
        except PayloadUnreadable:
            return {**record, "event": None, "expect": None, "calls": None}
        kept = packed.environment
        return {**record, "event": packed.event, "expect": kept.get("expect"), "calls": kept.get("calls")}

    async def prepare(self, sent: dict[str, JSON], *, creating: bool) -> dict[str, JSON]:
        """What the fixture holds is put together here, since the script may have to be run for it."""
        if "expect" in sent and sent["expect"] is not None:
            check_expectation(sent["expect"])
        if not creating:
            for name in ("event", "capture", "job", "script"):
                if name in sent:
                    raise BadRequest(f"The {name!r} of a fixture cannot be changed; delete it and make another one.")
            return sent
        trying = await self.fixtures.trials.read({name: sent[name] for name in _MADE_FROM if name in sent}, self.caller)
        if not trying.script.key:
            raise BadRequest("Name the 'script' that the fixture tests.")
        expect, calls = await self.fixtures.record(trying)
        expect = expect if sent.get("expect") is None else check_expectation(sent["expect"])
        environment: dict[str, JSON] = {"calls": trying.calls or calls, "expect": expect}
        event = masked_event(trying.event, to_run=True)
        packed = Packed(event=event, caller=masked_caller(trying.caller), environment=environment)
        key = trying.script.key
        return {**sent, "script": key, _PACKED: pack(packed, self.store.sealer, about=about_capture(key)).hex()}

    async def values(
        self, connection: Connection, sent: Mapping[str, JSON], row: Row | None, request: Request
    ) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for name, value in accept(self.fields, sent, creating=row is None).items():
            values[name] = value if isinstance(value, str) else None
        if row is None:
            values["content"] = bytes.fromhex(str(sent[_PACKED]))
        elif "expect" in sent:
            packed = open_capture(self.store, row)
            packed.environment["expect"] = sent["expect"]
            values["content"] = pack(packed, self.store.sealer, about=about_capture(str(row["script"])))
        return values


_PACKED: Final = "$packed"
_MADE_FROM: Final = ("event", "capture", "job", "script", "version", "content", "language")
