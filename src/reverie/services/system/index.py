"""``GET /api/v2``: the services that the caller can reach, and the kinds there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reverie.auth.access import visible_services
from reverie.model import JSON, Context, Request, Response
from reverie.services.system.resource import words
from reverie.services.system.service_type import ServiceType
from reverie.store.memory import Memory
from reverie.store.records import ServiceRecord


async def index(request: Request, context: Context, *, memory: Memory, types: Mapping[str, ServiceType]) -> Response:
    """Anybody may ask; who can reach nothing sees no service, but all the kinds."""
    group, name = request.parameters.get("group"), request.parameters.get("type")
    chosen = [
        one for one in types.values() if (group is None or one.group == group) and (name is None or one.name == name)
    ]
    names = {one.name for one in chosen} if group is not None or name is not None else None
    records = await reachable(memory, context)
    services = [_service(record) for record in records if names is None or record.type in names]
    fields = words(request.parameters.get("fields"))
    if fields and "*" not in fields:
        services = [{key: value for key, value in one.items() if key in fields} for one in services]
    return Response(content={"services": list(services), "service_types": [_kind(one) for one in chosen]})


async def reachable(memory: Memory, context: Context) -> Sequence[ServiceRecord]:
    """Active services that the caller may do anything with, by name."""
    caller = context.caller
    if caller.role is None and not caller.is_admin:
        return []
    names = visible_services(caller.role, context.requestor) if caller.role is not None else None
    return [
        record for record in await memory.services() if record.is_active and (names is None or record.name in names)
    ]


def _service(record: ServiceRecord) -> dict[str, JSON]:
    return {
        "id": record.id,
        "name": record.name,
        "label": record.label,
        "description": record.description,
        "type": record.type,
    }


def _kind(one: ServiceType) -> JSON:
    return {"name": one.name, "label": one.label, "group": one.group, "description": one.description}
