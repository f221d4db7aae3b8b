from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from reverie.model import Requestor
from reverie.store import tables
from tests.unit.auth.door import PASSWORD, Door, auth_of, get, outcome
from tests.unit.store.world import World

pytestmark = pytest.mark.anyio

# -- credentials and roles


async def test_an_api_key_brings_the_role_of_its_app(door: Door) -> None:
    caller = await door.auth.identify(get(key="KEY"))

    assert (caller.app_id, caller.api_key, caller.user, caller.is_admin) == (door.ids["app"], "KEY", None, False)
    assert caller.role is not None
    assert caller.role.name == "reader"


async def test_the_key_is_read_from_query_header_and_body_in_this_order(door: Door) -> None:
    async def key(**parts: Any) -> str | None:
        return (await door.auth.identify(get(**parts))).api_key

    query, body = {"api_key": "QUERY"}, {"api_key": "BODY"}
    assert await key(parameters=query, key="KEY", payload=body) == "QUERY"
    assert await key(key="KEY", payload=body) == "KEY"
    assert await key(payload=body, method="POST") == "BODY"
    assert await key(payload=body, method="POST", service="system", resource="app/1") is None
    assert await key(parameters={"api_key": ["a"]}, payload=["x"]) is None


async def test_the_token_is_read_from_bearer_header_query_and_body_in_this_order(door: Door) -> None:
    token = await door.token()

    async def user(**parts: Any) -> object:
        caller = await door.auth.identify(get(**parts))
        return caller.user_id

    me = door.ids["user"]
    assert await user(bearer=token, token="garbage", parameters={"session_token": "garbage"}) == me
    assert await user(token=token, parameters={"session_token": "garbage"}) == me
    assert await user(parameters={"session_token": token}, payload={"session_token": "garbage"}) == me
    assert await user(payload={"session_token": token}) == me
    assert await user(token=token, basic="ops@example.test:wrong") == me


async def test_scripts_see_the_user_as_promised(door: Door) -> None:
    caller = await door.auth.identify(get(token=await door.token()))

    assert caller.user == {
        "id": door.ids["user"],
        "name": "ops",
        "username": None,
        "display_name": "ops",
        "first_name": None,
        "last_name": None,
        "email": "ops@example.test",
        "is_sys_admin": False,
        "last_login_date": "2024-05-02 10:00:00",
        "ldap_username": None,
    }


async def test_a_user_has_the_role_of_his_mapping_before_that_of_the_app(door: Door) -> None:
    other = await door.world.role("other")
    await door.world.put(tables.user_to_app_to_role, user_id=door.ids["user"], app_id=door.ids["app"], role_id=other)
    token = await door.token()

    async def role(**parts: Any) -> str | None:
        found = (await door.auth.identify(get(**parts))).role
        return found.name if found else None

    assert await role(key="KEY", token=token) == "other"
    assert await role(key="KEY") == "reader"
    assert await role(key="BARE", token=token) is None
    assert await role(token=token) is None


async def test_a_role_of_any_app_serves_only_where_that_is_wanted(world: World) -> None:
    door = Door(world, role_fallback_any_app=True)
    await door.furnish()
    await door.map_user(app="app")

    caller = await door.auth.identify(get(key="BARE", token=await door.token()))

    assert caller.role is not None
    assert caller.role.name == "reader"
    await door.auth.close()


async def test_lookups_in_force_come_with_the_caller(door: Door) -> None:
    await door.world.lookup("region", "of instance")
    await door.world.lookup("region", "of user", user_id=door.ids["user"])
    await door.world.lookup("token", "rosebud", private=True)

    caller = await door.auth.identify(get(key="KEY", token=await door.token()))

    assert caller.lookups == {"region": "of user"}
    assert caller.secrets == {"token": "rosebud"}


# -- administrators


async def test_an_administrator_may_everything_without_a_key(door: Door) -> None:
    token = await door.token("admin")

    assert await door.outcome(get("_table/any", token=token, method="DELETE")) == (200, "")
    assert await door.outcome(get("x", service="nope", token=token)) == (200, "")
    assert await door.outcome(get(token=token, key="KEY", method="DELETE"), Requestor.SCRIPT) == (200, "")


async def test_an_administrator_with_a_mapping_is_held_to_it_unless_switched_off(door: Door) -> None:
    await door.map_user("admin", "bare")
    token = await door.token("admin")

    assert await door.outcome(get(token=token, key="BARE")) == (200, "")
    assert (await door.outcome(get(token=token, key="BARE", method="DELETE")))[0] == 403
    assert (await door.outcome(get(token=token)))[0] == 400
    free = auth_of(door.world, restricted_admins=False)
    assert await outcome(free, get(token=token, method="DELETE")) == (200, "")
    await free.close()


# -- the order of refusals


async def test_without_credentials_the_answer_is_400_whether_the_service_is_there_or_not(door: Door) -> None:
    for service in ("db", "nope", "system"):
        status, message = await door.outcome(get("x", service=service))
        assert status == 400
        assert message.startswith("No session token (JWT) or API Key detected in request. Please send in X-Dream")


