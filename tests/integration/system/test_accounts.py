"""Users, administrators, and their sessions."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from reverie.model import ANONYMOUS, JSON, Caller, Request
from reverie.store import tables
from tests.integration.system.conftest import ADMIN_EMAIL, PASSWORD, Platform, at, inner, message

pytestmark = pytest.mark.anyio

INES: dict[str, JSON] = {
    "first_name": "Ines",
    "last_name": "Berg",
    "email": "Ines@Example.com",
    "password": PASSWORD,
    "security_question": "Boat?",
    "security_answer": "Havsula",
}
CREDENTIALS: dict[str, JSON] = {"email": "ines@example.com", "password": PASSWORD}
MAPPING = "user_to_app_to_role_by_user_id"


async def logged_in(platform: Platform, *, door: str = "user/session", body: JSON = None) -> str:
    response = await platform.ask("POST", door, CREDENTIALS if body is None else body, caller=ANONYMOUS)
    assert response.status == 200, response.content
    return str(at(response, "session_token"))


async def caller_of(platform: Platform, token: str, key: str | None = None) -> Caller:
    headers = {"x-dreamfactory-session-token": token}
    if key:
        headers["x-dreamfactory-api-key"] = key
    return await platform.auth.identify(Request(method="GET", service="user", resource="profile", headers=headers))


async def test_a_user_is_stored_without_anything_readable_of_the_secrets(platform: Platform) -> None:
    user = await platform.made("user", INES)
    shown = await platform.ask("GET", f"system/user/{user}")
    assert at(shown, "name") == "Ines Berg"
    assert at(shown, "email") == "ines@example.com"
    assert (at(shown, "confirmed"), at(shown, "expired")) == (True, False)
    for hidden in ("password", "security_answer", "confirm_code", "is_sys_admin"):
        assert hidden not in at(shown)
    row = await platform.store.fetch_one(select(tables.user).where(tables.user.c.id == user))
    assert row is not None
    assert str(row["password"]).startswith("$argon2id$")
    assert str(row["security_answer"]).startswith("$argon2id$")


@pytest.mark.parametrize(
    ("change", "field"),
    [({"email": "nonsense"}, "email"), ({"password": "short"}, "password"), ({"email": None}, "email")],
)
async def test_a_user_that_cannot_be_is_refused_by_field(
    platform: Platform, change: dict[str, JSON], field: str
) -> None:
    response = await platform.ask("POST", "system/user", {"resource": [{**INES, **change}]})
    assert response.status == 400
    assert field in inner(response, 0)["context"]


async def test_an_email_belongs_to_one_account_whichever_list_it_is_in(platform: Platform) -> None:
    await platform.made("user", INES)
    assert (await platform.ask("POST", "system/user", {**INES, "email": "INES@example.com"})).status == 400
    assert (await platform.ask("POST", "system/admin", INES)).status == 400


async def test_users_and_administrators_are_two_lists(platform: Platform) -> None:
    user = await platform.made("user", {**INES, "is_sys_admin": True})
    admin = (await platform.admin()).user_id
    assert [one["id"] for one in at(await platform.ask("GET", "system/user"), "resource")] == [user]
    assert [one["id"] for one in at(await platform.ask("GET", "system/admin"), "resource")] == [admin]
    assert (await platform.ask("GET", f"system/user/{admin}")).status == 404
    for method in ("PATCH", "DELETE"):
        assert (await platform.ask(method, f"system/user/{admin}", {"name": "x"})).status == 403
        assert (await platform.ask(method, f"system/admin/{user}", {"name": "x"})).status == 403
    assert (await platform.ask("DELETE", "system/user", force="true")).status == 200
    assert len(at(await platform.ask("GET", "system/admin"), "resource")) == 1


async def test_nobody_deletes_or_deactivates_himself(platform: Platform) -> None:
    admin = (await platform.admin()).user_id
    deleted = await platform.ask("DELETE", f"system/admin/{admin}")
    assert (deleted.status, message(deleted)) == (403, "Cannot delete your account.")
    for off in (False, "false", 0):
        assert (await platform.ask("PATCH", f"system/admin/{admin}", {"is_active": off})).status == 403


@pytest.mark.parametrize(
    "change", [{"password": "another " + PASSWORD}, {"email": "new@example.com"}, {"is_active": False}], ids=str
)
async def test_a_new_password_or_address_ends_the_sessions_of_that_user_alone(
    platform: Platform, change: dict[str, JSON]
) -> None:
    user = await platform.made("user", INES)
    mine = await logged_in(platform)
    others = await logged_in(platform, door="system/admin/session", body={"email": ADMIN_EMAIL, "password": PASSWORD})
    assert (await platform.ask("PATCH", f"system/user/{user}", change)).status == 200
    sessions = await platform.store.fetch(select(tables.session).order_by(tables.session.c.user_id))
    assert {row["user_id"]: row["is_revoked"] for row in sessions} == {user: True, 1: False}
    assert (await caller_of(platform, others)).is_admin
    assert mine != others


async def test_any_other_change_leaves_the_sessions_alone(platform: Platform) -> None:
    user = await platform.made("user", INES)
    token = await logged_in(platform)
    body: JSON = {"first_name": "Inga", "email": "INES@example.com", "password": ""}
    assert (await platform.ask("PATCH", f"system/user/{user}", body)).status == 200
    assert (await caller_of(platform, token)).user_id == user


async def test_a_user_has_one_role_in_an_app(platform: Platform) -> None:
    role = await platform.made("role", {"name": "r", "is_active": True})
    app = await platform.made("app", {"name": "a", "is_active": True})
    mapping: JSON = [{"app_id": app, "role_id": role}]
    user = await platform.made("user", {**INES, MAPPING: mapping})
    again = await platform.ask("PATCH", f"system/user/{user}", {MAPPING: mapping})
    assert again.status == 400
    assert message(again).startswith("Multiple user-to-app-to-role assignment.")
    read = await platform.ask("GET", f"system/user/{user}", fields="id", related=MAPPING)
    (row,) = at(read, MAPPING)
    assert (row["user_id"], row["app_id"], row["role_id"]) == (user, app, role)
    seen_from_role = await platform.ask("GET", f"system/role/{role}", related="user_to_app_to_role_by_role_id")
    assert at(seen_from_role, "user_to_app_to_role_by_role_id") == [row]


async def test_a_log_in_answers_with_the_whole_session(platform: Platform) -> None:
    role = await platform.made("role", {"name": "r", "is_active": True})
    app = await platform.made("app", {"name": "a", "is_active": True, "role_id": role})
    user = await platform.made("user", INES)
    key = at(await platform.ask("GET", f"system/app/{app}"), "api_key")
    keyed = Caller(app_id=app, api_key=key)
    session = await platform.ask("POST", "user/session", CREDENTIALS, caller=keyed)
    assert session.status == 200
    assert at(session, "session_token") == at(session, "session_id")
    assert (at(session, "id"), at(session, "name")) == (user, "Ines Berg")
    assert at(session, "is_sys_admin") is False
    assert (at(session, "role"), at(session, "role_id")) == ("r", role)
    assert len(at(session, "token_expiry_date")) == len(at(session, "last_login_date"))

    caller = await caller_of(platform, at(session, "session_token"), key)
    looked = await platform.ask("GET", "user/session", caller=caller)
    assert looked.content == session.content
    without_key = await platform.ask("POST", "user/session", CREDENTIALS, caller=ANONYMOUS)
    assert "role" not in at(without_key)


@pytest.mark.parametrize("door", ["user/session", "system/admin/session"])
@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({}, 400, "Login request is missing required email."),
        ({"password": "x"}, 400, "Login request is missing required email."),
        ({"email": "a@example.com"}, 400, "Login request is missing required password."),
        ({"email": "a@example.com", "password": "wrong"}, 401, "Invalid credentials supplied."),
        ({"email": ["a"], "password": PASSWORD}, 400, "Login request is missing required email."),
    ],
)
async def test_a_log_in_that_cannot_be(
    platform: Platform, door: str, body: dict[str, JSON], status: int, told: str
) -> None:
    response = await platform.ask("POST", door, body, caller=ANONYMOUS)
    assert (response.status, message(response)) == (status, told)


async def test_each_kind_of_account_has_its_own_door(platform: Platform) -> None:
    await platform.made("user", INES)
    at_wrong = await platform.ask("POST", "system/admin/session", CREDENTIALS, caller=ANONYMOUS)
    assert at_wrong.status == 401
    body: JSON = {"email": ADMIN_EMAIL, "password": PASSWORD}
    assert (await platform.ask("POST", "user/session", body, caller=ANONYMOUS)).status == 401
    assert at(await platform.ask("POST", "system/admin/session", body, caller=ANONYMOUS), "is_sys_admin") is True


async def test_credentials_in_the_query_are_not_read(platform: Platform) -> None:
    await platform.made("user", INES)
    response = await platform.ask("POST", "user/session", {}, caller=ANONYMOUS, query=CREDENTIALS)
    assert response.status == 400


async def test_looking_at_a_session_that_is_not_there(platform: Platform) -> None:
    user = await platform.ask("GET", "user/session", caller=ANONYMOUS)
    assert (user.status, message(user)) == (401, "There is no valid session for the current request.")
    admin = await platform.ask("GET", "system/admin/session", caller=ANONYMOUS)
    assert (admin.status, message(admin)) == (404, "No user session found.")
    await platform.made("user", INES)
    caller = await caller_of(platform, await logged_in(platform))
    refused = await platform.ask("GET", "system/admin/session", caller=caller)
    assert (refused.status, message(refused)) == (401, "You are not authorized to perform this action.")


async def test_a_renewed_session_replaces_the_old_one(platform: Platform) -> None:
    await platform.made("user", INES)
    token = await logged_in(platform)
    renewed = await platform.ask("PUT", "user/session", caller=await caller_of(platform, token))
    assert renewed.status == 200
    assert at(renewed, "session_token") != token
    again = await platform.ask("PUT", "user/session", caller=Caller(session_token=token))
    assert again.status == 403


async def test_logging_out_works_with_and_without_a_session(platform: Platform) -> None:
    await platform.made("user", INES)
    token = await logged_in(platform)
    for caller in (await caller_of(platform, token), Caller(session_token=token), ANONYMOUS):
        response = await platform.ask("DELETE", "user/session", caller=caller)
        assert (response.status, response.content) == (200, {"success": True})
    assert (await platform.ask("PUT", "user/session", caller=Caller(session_token=token))).status == 403


async def test_a_session_is_not_patched(platform: Platform) -> None:
    response = await platform.ask("PATCH", "system/admin/session", {})
    assert response.status == 400
    assert message(response) == (
        "PATCH requests without a resource are not currently supported by the 'session' service."
    )


@pytest.mark.parametrize(
    "path", ["user/profile", "user/password", "user/register", "user/custom", "system/admin/profile", "system/cors"]
)
async def test_what_is_not_there_yet_says_so(platform: Platform, path: str) -> None:
    response = await platform.ask("GET", path)
    assert response.status == 501
    assert path in message(response)
