"""The service `system` as a whole: what is there, its events, what each caller sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from reverie.errors import NotSupported
from reverie.events.names import EventPath, Moment
from reverie.model import ANONYMOUS, JSON, Caller, Context, Request, Requestor, Response
from reverie.services.openapi import Description, Detail
from reverie.services.system.build import all_types
from reverie.services.system.index import index
from reverie.services.system.service_type import script_service
from reverie.services.system.system import SystemService
from tests.integration.system.conftest import SQLITE, Platform, at, message

pytestmark = pytest.mark.anyio


@dataclass
class Shop:
    """A service with two events."""

    name: str
    broken: bool = False

    async def handle(self, request: Request, context: Context) -> Response:
        return Response(content=request.resource)

    def moments(self, request: Request) -> Sequence[Moment]:
        return [Moment(f"{self.name}.get")]

    async def event_paths(self) -> Sequence[EventPath]:
        if self.broken:
            raise NotSupported("the file is not there")
        table: dict[str, JSON] = {"table_name": ["todo"]}
        return [
            EventPath(name=self.name, verbs=("get",)),
            EventPath(name=f"{self.name}._table.{{table_name}}", verbs=("get", "post"), parameter=table),
        ]

    async def access_list(self) -> Sequence[str]:
        return ["", "*"]

    async def describe(self, detail: Detail) -> Description:
        return Description()

    def flush(self) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing to close."""


async def shops(platform: Platform) -> Caller:
    """Three services, one not active, one broken; and a caller with a role on the first."""
    config: JSON = {"database": "x"}
    ids = [
        await platform.made("service", {"name": name, "type": "sqlite", "is_active": active, "config": config})
        for name, active in (("pantry", True), ("closed", False), ("broken", True))
    ]
    for shop in (Shop("pantry"), Shop("closed"), Shop("broken", broken=True)):
        platform.services[shop.name] = shop
    row: JSON = {"service_id": ids[0], "component": "_table/*", "verb_mask": 1, "requestor_mask": 1}
    role = await platform.made("role", {"name": "r", "is_active": True, "role_service_access_by_role_id": [row]})
    await platform.memory.fresh()
    return Caller(user={"id": 7}, role=await platform.memory.role(role))


async def test_the_root_lists_what_is_there(platform: Platform) -> None:
    listed = await platform.ask("GET", "system", as_list="true")
    assert at(listed, "resource") == [
        "admin",
        "app",
        "cache",
        "constant",
        "environment",
        "event",
        "event_script",
        "lookup",
        "role",
        "script_type",
        "script_version",
        "service",
        "service_type",
        "user",
    ]
    components = at(await platform.ask("GET", "system", as_access_list="true"), "resource")
    assert {"", "*", "role/", "role/*", "event_script/*"} <= set(components)


async def test_an_unknown_resource_is_404(platform: Platform) -> None:
    for service in ("system", "user"):
        response = await platform.ask("GET", f"{service}/nope")
        assert (response.status, message(response)) == (404, f"Resource 'nope' not found for service '{service}'.")


@pytest.mark.parametrize(
    ("method", "resource", "expected"),
    [
        ("GET", "", [("system.get", "")]),
        ("GET", "role", [("system.role.get", "")]),
        ("PUT", "role/3", [("system.role.put", "3"), ("system.role.{id}.put", "3")]),
        ("GET", "event_script/a/", [("system.event_script.get", "a"), ("system.event_script.{name}.get", "a")]),
        ("POST", "admin/session", [("system.admin.session.post", "")]),
        ("GET", "admin/3", [("system.admin.get", "3"), ("system.admin.{id}.get", "3")]),
        ("GET", "nope/3", [("system.get", "nope/3")]),
    ],
)  # fmt: skip
async def test_the_events_of_a_call(
    platform: Platform, method: str, resource: str, expected: list[tuple[str, str]]
) -> None:
    request = Request(method=method, service="system", resource=resource)
    assert platform.system.moments(request) == [Moment(name, value) for name, value in expected]


async def test_the_events_of_a_session(platform: Platform) -> None:
    request = Request(method="POST", service="user", resource="session")
    assert platform.user.moments(request) == [Moment("user.session.post", "")]
    listed = at(await platform.ask("GET", "system/event", service="user", as_list="true"), "resource")
    assert "user.session.post" in listed


async def test_every_event_that_a_record_can_fire_is_listed(platform: Platform) -> None:
    listed = at(await platform.ask("GET", "system/event", service="system", as_list="true"), "resource")
    for resource in ("role", "role/3", "app/1", "user", "event_script/x", "admin/session", "service/2", ""):
        request = Request(method="GET", service="system", resource=resource)
        for moment in platform.system.moments(request):
            assert moment.name in listed
    assert len(listed) == len(set(listed))


async def test_the_event_map_of_a_service(platform: Platform) -> None:
    await shops(platform)
    plain = await platform.ask("GET", "system/event", service="PANTRY")
    assert plain.content == {
        "pantry": {
            "pantry": {"type": "api", "endpoints": ["pantry.get"], "parameter": None},
            "pantry._table.{table_name}": {
                "type": "api",
                "endpoints": ["pantry._table.{table_name}.get", "pantry._table.{table_name}.post"],
                "parameter": {"table_name": ["todo"]},
            },
        }
    }
    scriptable = await platform.ask("GET", "system/event", service="pantry", scriptable="true")
    assert at(scriptable, "pantry", "pantry", "endpoints") == [
        "pantry.get",
        "pantry.get.pre_process",
        "pantry.get.post_process",
        "pantry.get.queued",
    ]
    assert (await platform.ask("GET", "system/event", service="nope")).content == {}
    assert (await platform.ask("GET", "system/event", service="nope", as_list="true")).content == {"resource": []}


