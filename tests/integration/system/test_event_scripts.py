"""``system/event_script`` and ``system/script_type``."""

from __future__ import annotations

import pytest

from reverie.model import JSON
from tests.integration.system.conftest import Platform, at, inner, message

pytestmark = pytest.mark.anyio

NAME = "db._table.todo.post.queued"
PATH = f"system/event_script/{NAME}"


def script(name: str, **more: JSON) -> dict[str, JSON]:
    return {"name": name, "type": "nodejs", "content": "return;", **more}


async def names(platform: Platform) -> list[str]:
    found: list[str] = at(await platform.ask("GET", "system/event_script", as_list="true"), "resource")
    return found


async def test_a_post_to_a_name_creates_with_201_and_then_replaces_with_200(platform: Platform) -> None:
    first = await platform.ask("POST", PATH, script(NAME, is_active=True))
    assert (first.status, first.content) == (201, {"name": NAME})
    second = await platform.ask("POST", PATH, {"resource": [script(NAME, content="return 2;")]})
    assert (second.status, second.content) == (200, {"name": NAME})
    record = await platform.ask("GET", PATH)
    assert (at(record, "content"), at(record, "is_active")) == ("return 2;", True)
    assert await names(platform) == [NAME]


async def test_the_name_in_the_path_is_enough_and_wins(platform: Platform) -> None:
    assert (await platform.ask("POST", PATH, {"type": "nodejs", "content": ""})).status == 201
    other = await platform.ask("POST", "system/event_script/db.get", script("another"))
    assert other.content == {"name": "db.get"}
    assert await names(platform) == ["db._table.todo.post.queued", "db.get"]


async def test_what_is_not_said_is_off_and_null(platform: Platform) -> None:
    await platform.ask("POST", PATH, {"type": "nodejs"})
    record = at(await platform.ask("GET", PATH))
    stamps = ("created_date", "last_modified_date")
    assert {name: value for name, value in record.items() if name not in stamps} == {
        "name": NAME,
        "type": "nodejs",
        "content": None,
        "config": None,
        "storage_service_id": None,
        "storage_path": None,
        "scm_repository": None,
        "scm_reference": None,
        "is_active": False,
        "allow_event_modification": False,
        "created_by_id": 1,
        "last_modified_by_id": None,
    }


@pytest.mark.parametrize(
    "config", [{"connection": "redis", "queue": "slow_queue", "delay": 300}, '{"queue":"q2","delay":"7"}', "", {}, None]
)
async def test_a_config_comes_back_in_the_type_it_was_sent_in(platform: Platform, config: JSON) -> None:
    await platform.ask("POST", PATH, script(NAME, config=config, is_active=True))
    echoed = at(await platform.ask("GET", PATH), "config")
    assert (echoed, type(echoed)) == (config, type(config))


async def test_a_config_is_honoured_as_a_map_and_as_text(platform: Platform) -> None:
    configs: list[JSON] = [{"queue": "q2"}, '{"queue":"q2"}']
    for config in configs:
        await platform.ask("POST", PATH, script(NAME, config=config, is_active=True))
        await platform.memory.fresh()
        known = await platform.memory.event_script(NAME)
        assert known is not None
        assert known.config == {"queue": "q2"}


@pytest.mark.parametrize("config", [{"delay": "soon"}, '{"delay":"soon"}'])
async def test_a_delay_that_is_no_number_is_refused(platform: Platform, config: JSON) -> None:
    response = await platform.ask("POST", PATH, script(NAME, config=config))
    assert (response.status, "Invalid queue delay" in message(response)) == (400, True)


async def test_a_list_with_one_that_is_there_stores_the_first_and_names_the_second(platform: Platform) -> None:
    await platform.ask("POST", "system/event_script/b.get", script("b.get"))
    body: JSON = {"resource": [script("a.get"), script("B.GET")]}
    response = await platform.ask("POST", "system/event_script", body)
    assert response.status == 400
    assert at(response, "error", "context", "error") == [1]
    assert inner(response, 0) == {"name": "a.get"}
    assert inner(response, 1)["status_code"] == 400
    assert await names(platform) == ["a.get", "b.get"]

    undone = await platform.ask("POST", "system/event_script", [script("c.get"), script("b.get")], rollback="true")
    assert message(undone) == "Batch Error: Not all requested records could be created. All changes rolled back."
    assert await names(platform) == ["a.get", "b.get"]


