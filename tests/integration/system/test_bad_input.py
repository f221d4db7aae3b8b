"""Whatever is sent, the answer is a clear one, and nothing breaks."""

from __future__ import annotations

import pytest

from reverie.model import JSON
from tests.integration.system.conftest import PASSWORD, Platform

pytestmark = pytest.mark.anyio

GOOD: dict[str, dict[str, JSON]] = {
    "role": {"name": "t", "role_service_access_by_role_id": [], "lookup_by_role_id": []},
    "app": {"name": "t"},
    "service": {"name": "t", "type": "v8js", "config": {"content": "1"}, "service_doc_by_service_id": None},
    "event_script": {"name": "t", "type": "v8js"},
    "lookup": {"name": "t", "value": "x"},
    "user": {"name": "t", "email": "t@example.com", "password": PASSWORD, "user_to_app_to_role_by_user_id": []},
}

deep: JSON = {}
for _ in range(200):
    deep = {"a": [deep]}

VALUES: list[JSON] = [
    None, True, 0, -1, 1.5, 2**63, 2**70, float("inf"), "", " ", "text", "x" * 5000, "\x00", "\ud800",
    "1; drop table user", [], [None], ["x"], [[]], [{}], [{"id": "x"}], [{"id": 99}], [{"id": {}}], [{"id": 2**70}],
    [{"name": []}], {}, {"a": 1}, {"format": [], "content": []}, {"content": deep, "config": deep, "queued": deep},
    deep,
]  # fmt: skip


@pytest.mark.parametrize("resource", GOOD)
async def test_no_value_of_any_field_breaks_a_write(platform: Platform, resource: str) -> None:
    good = GOOD[resource]
    fields = {*good, *(field.name for field in getattr(platform.system.present[resource], "fields", ()))}
    key = "name" if resource == "event_script" else "id"
    for name in sorted(fields):
        for value in VALUES:
            created = await platform.ask("POST", f"system/{resource}", {"resource": [{**good, name: value}]})
            assert created.status in (201, 400), (name, value, created.content)
            await platform.ask("POST", f"system/{resource}", good)
            changed = await platform.ask("PATCH", f"system/{resource}", {name: value}, filter="name = 't'", fields="*")
            assert changed.status in (200, 400), (name, value, changed.content)
            changed = await platform.ask("PATCH", f"system/{resource}", [{key: value, "description": "x"}])
            assert changed.status in (200, 400), (key, value, changed.content)
            await platform.ask("DELETE", f"system/{resource}", filter="name is not null", query={"continue": "true"})


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
async def test_no_parameter_breaks_a_call(platform: Platform, method: str) -> None:
    names = (
        "fields", "related", "ids", "filter", "order", "limit", "offset", "id_field", "as_list", "include_count",
        "group", "continue", "rollback", "params", "count_only", "include_schema", "service", "scriptable",
    )  # fmt: skip
    for path in (
        "system/role",
        "system/role/1",
        "system/event_script",
        "system/event",
        "system/service_type",
        "system",
    ):
        for name in names:
            for value in VALUES:
                response = await platform.ask(method, path, {"name": "x"}, query={name: value})
                assert response.status in (200, 201, 400, 404, 501), (path, name, value, response.content)


@pytest.mark.parametrize("door", ["user/session", "system/admin/session"])
async def test_no_body_breaks_a_log_in(platform: Platform, door: str) -> None:
    for value in VALUES:
        for body in (value, {"email": value, "password": "x"}, {"email": "x", "password": value}, {"service": value}):
            response = await platform.ask("POST", door, body)
            assert response.status in (400, 401), (body, response.content)
