"""A script that is only tried: what it asks is noted, and what would change something is not done."""

from __future__ import annotations

import re
import time
from typing import Final, Literal, TypeAlias

from reverie.errors import NotSupported
from reverie.events.difference import same
from reverie.events.masks import masked
from reverie.events.recording import MOST_CALLS, Ask
from reverie.model import JSON, Request, Response

Mode: TypeAlias = Literal["dry", "real"]
WITHHELD: Final = "X-Reverie-Withheld"
"""The header of an answer that stands for a call which was not made."""
_ROUTINES: Final = ("_proc/", "_func/")
_PLACE: Final = re.compile(r"\x1e(\d+)\x1f")


class Rehearsal:
    """One run.

    ``dry``: calls are answered as in an earlier run where that was kept, once each; reads are made otherwise; what may
    write is noted and answered with what was sent. ``real``: everything is done, and noted.

    Args:
        calls: of the earlier run, see `Tape`.

    Attributes:
        calls: what the script asked, in the order of the answers.
        writes: what was not done, also by scripts of calls that were made.
        tape: what it asked and was answered, for a later run.
    """

    def __init__(self, mode: Mode, calls: JSON = None) -> None:
        self.dry = mode == "dry"
        self.calls: list[JSON] = []
        self.writes: list[JSON] = []
        self.tape: list[JSON] = []
        self._answers = [one for one in calls if isinstance(one, dict)] if isinstance(calls, list) and self.dry else []
        self._values: dict[str, JSON] = {}

    def instead(self, request: Request) -> Response | None:
        """`Context.rehearse`."""
        if not may_write(request):
            return None
        path = request.uri or f"{request.service}/{request.resource}"
        self.writes.append({"verb": request.method, "path": path, "payload": request.payload or None})
        if request.method == "GET":
            error = NotSupported("A routine may change something, so it is not called in a dry run.").response()
            return Response(status=error.status, content=error.content, headers={WITHHELD: "true"})
        status = 201 if request.method == "POST" and request.service == "system" else 200
        return Response(status=status, content=_echo(request), headers={WITHHELD: "true"})

    def between(self, ask: Ask) -> Ask:
        """What stands between the script and the platform, see `Trial`."""

        async def answer(op: str, args: dict[str, JSON]) -> JSON:
            if op == "require":
                return await ask(op, args)  # a module is part of the script, and no call of it
            began = time.perf_counter()
            source, value = await (self._answered(ask, op, args) if self.dry else _made(ask, op, args))
            if len(self.tape) < MOST_CALLS:
                self.tape.append({"op": op, "args": masked(args), "answer": masked(value)})
            self.calls.append(_told(op, args, value, source, time.perf_counter() - began))
            return value

        return answer

    async def _answered(self, ask: Ask, op: str, args: dict[str, JSON]) -> tuple[str, JSON]:
        for at, one in enumerate(self._answers):
            if one.get("op") == op and same(one.get("args"), masked(args)):
                del self._answers[at]
                if op == "api" and str(args.get("verb")).upper() != "GET":
                    self.writes.append({name: args.get(name) for name in ("verb", "path", "payload")})
                return "tape", one.get("answer")
        name = str(args.get("key"))
        if op == "store.set":
            self._values[name] = args.get("value")
            return "withheld", None
        if op == "store.get" and name in self._values:
            return "withheld", self._values[name]
        return await _made(ask, op, args)


async def _made(ask: Ask, op: str, args: dict[str, JSON]) -> tuple[str, JSON]:
    value = await ask(op, args)
    headers = value.get("headers") if isinstance(value, dict) else None
    return "withheld" if isinstance(headers, dict) and WITHHELD in headers else "platform", value


def may_write(request: Request) -> bool:
    """Whether a call may change something: all but a GET, and any of a routine."""
    if request.method != "GET":
        return True
    return (
        request.service != ""
        and request.resource.startswith(_ROUTINES)
        and request.resource.strip("/")
        not in (
            "_proc",
            "_func",
        )
    )


def _echo(request: Request) -> JSON:
    """What stands for the answer to a write: what was sent."""
    payload = request.payload
    if isinstance(payload, list):
        return {"resource": payload}
    return payload or {"success": True}


def _told(op: str, args: dict[str, JSON], value: JSON, source: str, seconds: float) -> JSON:
    if op != "api":
        return {"op": op, "key": args.get("key"), "source": source, "seconds": round(seconds, 6)}
    status = value.get("status_code") if isinstance(value, dict) else None
    return {
        "op": op,
        "verb": args.get("verb"),
        "path": args.get("path"),
        "payload": args.get("payload"),
        "status": status,
        "source": source,
        "seconds": round(seconds, 6),
    }


def console(output: str) -> list[JSON]:
    """``{"number": 1, "line": 3, "text": "..."}`` for each line printed; *line* of the script, None where unknown."""
    lines: list[JSON] = []
    line: int | None = None
    text, began = "", None
    parts = _PLACE.split(output)
    for at, part in enumerate(parts):
        if at % 2:
            line = int(part)
            continue
        *whole, rest = part.split("\n")
        for piece in whole:
            lines.append({"number": len(lines) + 1, "line": began if text else line, "text": text + piece})
            text = ""
        if rest and not text:
            began = line
        text += rest
    if text:
        lines.append({"number": len(lines) + 1, "line": began, "text": text})
    return lines


def plain(output: str) -> str:
    """The output of a traced run without its marks."""
    return _PLACE.sub("", output)