async def test_a_service_that_cannot_be_asked_does_not_hide_the_others(platform: Platform) -> None:
    await shops(platform)
    found = at(await platform.ask("GET", "system/event"))
    assert list(found) == ["api_docs", "broken", "pantry", "system", "user"]
    assert found["broken"] == {}
    assert found["pantry"]


async def test_events_and_services_are_those_that_the_caller_reaches(platform: Platform) -> None:
    caller = await shops(platform)
    assert list(at(await platform.ask("GET", "system/event", caller=caller))) == ["pantry"]
    only = await platform.ask("GET", "system/event", caller=caller, services_only="true")
    assert at(only, "resource") == ["pantry"]
    everything = await platform.ask("GET", "system/event", services_only="true")
    assert at(everything, "resource") == ["api_docs", "broken", "pantry", "system", "user"]


async def test_the_index_shows_the_services_that_the_caller_reaches_and_all_kinds(platform: Platform) -> None:
    caller = await shops(platform)
    types = all_types([SQLITE, script_service("v8js", "V8js")])

    async def seen(who: Caller, requestor: Requestor = Requestor.API, **parameters: JSON) -> Response:
        request = Request(method="GET", service="", parameters=parameters)
        context = Context(caller=who, call=platform_call, requestor=requestor)
        return await index(request, context, memory=platform.memory, types=types)

    async def platform_call(request: Request) -> Response:
        return Response(status=404)

    assert [one["name"] for one in at(await seen(caller), "services")] == ["pantry"]
    assert at(await seen(caller, Requestor.SCRIPT), "services") == []
    stranger = await seen(ANONYMOUS)
    assert at(stranger, "services") == []
    assert [one["name"] for one in at(stranger, "service_types")] == ["api_docs", "sqlite", "system", "user", "v8js"]
    admin = await seen(await platform.admin(), group="Database", fields="name,type")
    assert at(admin, "services") == [{"name": "broken", "type": "sqlite"}, {"name": "pantry", "type": "sqlite"}]
    assert at(await seen(await platform.admin(), type="user"), "services", 0, "name") == "user"


async def test_the_environment_tells_each_caller_what_he_may_know(platform: Platform) -> None:
    anonymous = at(await platform.ask("GET", "system/environment", caller=ANONYMOUS))
    assert list(anonymous) == ["authentication", "apps"]
    assert anonymous["authentication"]["user"]["path"] == "user/session"

    user = at(await platform.ask("GET", "system/environment", caller=Caller(user={"id": 7})))
    assert list(user) == ["authentication", "apps", "platform", "server", "client"]
    assert "db_driver" not in user["platform"]

    admin = at(await platform.ask("GET", "system/environment"))
    assert admin["platform"]["version"] == "1.2.3"
    assert (admin["platform"]["db_driver"], admin["platform"]["queue"]) == (platform.database.dialect, ["database"])
    assert (admin["runtime"], admin["php"]) == ({"isolation": "instance"}, {})


async def test_a_stranger_sees_only_apps_that_need_no_session(platform: Platform) -> None:
    role = await platform.made("role", {"name": "r"})
    url: dict[str, JSON] = {"type": 2, "is_active": True, "url": "https://shop.example.test"}
    await platform.made("app", {**url, "name": "open", "role_id": role})
    await platform.made("app", {**url, "name": "inside"})
    await platform.made("app", {"name": "key only", "is_active": True})
    seen = at(await platform.ask("GET", "system/environment", caller=ANONYMOUS), "apps")
    assert [(app["name"], app["url"]) for app in seen] == [("open", "https://shop.example.test")]
    seen = at(await platform.ask("GET", "system/environment"), "apps")
    assert [app["name"] for app in seen] == ["open", "inside"]


async def test_clearing_caches(platform: Platform) -> None:
    await shops(platform)
    for path in ("system/cache", "system/cache/Pantry", "system/cache/_event/pantry.get"):
        response = await platform.ask("DELETE", path)
        assert (response.status, response.content) == (200, {"success": True})
    assert platform.flushed == [None, "pantry"]
    unknown = await platform.ask("DELETE", "system/cache/nope")
    assert (unknown.status, message(unknown)) == (404, "Could not find a service for nope")


async def test_further_resources_stand_beside_the_others(platform: Platform) -> None:
    class Jobs:
        async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
            found: list[JSON] = [*path]
            return Response(content=found)

    platform.system = SystemService({**platform.system.present, "job": Jobs()})
    assert (await platform.ask("GET", "system/job/42/retry")).content == ["42", "retry"]
    assert platform.system.moments(Request(method="GET", service="system", resource="job/42")) == [
        Moment("system.job.get", "42"),
        Moment("system.job.{id}.get", "42"),
    ]
    assert "job" in at(await platform.ask("GET", "system", as_list="true"), "resource")


@pytest.mark.parametrize("resource", ["role", "event", "cache", "environment", "service_type", "constant", "admin"])
async def test_a_verb_that_a_resource_does_not_have_is_400(platform: Platform, resource: str) -> None:
    response = await platform.ask("OPTIONS", f"system/{resource}")
    assert (response.status, "not currently supported" in message(response)) == (400, True)
