"""``system/script_capture``: scripts whose events are kept for a while, and what was kept. For administrators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from reverie.database import Value
from reverie.errors import BadRequest, NotFound
from reverie.events.event import session_map
from reverie.events.recording import Recorder, open_capture
from reverie.events.trials import Trials, as_id
from reverie.model import JSON, Context, Request, Response
from reverie.services.system.batch import as_record, record_of, records_of
from reverie.services.system.fields import is_storable, moment
from reverie.services.system.resource import administrators_only, flag, unsupported_verb
from reverie.store.captures import Watch, capture_by_id, captures_of, drop_capture, drop_watch, put_watch, watches

KEEP, MOST_KEPT = 20, 200
"""Events kept of one script, unless told otherwise, and at most."""
HOURS, MOST_HOURS = 24.0, 720.0
LONGEST: Final = 255


@dataclass(frozen=True, slots=True)
class ScriptCaptures:
    """Known by the script's name; ``{name}/{id}`` is one of its events."""

    trials: Trials
    recorder: Recorder

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        administrators_only(context, "the events of scripts")
        await self.recorder.flush()
        match request.method, path:
            case "GET", []:
                return await self._list(request)
            case "GET", [name]:
                return Response(content=await self._one(await self._watch(name)))
            case "GET", [name, number]:
                return Response(content=await self._event(await self._key(name), number))
            case "POST", []:
                made = [await self._put(as_record(one), context) for one in records_of(request)]
                return Response(status=201, content={"resource": [{"script": name} for name in made]})
            case (("POST" | "PUT" | "PATCH"), [name]):
                sent = record_of(request) if request.payload else {}
                return Response(content={"script": await self._put({**sent, "script": name}, context)})
            case "DELETE", [name]:
                watch = await self._watch(name)
                await drop_watch(self.trials.store, watch.script)
                return Response(content={"script": watch.name})
            case "DELETE", [name, number]:
                await self._row(await self._key(name), number)
                await drop_capture(self.trials.store, int(number))
                return Response(content={"id": int(number)})
        raise unsupported_verb(request, "script_capture", path)

    async def _list(self, request: Request) -> Response:
        now = self.trials.store.clock.now()
        found = [one for one in (await watches(self.trials.store)).values() if one.expires_at > now]
        found.sort(key=lambda one: one.name)
        if flag(request, "as_list"):
            return Response(content={"resource": [one.name for one in found]})
        return Response(content={"resource": [_shown(one) for one in found]})

    async def _one(self, watch: Watch) -> dict[str, JSON]:
        events: list[JSON] = [_head(row) for row in await captures_of(self.trials.store, watch.script)]
        return {**_shown(watch), "events": events}

    async def _event(self, key: str, number: str) -> dict[str, JSON]:
        row = await self._row(key, number)
        packed = open_capture(self.trials.store, row)
        session = session_map(packed.caller)
        return {
            **_head(row),
            "event": packed.event,
            "session": {name: session[name] for name in session if name not in ("api_key", "session_token")},
            "calls": packed.environment.get("calls"),
        }

    async def _put(self, sent: Mapping[str, JSON], context: Context) -> str:
        """Raises BadRequest."""
        name = sent.get("script") or sent.get("name")
        if not isinstance(name, str) or not is_storable(name) or len(name) > LONGEST:
            raise BadRequest("Name the 'script' whose events shall be kept: an event's name, or 'service:' and a name.")
        found = await self.trials.find(name)
        if found is None and name.startswith("service:"):
            raise BadRequest(f"There is no script service {name.removeprefix('service:')!r}.")
        hours = _number(sent, "hours", HOURS, MOST_HOURS)
        watch = Watch(
            script=name.lower() if found is None else found.key,
            name=name if found is None else found.identifier,
            keep=int(_number(sent, "keep", KEEP, MOST_KEPT)),
            hours=hours,
            expires_at=self.trials.store.clock.now() + hours * 3600,
        )
        await put_watch(self.trials.store, watch, user_id=context.caller.user_id)
        return watch.name

    async def _key(self, name: str) -> str:
        found = await self.trials.find(name)
        return name.lower() if found is None else found.key

    async def _watch(self, name: str) -> Watch:
        """Raises NotFound."""
        watch = (await watches(self.trials.store)).get(await self._key(name))
        if watch is None or watch.expires_at <= self.trials.store.clock.now():
            raise NotFound(f"No events are kept of {name!r}; POST to system/script_capture/{name} keeps them.")
        return watch

    async def _row(self, key: str, number: str) -> Mapping[str, Value]:
        """Raises NotFound."""
        row = await capture_by_id(self.trials.store, as_id(number))
        if row is None or row["script"] != key:
            raise NotFound(f"There is no event {number!r} kept of this script; events are kept for a while only.")
        return row


def _shown(watch: Watch) -> dict[str, JSON]:
    return {
        "script": watch.name,
        "keep": watch.keep,
        "hours": watch.hours,
        "expires_at": moment(watch.expires_at),
    }


def _head(row: Mapping[str, Value]) -> dict[str, JSON]:
    """What is known of a kept event without opening it."""
    known: dict[str, JSON] = {
        name: value
        for name, value in row.items()
        if name not in ("content", "script", "captured_at", "expires_at", "number") and not isinstance(value, bytes)
    }
    return {
        **known,
        "version": _plain(row["number"]),
        "captured_at": moment(_seconds(row["captured_at"])),
        "expires_at": moment(_seconds(row["expires_at"])),
    }


def _plain(value: Value) -> JSON:
    return value if isinstance(value, int) else None


def _seconds(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _number(sent: Mapping[str, JSON], name: str, otherwise: float, most: float) -> float:
    """Raises BadRequest."""
    value = sent.get(name)
    if value is None:
        return otherwise
    try:
        number = float(str(value))
    except ValueError:
        number = 0.0
    least = 1.0 if name == "keep" else 0.01
    if isinstance(value, bool) or not least <= number <= most:
        raise BadRequest(f"'{name}' must be a number from {least:g} to {most:g}.")
    return number