async def test_a_name_with_braces_comes_back_as_it_is(platform: Platform) -> None:
    name = "db._table.{table_name}.get.pre_process"
    await platform.ask("POST", f"system/event_script/{name}", {"type": "v8js"})
    assert at(await platform.ask("GET", f"system/event_script/{name}"), "name") == name


async def test_a_script_is_found_in_whatever_case_and_keeps_its_spelling(platform: Platform) -> None:
    await platform.ask("POST", "system/event_script/DB._Table.Todo.get", {"type": "v8js"})
    again = await platform.ask("POST", "system/event_script/db._table.todo.GET", {"type": "nodejs"})
    assert (again.status, again.content) == (200, {"name": "DB._Table.Todo.get"})
    read = await platform.ask("GET", "system/event_script", ids="db._TABLE.todo.get", fields="name,type")
    assert at(read, "resource") == [{"name": "DB._Table.Todo.get", "type": "nodejs"}]


async def test_a_script_cannot_be_renamed(platform: Platform) -> None:
    await platform.ask("POST", PATH, script(NAME))
    renamed = await platform.ask("PUT", PATH, {"name": "other", "content": "return 2;"})
    assert (renamed.status, renamed.content) == (200, {"name": NAME})
    assert await names(platform) == [NAME]


async def test_switching_on_and_off_is_seen_by_the_next_look(platform: Platform) -> None:
    await platform.ask("POST", PATH, script(NAME))
    seen: list[bool] = []
    for change in (None, {"is_active": True}, {"is_active": False}):
        if change is not None:
            await platform.ask("PATCH", PATH, dict(change))
        await platform.memory.fresh()
        seen.append(NAME in await platform.memory.active_scripts())
    assert seen == [False, True, False]


async def test_every_change_gives_a_script_a_new_version(platform: Platform) -> None:
    versions = []
    for content in ("1", "2", "3"):
        await platform.ask("POST", PATH, script(NAME, content=content))
        await platform.memory.fresh()
        known = await platform.memory.event_script(NAME)
        assert known is not None
        versions.append(known.version)
    assert versions == [1, 2, 3]


async def test_deleting_by_ids_and_all_by_force(platform: Platform) -> None:
    await platform.ask("POST", "system/event_script", [script("a"), script("b"), script("c"), script("d")])
    by_ids = await platform.ask("DELETE", "system/event_script", ids="a,b")
    assert by_ids.content == {"resource": [{"name": "a"}, {"name": "b"}]}
    by_records = await platform.ask("DELETE", "system/event_script", {"resource": [{"name": "c"}]})
    assert by_records.content == {"resource": [{"name": "c"}]}
    nothing = await platform.ask("DELETE", "system/event_script")
    assert (nothing.status, message(nothing)) == (400, "No filter or records given for delete request.")
    forced = await platform.ask("DELETE", "system/event_script", force="true")
    assert (forced.status, await names(platform)) == (200, [])


async def test_an_id_is_a_value_and_no_sql(platform: Platform) -> None:
    await platform.ask("POST", "system/event_script", [script("a"), script("b")])
    await platform.ask("DELETE", "system/event_script", ids="x') or ('1'='1")
    await platform.ask("GET", "system/event_script", filter="name = 'x'' or ''1''=''1'")
    assert await names(platform) == ["a", "b"]


async def test_languages_are_listed_and_only_read(platform: Platform) -> None:
    listed = await platform.ask("GET", "system/script_type")
    assert [(one["name"], one["sandboxed"], one["supports_inline_execution"]) for one in at(listed, "resource")] == [
        ("nodejs", False, False),
        ("v8js", True, False),
    ]
    assert at(await platform.ask("GET", "system/script_type", as_list="true"), "resource") == ["nodejs", "v8js"]
    assert at(await platform.ask("GET", "system/script_type/v8js"), "label") == "V8js"
    unknown = await platform.ask("GET", "system/script_type/lua")
    assert (unknown.status, message(unknown)) == (404, "Script engine type 'lua' not found.")
    assert (await platform.ask("POST", "system/script_type", {"name": "lua"})).status == 400
