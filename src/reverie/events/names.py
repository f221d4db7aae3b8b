"""The names that a request fires, generic first, and the map of all names a service can fire.

    api-event   = service *( "." segment ) "." verb        db._table.{table_name}.get   db._table.todo.get
    script name = api-event [ ".pre_process" | ".post_process" | ".queued" ]

Path ``/`` becomes ``.``; the verb is lower case; names match in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reverie.model import JSON

VERBS = ("get", "post", "put", "patch", "delete")
STAGES = ("pre_process", "post_process", "queued")


@dataclass(frozen=True, slots=True)
class Moment:
    """One event of a request: its name without stage, and ``event.resource`` as its scripts see it."""

    name: str
    resource: JSON = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPath:
    """One entry of a service's event map.

    Attributes:
        name: ``db._table.{table_name}``, without verb.
        verbs: in lower case, in the order they are listed.
        parameter: choices by template name, ``{"table_name": ["todo", ...]}``; None without templates.
    """

    name: str
    verbs: Sequence[str]
    parameter: dict[str, JSON] | None = None

    def endpoints(self, *, scriptable: bool) -> list[str]:
        """``db.get`` ..., with *scriptable* each followed by its three stages."""
        names: list[str] = []
        for verb in self.verbs:
            name = f"{self.name}.{verb}"
            names.append(name)
            if scriptable:
                names.extend(f"{name}.{stage}" for stage in STAGES)
        return names

    def entry(self, *, scriptable: bool) -> JSON:
        """As `system/event` lists it."""
        return {"type": "api", "endpoints": list(self.endpoints(scriptable=scriptable)), "parameter": self.parameter}
