from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import delete, update

import reverie.store.memory
from reverie.store import tables
from reverie.store.facts import put_fact
from reverie.store.memory import Memory
from reverie.store.records import UserRecord
from reverie.store.scripts import active_script_names
from reverie.store.services import seal_config
from reverie.store.store import Store
from reverie.store.users import user_by_id
from tests.unit.store.world import World

pytestmark = pytest.mark.anyio


async def test_a_service_saved_by_another_process_is_found_at_once_a_thousand_times(world: World) -> None:
    memory = Memory(world.store)
    other = world.other_process()

    for number in range(1000):
        await memory.fresh()
        assert await memory.service(f"s{number}") is None
        saved = await other.service(f"s{number}")
        await memory.fresh()
        found = await memory.service(f"s{number}")
        assert found is not None
        assert found.id == saved
    await other.close()


async def test_absence_is_never_remembered_even_without_a_look_at_the_version(world: World) -> None:
    memory = Memory(world.store)
    assert await memory.service("todo") is None
    assert await memory.app_by_key("key") is None
    assert await memory.event_script("db.get") is None
    assert await memory.role(1) is None
    assert await memory.user(1) is None
    assert await memory.user_by_email("ops@example.test") is None

    await world.service("todo")
    await world.app("app", "key")
    await world.event_script("db.get")
    await world.role("reader")
    await world.user("ops@example.test")

    assert await memory.service("todo") is not None
    assert await memory.app_by_key("key") is not None
    assert await memory.event_script("db.get") is not None
    assert await memory.role(1) is not None
    assert await memory.user(1) is not None
    assert await memory.user_by_email("Ops@Example.Test ") is not None


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_changed_role_is_seen_by_the_next_request(world: World, elsewhere: bool) -> None:
    memory = Memory(world.store)
    service = await world.service("db")
    role_id = await world.role("reader", {"service_id": service, "component": "_table/*", "verb_mask": 1})
    await memory.fresh()
    before = await memory.role(role_id)
    assert before is not None
    writer = world.other_process() if elsewhere else world

    await writer.change(update(tables.role_service_access).values(verb_mask=3))
    if elsewhere and world.store.database.dialect == "postgresql":
        await asyncio.sleep(0.25)  # word of it comes by a notification, or with the next look
    await memory.fresh()

    after = await memory.role(role_id)
    assert after is not None
    assert (before.access[0].verb_mask, after.access[0].verb_mask) == (1, 3)
    if elsewhere:
        await writer.close()


async def test_what_is_remembered_stays_the_same_object_while_nobody_changes_settings(world: World) -> None:
    memory = Memory(world.store)
    service = await world.service("db")
    version = await memory.fresh()
    first = await memory.service("db")

    await put_fact(world.store, "seen", "yes")

    assert await memory.fresh() == version
    assert await memory.service("db") is first
    assert await memory.service_by_id(service) is first


async def test_a_deleted_service_is_gone_with_the_next_request(world: World) -> None:
    memory = Memory(world.store)
    await world.service("db")
    await memory.fresh()
    assert await memory.service("db") is not None

    await world.change(delete(tables.service).where(tables.service.c.name == "db"))
    await memory.fresh()

    assert await memory.service("db") is None


async def test_a_read_that_began_before_a_change_leaves_nothing_old_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory(world.store)
    await world.user("ops@example.test", first_name="Old")
    await memory.fresh()
    read, go_on = asyncio.Event(), asyncio.Event()

    async def slow(store: Store, user_id: int) -> UserRecord | None:
        found = await user_by_id(store, user_id)
        read.set()
        await go_on.wait()
        return found

    monkeypatch.setattr("reverie.store.memory.user_by_id", slow)
    reading = asyncio.create_task(memory.user(1))
    await read.wait()
    await world.change(update(tables.user).values(first_name="New"))
    await memory.fresh()
    go_on.set()
    await reading
    monkeypatch.undo()

    found = await memory.user(1)
    assert found is not None
    assert found.first_name == "New"