async def test_a_key_without_role_and_an_unknown_key_lack_a_token(door: Door) -> None:
    for key in ("BARE", "unknown"):
        status, message = await door.outcome(get(key=key))
        assert status == 400
        assert message.startswith("No session token (JWT) provided. Please provide a valid JWT using")


async def test_a_token_without_a_key_lacks_a_key(door: Door) -> None:
    await door.map_user()

    for parts in ({"token": await door.token()}, {"basic": f"ops@example.test:{PASSWORD}"}):
        status, message = await door.outcome(get(**parts))
        assert status == 400
        assert message.startswith("No API Key provided. Please provide a valid API Key using")


async def test_key_and_token_without_a_role_are_403(door: Door) -> None:
    expected = (403, "Role not found. A role may not be assigned to you or your application.")

    assert await door.outcome(get(key="BARE", token=await door.token())) == expected
    assert await door.outcome(get(key="unknown", token=await door.token())) == expected


async def test_a_role_that_denies_is_401_for_a_key_and_403_for_a_user(door: Door) -> None:
    token = await door.token()

    assert await door.outcome(get(key="KEY")) == (200, "")
    assert await door.outcome(get(key="KEY", method="POST")) == (401, "Unauthorized. User is not authenticated.")
    assert await door.outcome(get("x", service="nope", key="KEY")) == (401, "Unauthorized. User is not authenticated.")
    assert await door.outcome(get("_table/tag/1", key="KEY", token=token)) == (
        403,
        "Access Forbidden. GET access to component '_table/tag/1' of service 'db' is not allowed by this user's role.",
    )
    assert await door.outcome(get("", service="system", key="KEY", token=token)) == (
        403,
        "Access Forbidden. GET access to service 'system' is not allowed by this user's role.",
    )


async def test_what_is_not_active_is_refused(door: Door) -> None:
    world = door.world
    token = await door.token()

    await world.change(update(tables.role).values(is_active=False))
    assert (await door.outcome(get(key="KEY")))[1].startswith("Access Forbidden. The role assigned to you or your app")
    assert (await door.outcome(get(key="KEY")))[0] == 403
    await world.change(update(tables.user).values(is_active=False))
    assert await door.outcome(get(key="KEY", token=token)) == (403, "User is not active.")
    await world.change(update(tables.app).values(is_active=False))
    assert await door.outcome(get(key="KEY", token=token)) == (403, "App is not active.")
    assert (await door.outcome(get("environment", service="system", key="KEY")))[0] == 403


async def test_the_list_of_services_and_the_public_calls_need_nothing(door: Door) -> None:
    allowed = [
        ("GET", "", ""),
        ("GET", "system", "environment"),
        ("POST", "user", "session"),
        ("DELETE", "system", "admin/session"),
        ("POST", "user", "password"),
        ("PATCH", "user", "profile"),
        ("POST", "user", "register"),
        ("POST", "system", "admin/password"),
    ]
    refused = [
        ("POST", "system", "environment"),
        ("GET", "user", "password"),
        ("DELETE", "user", "profile"),
        ("GET", "user", "register"),
        ("GET", "db", "session"),
        ("GET", "system", "environment/x"),
    ]

    for method, service, resource in allowed:
        assert await door.outcome(get(resource, service=service, method=method)) == (200, "")
    for method, service, resource in refused:
        assert (await door.outcome(get(resource, service=service, method=method)))[0] == 400


async def test_one_job_may_be_asked_for_by_whoever_is_known_and_the_list_may_not(door: Door) -> None:
    async def status(resource: str, **parts: Any) -> int:
        return (await door.outcome(get(resource, service="system", **parts)))[0]

    token = await door.token()
    for known in ({"key": "KEY"}, {"token": token}, {"key": "BARE", "token": token}):
        assert await status("job/0198c1f2", **known) == 200
        assert await status("job/0198c1f2/", **known) == 200
    for unknown in ({}, {"key": "BARE"}, {"key": "unknown"}):
        assert await status("job/0198c1f2", **unknown) == 400
    for refused in ("job", "job/", "job/1/2", "jobs/1", "role/1"):
        assert await status(refused, key="KEY") == 401
        assert await status(refused, key="KEY", token=token) == 403
    assert await status("job/1", key="KEY", method="DELETE") == 401
    assert (await door.outcome(get("job/1", key="KEY")))[0] == 401  # of another service
    await door.world.change(update(tables.role).values(is_active=False))
    assert await status("job/1", key="KEY") == 403


async def test_the_list_of_schemas_is_open_to_who_reads_anything_of_the_service(door: Door) -> None:
    assert await door.outcome(get("_schema", key="KEY")) == (200, "")
    assert (await door.outcome(get("_schema", key="KEY", method="POST")))[0] == 401
    assert (await door.outcome(get("_schema/todo", key="KEY")))[0] == 401
    assert (await door.outcome(get("_table", key="KEY")))[0] == 401


async def test_a_script_is_held_to_the_rows_for_scripts(door: Door) -> None:
    await door.world.change(update(tables.role_service_access).values(requestor_mask=1))

    assert await door.outcome(get(key="KEY")) == (200, "")
    assert (await door.outcome(get(key="KEY"), Requestor.SCRIPT))[0] == 401
