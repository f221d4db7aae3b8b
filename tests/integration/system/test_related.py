"""Records inside records: rows of roles, lookups, roles of users."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from reverie.model import JSON
from reverie.store import tables
from tests.integration.system.conftest import Platform, at, inner, message

pytestmark = pytest.mark.anyio

ACCESS = "role_service_access_by_role_id"
MASK = "**********"


async def rows_of(platform: Platform, role: int, relation: str = ACCESS) -> list[dict[str, JSON]]:
    response = await platform.ask("GET", f"system/role/{role}", fields="name", related=relation)
    found: list[dict[str, JSON]] = at(response, relation)
    return found


async def test_rows_sent_with_a_role_are_stored_with_it(platform: Platform) -> None:
    row: JSON = {"service_id": 1, "component": "event_script/*", "verb_mask": 31, "requestor_mask": 3}
    role = await platform.made("role", {"name": "r", "is_active": True, ACCESS: [row]})
    (stored,) = await rows_of(platform, role)
    assert stored["component"] == "event_script/*"
    assert stored["role_id"] == role
    assert stored["filters"] == []
    assert stored["filter_op"] == "AND"
    known = await platform.memory.role(role)
    assert known is not None
    assert known.access[0].service == "system"


async def test_nested_rows_are_added_changed_moved_and_deleted_and_the_others_stay(platform: Platform) -> None:
    one = await platform.made("role", {"name": "one", ACCESS: [{"component": "a"}, {"component": "b"}]})
    two = await platform.made("role", {"name": "two"})
    first, second = (row["id"] for row in await rows_of(platform, one))

    changes: JSON = [{"component": "c"}, {"id": first, "verb_mask": 3}, {"id": second, "role_id": two}]
    assert (await platform.ask("PATCH", f"system/role/{one}", {ACCESS: changes})).status == 200
    assert [(row["component"], row["verb_mask"]) for row in await rows_of(platform, one)] == [("a", 3), ("c", 0)]
    assert [row["component"] for row in await rows_of(platform, two)] == ["b"]

    await platform.ask("PATCH", f"system/role/{one}", {ACCESS: [{"id": first, "role_id": None}]})
    assert [row["component"] for row in await rows_of(platform, one)] == ["c"]


async def test_a_row_of_another_role_cannot_be_touched(platform: Platform) -> None:
    one = await platform.made("role", {"name": "one", ACCESS: [{"component": "a"}]})
    two = await platform.made("role", {"name": "two"})
    (row,) = await rows_of(platform, one)
    stolen = await platform.ask("PATCH", f"system/role/{two}", {ACCESS: [{"id": row["id"], "verb_mask": 31}]})
    assert stolen.status == 400
    assert await rows_of(platform, one) == [row]


@pytest.mark.parametrize(
    "value", ["x", {"component": "a"}, ["x"], [{"filters": "x"}], [{"filter_op": "XOR"}], [{"service_id": 999}]]
)
async def test_nested_rows_that_make_no_sense_undo_the_whole_change(platform: Platform, value: JSON) -> None:
    role = await platform.made("role", {"name": "r", "description": "before"})
    response = await platform.ask("PATCH", f"system/role/{role}", {"description": "after", ACCESS: value})
    assert response.status == 400
    assert at(await platform.ask("GET", f"system/role/{role}"), "description") == "before"


async def test_what_hangs_on_a_role_goes_with_it(platform: Platform) -> None:
    role = await platform.made("role", {"name": "r", ACCESS: [{"component": "a"}]})
    await platform.ask("DELETE", f"system/role/{role}")
    assert await platform.store.fetch(select(tables.role_service_access)) == []


async def test_lookups_of_a_role_go_by_the_older_name_too(platform: Platform) -> None:
    role = await platform.made("role", {"name": "r", "role_lookup_by_role_id": [{"name": "region", "value": "eu-1"}]})
    for relation in ("lookup_by_role_id", "role_lookup_by_role_id"):
        (lookup,) = await rows_of(platform, role, relation)
        assert (lookup["name"], lookup["value"], lookup["private"]) == ("region", "eu-1", False)
    assert at(await platform.ask("GET", "system/lookup"), "resource") == []


async def test_a_private_lookup_is_sealed_masked_and_kept_by_its_mask(platform: Platform) -> None:
    lookup = await platform.made("lookup", {"name": "token", "value": "s3cret", "private": True})
    row = await platform.store.fetch_one(select(tables.lookup))
    assert row is not None
    assert "s3cret" not in str(row["value"])

    changed = await platform.ask("PATCH", f"system/lookup/{lookup}", {"value": MASK, "description": "d"}, fields="*")
    assert at(changed, "value") == MASK
    await platform.memory.fresh()
    assert (await platform.memory.lookups(None, None, None)).private == {"token": "s3cret"}

    await platform.ask("PATCH", f"system/lookup/{lookup}", {"value": "other"})
    await platform.memory.fresh()
    assert (await platform.memory.lookups(None, None, None)).private == {"token": "other"}


async def test_a_private_value_is_never_made_public_by_a_flag(platform: Platform) -> None:
    lookup = await platform.made("lookup", {"name": "token", "value": "s3cret", "private": True})
    bodies: list[JSON] = [{"private": False}, {"private": False, "value": MASK}]
    for body in bodies:
        assert (await platform.ask("PATCH", f"system/lookup/{lookup}", body)).status == 400
    opened = await platform.ask("PATCH", f"system/lookup/{lookup}", {"private": False, "value": "new"}, fields="value")
    assert at(opened, "value") == "new"


async def test_a_lookup_that_becomes_private_is_sealed_as_it_is(platform: Platform) -> None:
    lookup = await platform.made("lookup", {"name": "token", "value": "plain"})
    await platform.ask("PATCH", f"system/lookup/{lookup}", {"private": True})
    row = await platform.store.fetch_one(select(tables.lookup))
    assert row is not None
    assert "plain" not in str(row["value"])
    await platform.memory.fresh()
    assert (await platform.memory.lookups(None, None, None)).private == {"token": "plain"}


async def test_two_lookups_of_one_owner_cannot_have_one_name(platform: Platform) -> None:
    await platform.made("lookup", {"name": "a", "value": "1"})
    other = await platform.made("lookup", {"name": "b", "value": "2"})
    again = await platform.ask("POST", "system/lookup", {"name": "a", "value": "x"})
    assert inner(again, 0)["message"] == "Lookup name can not be modified to one that already exists."
    renamed = await platform.ask("PATCH", f"system/lookup/{other}", {"name": "a"})
    assert (renamed.status, message(renamed)) == (
        400,
        "Lookup name can not be modified to one that already exists.",
    )
    # Another owner's are his own.
    await platform.made("role", {"name": "r", "lookup_by_role_id": [{"name": "a", "value": "3"}]})


async def test_an_app_gets_a_key_of_64_digits_and_a_new_one_when_asked(platform: Platform) -> None:
    app = await platform.made("app", {"name": "a", "is_active": True})
    other = await platform.made("app", {"name": "b", "is_active": True})
    key = at(await platform.ask("GET", f"system/app/{app}"), "api_key")
    kept = at(await platform.ask("GET", f"system/app/{other}"), "api_key")
    assert len(key) == 64

    renewed = await platform.ask("PATCH", f"system/app/{app}", {"is_active": True}, regenerate="true", fields="api_key")
    assert at(renewed, "api_key") not in (key, kept)
    await platform.memory.fresh()
    assert await platform.memory.app_by_key(key) is None
    assert await platform.memory.app_by_key(kept) is not None


async def test_a_key_that_is_sent_is_kept_if_it_is_good(platform: Platform) -> None:
    mine = "k" * 64
    await platform.made("app", {"name": "a", "api_key": mine})
    taken = await platform.ask("POST", "system/app", {"name": "b", "api_key": mine}, fields="api_key")
    assert at(taken, "resource", 0, "api_key") != mine
    for bad in ("short", "-" * 64):
        assert (await platform.ask("POST", "system/app", {"name": "c", "api_key": bad})).status == 400


async def test_the_role_of_an_app_is_read_with_it(platform: Platform) -> None:
    role = await platform.made("role", {"name": "r"})
    app = await platform.made("app", {"name": "a", "role_id": role})
    with_role = await platform.ask("GET", f"system/app/{app}", fields="name", related="role_by_role_id")
    assert at(with_role, "role_by_role_id", "name") == "r"
    await platform.ask("PATCH", f"system/app/{app}", {"role_id": None})
    without = await platform.ask("GET", f"system/app/{app}", related="role_by_role_id")
    assert at(without, "role_by_role_id") is None
    assert (await platform.ask("PATCH", f"system/app/{app}", {"role_id": 999})).status == 400
