from __future__ import annotations

import pytest
from sqlalchemy import delete, update

from reverie.auth.tokens import TokenSettings
from reverie.errors import BadRequest, Forbidden, Unauthorized
from reverie.model import Caller
from reverie.store import tables
from tests.unit.auth.door import HASHER, PASSWORD, Door, auth_of, get
from tests.unit.store.world import World

pytestmark = pytest.mark.anyio

# -- tokens over time


async def test_an_expired_token_is_401_even_on_public_calls(door: Door) -> None:
    token = await door.token()
    assert (await door.outcome(get(key="KEY", token=token)))[0] == 200

    door.world.clock.moment += 1440 * 60

    for request in (get(key="KEY", token=token), get("environment", service="system", token=token)):
        status, message = await door.outcome(request)
        assert status == 401
        assert message.endswith(
            ": Session expired. Please refresh your token (if still within refresh window) or re-login."
        )


async def test_a_token_that_is_not_ours_is_401_even_on_public_calls(door: Door) -> None:
    status, message = await door.outcome(get("environment", service="system", token="garbage"))

    assert status == 401
    assert message.startswith("Invalid token: ")


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_session_that_was_ended_is_403_at_once_in_every_process(door: Door, elsewhere: bool) -> None:
    token = await door.token()
    assert (await door.outcome(get(key="KEY", token=token)))[0] == 200
    world = door.world.other_process() if elsewhere else door.world
    other = auth_of(world)

    await other.log_out(token)

    assert await door.outcome(get(key="KEY", token=token)) == (
        403,
        "The token has been blacklisted: Session terminated. Please re-login.",
    )
    await other.close()
    if elsewhere:
        await world.close()


async def test_ending_all_sessions_of_a_user_leaves_those_of_others(door: Door) -> None:
    mine, mine_too, boss = await door.token(), await door.token(), await door.token("admin")

    await door.auth.revoke_user(door.ids["user"])

    assert [(await door.outcome(get(key="KEY", token=token)))[0] for token in (mine, mine_too, boss)] == [403, 403, 200]


async def test_a_changed_email_and_a_deleted_user_make_a_token_worthless(door: Door) -> None:
    token = await door.token()

    await door.world.change(
        update(tables.user).where(tables.user.c.id == door.ids["user"]).values(email="n@example.test")
    )
    assert (await door.outcome(get(key="KEY", token=token)))[0] == 401
    await door.world.change(delete(tables.user).where(tables.user.c.id == door.ids["user"]))
    assert (await door.outcome(get(key="KEY", token=token)))[0] == 401


# -- sessions


async def test_logging_in_gives_a_token_and_notes_the_time(door: Door) -> None:
    door.world.clock.moment += 60

    user, token, expires = await door.auth.log_in("OPS@example.test", PASSWORD, admin=False)

    assert (user.id, user.last_login_date) == (door.ids["user"], "2024-05-02 10:01:00")
    assert expires == door.world.clock.moment + 1440 * 60
    assert await door.auth.expires_at(token) == expires
    caller = await door.auth.identify(get(token=token))
    assert caller.user is not None
    assert caller.user["last_login_date"] == "2024-05-02 10:01:00"


async def test_an_old_token_is_ignored_by_a_log_in_and_by_a_log_out(door: Door) -> None:
    token = await door.token()
    await door.auth.log_out(token)
    await door.auth.log_out(token)
    await door.auth.log_out("garbage")
    await door.auth.log_out(None)

    async def caller(method: str, bad: str) -> Caller:
        return await door.auth.identify(get("session", service="user", method=method, token=bad))

    for bad in (token, "garbage"):
        assert await caller("POST", bad) == Caller()
        assert (await caller("DELETE", bad)).user is None
        assert (await caller("PUT", bad)).session_token == bad
        with pytest.raises((Unauthorized, Forbidden)):
            await caller("GET", bad)


