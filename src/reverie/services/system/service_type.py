"""``system/service_type``: the kinds of services that can be created, with the fields of their settings; only read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reverie.errors import NotFound
from reverie.model import JSON, Context, Request, Response
from reverie.services.system.fields import Kind
from reverie.services.system.resource import listed, picked, unsupported_verb


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigField:
    """One setting of a service.

    Attributes:
        type: as clients know it: ``string text integer boolean object password file_certificate`` ...
        default: what stands in the settings when nothing was sent.
        secret: stored sealed, never shown.
    """

    name: str
    label: str
    type: str = "string"
    description: str = ""
    default: JSON = None
    required: bool = False
    secret: bool = False

    @property
    def kind(self) -> Kind:
        if self.type in ("integer", "boolean"):
            return "integer" if self.type == "integer" else "boolean"
        return "text" if self.type in ("string", "text", "password") else "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceType:
    """A kind of service.

    Attributes:
        singleton: there is one, made with the platform; no more can be created.
    """

    name: str
    label: str
    description: str
    group: str
    config_fields: Sequence[ConfigField] = ()
    singleton: bool = False

    @property
    def is_script(self) -> bool:
        return self.group == SCRIPT_GROUP


SCRIPT_GROUP: Final = "Script"

SCRIPT_FIELDS: Final = (
    ConfigField(name="queued", label="Queue For Later Execution", type="boolean", default=False,
                description="Answer at once, and run the script later."),
    ConfigField(name="implements_access_list", label="Implements Access List", type="boolean", default=False,
                description="The script answers ?as_access_list=true itself."),
    ConfigField(name="content", label="Content", type="text", description="The script."),
    ConfigField(name="config", label="Additional Configuration", type="object",
                description="Options of the queue: connection, queue, delay in seconds."),
    ConfigField(name="storage_service_id", label="Storage Service", type="integer",
                description="A file service that holds the script's text; there are none yet."),
    ConfigField(name="storage_path", label="Storage Path",
                description="The file that holds the script's text: without a service, below REVERIE_SCRIPT_LIBRARY."),
    ConfigField(name="scm_repository", label="Repository", description="For source control services."),
    ConfigField(name="scm_reference", label="Branch or Tag", description="For source control services."),
    ConfigField(name="cache_enabled", label="Data Retrieval Caching Enabled", type="boolean", default=False,
                description="Keep answers to GET for a while."),
    ConfigField(name="cache_ttl", label="Cache Time To Live", type="integer", default=0,
                description="For how many seconds; 0 is the instance's default."),
)  # fmt: skip


def script_service(name: str, label: str) -> ServiceType:
    """The type of services answered by a script in the language *name*."""
    return ServiceType(
        name=name,
        label=label,
        description="Service that allows client-callable scripts utilizing the system scripting.",
        group=SCRIPT_GROUP,
        config_fields=SCRIPT_FIELDS,
    )


BUILT_IN: Final = (
    ServiceType(
        name="system",
        label="System Management",
        description="The platform's own records.",
        group="System",
        singleton=True,
    ),
    ServiceType(
        name="api_docs",
        label="API Docs",
        description="OpenAPI documents of the services.",
        group="API Doc",
        singleton=True,
    ),
    ServiceType(
        name="user",
        label="User Service",
        description="Sessions of users, and what they keep.",
        group="User",
        singleton=True,
    ),
)


class ServiceTypes:
    def __init__(self, types: Mapping[str, ServiceType]) -> None:
        self.types = types

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        if request.method != "GET":
            raise unsupported_verb(request, "service_type", path)
        if path:
            found = self.types.get(path[0])
            if found is None:
                raise NotFound(f"Service type '{path[0]}' not found.")
            return Response(content=picked(entry(found), request))
        group = request.parameters.get("group")
        chosen = [entry(one) for one in self.types.values() if group is None or one.group == group]
        return listed(chosen, request)


def entry(one: ServiceType) -> dict[str, JSON]:
    return {
        "name": one.name,
        "label": one.label,
        "description": one.description,
        "group": one.group,
        "singleton": one.singleton,
        "dependencies_required": None,
        "subscription_required": None,
        "service_definition_editable": one.is_script,
        "config_schema": [_field(field) for field in one.config_fields] or None,
    }


def _field(field: ConfigField) -> JSON:
    described: dict[str, JSON] = {
        "name": field.name,
        "label": field.label,
        "type": field.type,
        "description": field.description,
        "default": field.default,
    }
    if field.required:
        described["required"] = True
    return described