async def test_roles_come_with_trimmed_components_and_service_names(world: World) -> None:
    service = await world.service("db")
    filters = '[{"name": "owner", "operator": "=", "value": "{user.id}"}]'
    role_id = await world.role(
        "reader",
        {"service_id": service, "component": "/_table/Todo/", "filters": filters, "filter_op": "OR"},
        {"service_id": None, "component": None, "filters": None},
        is_active=False,
    )

    role = await Memory(world.store).role(role_id)

    assert role is not None
    assert (role.name, role.is_active) == ("reader", False)
    first, second = role.access
    assert (first.service, first.service_id, first.component, first.filter_op) == ("db", service, "_table/Todo", "OR")
    assert first.filters == ({"name": "owner", "operator": "=", "value": "{user.id}"},)
    assert (second.service, second.component, second.filters) == (None, "", ())


async def test_services_come_with_their_secrets_opened_and_their_document(world: World) -> None:
    config = seal_config(world.store.sealer, {"host": "h", "password": "rosebud", "odd": {"$sealed": 1}}, {"password"})
    service = await world.service("Mail".lower(), config=config)
    await world.put(tables.service_doc, service_id=service, content='{"openapi": "3.0.0"}')

    found = await Memory(world.store).service("MAIL")

    assert "rosebud" not in config
    assert found is not None
    assert found.config == {"host": "h", "password": "rosebud", "odd": {"$sealed": 1}}
    assert found.doc == {"openapi": "3.0.0"}
    assert [each.name for each in await Memory(world.store).services()] == ["api_docs", "mail", "system", "user"]


async def test_event_scripts_are_found_in_any_case_and_the_active_ones_by_name(world: World) -> None:
    await world.event_script("db._table.Todo.get.post_process", config='"{\\"queued\\": true}"', content="1")
    await world.event_script("off", is_active=False, config='{"a": 1}')
    memory = Memory(world.store)

    found = await memory.event_script("DB._table.todo.GET.post_process")
    off = await memory.event_script("off")

    assert found is not None
    assert off is not None
    assert (found.name, found.config, found.content) == ("db._table.Todo.get.post_process", {"queued": True}, "1")
    assert (off.is_active, off.config) == (False, {"a": 1})
    assert list(await memory.active_scripts()) == ["db._table.todo.get.post_process"]
    await world.event_script("new")
    await memory.fresh()
    assert sorted(await memory.active_scripts()) == ["db._table.todo.get.post_process", "new"]


async def test_calls_that_come_together_ask_once_which_scripts_are_active(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.event_script("one")
    asked = []

    async def ask(store: Store) -> frozenset[str]:
        asked.append(store)
        return await active_script_names(store)

    monkeypatch.setattr(reverie.store.memory, "active_script_names", ask)
    memory = Memory(world.store)

    found = await asyncio.gather(*(memory.active_scripts() for _ in range(16)))

    assert found == [{"one"}] * 16
    assert len(asked) == 1


async def test_lookups_of_a_user_win_over_role_app_and_instance(world: World) -> None:
    user_id = await world.user("ops@example.test")
    role_id = await world.role("reader")
    app_id = await world.app("app", "key")
    await world.lookup("region", "of user", user_id=user_id)
    await world.lookup("region", "of role", role_id=role_id)
    await world.lookup("region", "of app", app_id=app_id)
    await world.lookup("region", "of instance")
    await world.lookup("region", "of another", user_id=await world.user("other@example.test"))
    memory = Memory(world.store)

    asked = [(user_id, role_id, app_id), (None, role_id, app_id), (None, None, app_id), (None, None, None)]

    found = [(await memory.lookups(*owners)).public["region"] for owners in asked]
    assert found == ["of user", "of role", "of app", "of instance"]


async def test_private_lookups_are_opened_and_never_among_the_public_ones(world: World) -> None:
    await world.lookup("token", "rosebud", private=True)
    await world.lookup("region", "eu-1")

    public, private = await Memory(world.store).lookups(None, None, None)

    assert public == {"region": "eu-1"}
    assert private == {"token": "rosebud"}


async def test_a_private_lookup_sealed_under_another_secret_is_left_out(world: World) -> None:
    await world.put(tables.lookup, name="token", value="AAAA", private=True)

    assert await Memory(world.store).lookups(None, None, None) == ({}, {})


async def test_users_come_with_their_roles(world: World) -> None:
    app_id, role_id = await world.app("app", "key"), await world.role("reader")
    user_id = await world.user("ops@example.test", is_sys_admin=True)
    await world.put(tables.user_to_app_to_role, user_id=user_id, app_id=app_id, role_id=role_id)

    user = await Memory(world.store).user(user_id)

    assert user is not None
    assert (user.roles, user.is_sys_admin, user.is_active) == ({app_id: role_id}, True, True)