async def test_refreshing_gives_a_new_token_and_ends_the_old_one(door: Door) -> None:
    old = await door.token()
    assert (await door.outcome(get(key="KEY", token=old)))[0] == 200
    door.world.clock.moment += 1440 * 60 + 1

    user, new, _ = await door.auth.refresh(old)

    assert user.id == door.ids["user"]
    assert (await door.outcome(get(key="KEY", token=new)))[0] == 200
    with pytest.raises(Forbidden, match="Session terminated"):
        await door.auth.refresh(old)


async def test_a_token_cannot_be_refreshed_after_the_window(door: Door) -> None:
    token = await door.token()
    door.world.clock.moment += 20160 * 60

    with pytest.raises(Unauthorized, match=r"^Token refresh failed\. "):
        await door.auth.refresh(token)
    with pytest.raises(Unauthorized, match=r"^Token refresh failed\. "):
        await door.auth.refresh(None)


async def test_a_token_for_ever_can_be_refreshed_after_years(world: World) -> None:
    door = Door(world, settings=TokenSettings(allow_forever=True))
    await door.furnish()
    _, token, _ = await door.auth.log_in("ops@example.test", PASSWORD, admin=False, remember=True)

    world.clock.moment += 3 * 365 * 86400

    assert (await door.outcome(get(key="KEY", token=token)))[0] == 401
    new = (await door.auth.refresh(token)).token
    assert (await door.outcome(get(key="KEY", token=new)))[0] == 200
    await door.auth.close()


async def test_a_user_who_is_no_longer_active_cannot_refresh(door: Door) -> None:
    token = await door.token()
    await door.world.change(update(tables.user).values(is_active=False))

    with pytest.raises(Forbidden, match="User is not active"):
        await door.auth.refresh(token)


# -- Basic


async def test_a_basic_pair_stands_for_its_user_in_this_request(door: Door) -> None:
    await door.map_user()

    good = get(key="BARE", basic=f"ops@example.test:{PASSWORD}")
    assert [await door.outcome(good) for _ in range(2)] == [(200, "")] * 2
    assert await door.outcome(get("any", basic=f"boss@example.test:{PASSWORD}")) == (200, "")
    caller = await door.auth.identify(good)
    assert (caller.user_id, caller.session_token) == (door.ids["user"], None)


@pytest.mark.parametrize("basic", ["ops@example.test:wrong", "nobody@example.test:x", "ops@example.test", ":", ""])
async def test_a_wrong_basic_pair_is_401(door: Door, basic: str) -> None:
    assert await door.outcome(get(key="KEY", basic=basic)) == (401, "Invalid credentials.")
    assert await door.outcome(get(key="KEY", headers={"authorization": "Basic %%%"})) == (401, "Invalid credentials.")


async def test_a_changed_password_ends_basic_at_once(door: Door) -> None:
    request = get(key="KEY", basic=f"ops@example.test:{PASSWORD}")
    assert (await door.outcome(request))[0] == 200

    await door.world.change(update(tables.user).values(password=HASHER.hash("another")))

    assert (await door.outcome(request))[0] == 401


# -- what is remembered


async def test_a_warm_caller_is_the_same_object_until_settings_change(door: Door) -> None:
    request = get(key="KEY")
    first = await door.auth.identify(request)
    assert await door.auth.identify(request) is first

    await door.world.change(update(tables.role_service_access).values(verb_mask=0))

    assert (await door.outcome(request))[0] == 401


async def test_a_key_made_by_another_process_works_in_the_next_request(door: Door) -> None:
    other = door.world.other_process()
    assert (await door.outcome(get(key="NEW")))[0] == 400

    await other.app("new", "NEW", door.ids["role"])

    assert (await door.outcome(get(key="NEW")))[0] == 200
    await other.change(update(tables.app).where(tables.app.c.api_key == "NEW").values(api_key="NEWER"))
    assert (await door.outcome(get(key="NEW")))[0] == 400
    assert (await door.outcome(get(key="NEWER")))[0] == 200
    await other.close()


async def test_missing_credentials_name_what_is_missing_in_log_in(door: Door) -> None:
    with pytest.raises(BadRequest, match="missing required email"):
        await door.auth.log_in(None, None, admin=True)
