"""Virtual fields and database functions, as every database does them behind `SqlService`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from reverie.model import JSON
from tests.contract.sql_stage import DIALECTS, Db, Opener, resources, role

pytestmark = pytest.mark.anyio


@pytest.fixture(params=DIALECTS)
async def open_db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    opener = Opener(request.param, tmp_path)
    yield opener
    await opener.close()


@pytest.fixture
async def db(open_db: Opener) -> Db:
    return open_db()


def functions(**texts: str) -> JSON:
    return [{"use": [use], "function": text, "function_type": "database"} for use, text in texts.items()]


def virtual(name: str, **more: JSON) -> JSON:
    return {"resource": [{"name": name, "is_virtual": True, "allow_null": True, **more}]}


FULL_NAME = virtual("full_name", type="string", db_function=functions(SELECT="first_name || ' ' || last_name"))


async def test_a_virtual_field_is_read_by_name_and_among_all(db: Db) -> None:
    await db.ask("POST", "_schema/employee/_field", FULL_NAME)

    assert await db.get("_table/employee/1", fields="id,full_name") == {"id": 1, "full_name": "Asta Holm"}
    everything = await db.get("_table/employee/1")
    assert isinstance(everything, dict)
    assert everything["full_name"] == "Asta Holm"
    ordered = resources(await db.get("_table/employee", fields="full_name", order="full_name desc"))
    names = [str(one["full_name"]) for one in ordered]
    assert names == sorted(names, reverse=True)
    related = await db.get("_table/orders/1", fields="id", related="employee_by_employee_id")
    assert "full_name" in str(related)


async def test_a_virtual_field_is_described_changed_and_dropped(db: Db) -> None:
    await db.ask("POST", "_schema/employee/_field", FULL_NAME)

    described = cast("dict[str, JSON]", await db.get("_schema/employee/_field/full_name"))
    assert (described["is_virtual"], described["type"], described["label"]) == (True, "string", "Full Name")
    # A client sends it back whole, with one thing changed.
    await db.ask("PATCH", "_schema/employee/_field/full_name", {**described, "label": "Whole name"})
    changed = cast("dict[str, JSON]", await db.get("_schema/employee/_field/full_name"))
    assert changed == {**described, "label": "Whole name"}
    shorter = {"db_function": functions(SELECT="upper(last_name)")}
    await db.ask("PATCH", "_schema/employee/_field/full_name", shorter)
    assert await db.get("_table/employee/1", fields="full_name") == {"full_name": "HOLM"}

    await db.ask("DELETE", "_schema/employee/_field/full_name")

    assert (await db.refused("GET", "_schema/employee/_field/full_name")).status == 404
    assert (await db.refused("GET", "_table/employee", fields="full_name")).status == 400
    assert "first_name" in str(await db.get("_table/employee/1"))


async def test_a_virtual_field_cannot_be_written_grouped_or_compared(db: Db) -> None:
    await db.ask("POST", "_schema/employee/_field", FULL_NAME)

    await db.ask("PATCH", "_table/employee/1", {"full_name": "Nobody", "first_name": "Alma"})

    assert await db.get("_table/employee/1", fields="full_name") == {"full_name": "Alma Holm"}
    for parameters in (
        {"filter": "full_name = 'Alma Holm'"},
        {"group": "full_name", "fields": "full_name"},
        {"group": "last_name", "fields": "COUNT(full_name)"},
        {"after": "", "order": "full_name"},
        {"ids": "1", "id_field": "full_name"},
    ):
        error = await db.refused("GET", "_table/employee", None, cast("dict[str, JSON]", parameters))
        assert (error.status, "virtual" in error.message) == (400, True), parameters
    created = await db.ask(
        "POST",
        "_table/employee",
        {"resource": [{"first_name": "A", "last_name": "B", "full_name": "C"}]},
        {"fields": "full_name"},
    )
    assert resources(created) == [{"full_name": "A B"}]


async def test_a_function_may_calculate_with_numbers_and_texts_of_its_own(db: Db) -> None:
    body = {
        "resource": [
            {
                "name": "worth",
                "is_virtual": True,
                "type": "decimal",
                "db_function": functions(SELECT="(unit_price + 1) * 2"),
            },
            {
                "name": "shelf",
                "is_virtual": True,
                "db_function": functions(SELECT="coalesce(substr(sku, 1, 3), 'none''s')"),
            },
        ]
    }
    await db.ask("POST", "_schema/product/_field", cast("JSON", body))

    found = await db.get("_table/product", filter="id in (1, 8)", fields="id,worth,shelf", order="id", limit="5")

    assert resources(found)[0] == {"id": 1, "worth": 15, "shelf": "SEA"}
    one = await db.get("_table/product/1", fields="shelf,worth")
    assert one == {"shelf": "SEA", "worth": 15}


async def test_functions_of_a_stored_field_work_on_what_is_read_compared_and_written(db: Db) -> None:
    uses = functions(SELECT="upper(label)", FILTER="lower(label)", INSERT="trim({value})", UPDATE="{value} || '!'")
    await db.ask("PATCH", "_schema/tag/_field/label", {"db_function": uses})

    assert await db.get("_table/tag/1") == {"id": 1, "label": "ORGANIC"}
    assert await db.ids("_table/tag", filter="label = 'organic'") == [1]
    assert await db.ids("_table/tag", filter="label = 'ORGANIC'") == ([] if db.has("texts by case") else [1])
    created = await db.ask("POST", "_table/tag", {"resource": [{"label": "  rare "}]}, {"fields": "*"})
    assert resources(created) == [{"id": 4, "label": "RARE"}]
    assert await db.ask("PATCH", "_table/tag/4", {"label": "odd"}, {"fields": "label"}) == {"label": "ODD!"}
    assert await db.ids("_table/tag", filter="label starts with 'odd'") == [4]


async def test_conditions_of_a_role_are_about_the_column_whatever_its_functions(db: Db) -> None:
    uses = functions(FILTER="'organic'", SELECT="'shown'")
    guest = role(("_table/tag/*", 31, [{"name": "label", "operator": "=", "value": "gift"}]))
    before = await db.ids("_table/tag", caller=guest)

    await db.ask("PATCH", "_schema/tag/_field/label", {"db_function": uses})

    assert await db.ids("_table/tag", caller=guest) == before
    assert await db.ids("_table/tag", caller=guest, filter="label = 'organic'") == before
    assert (await db.refused("GET", "_table/tag/1", caller=guest)).status == 404


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("load_extension('x')", "load_extension"),
        ("pg_sleep(10)", "pg_sleep"),
        ("(select email from customer)", "'select'"),
        ("first_name; DROP TABLE employee", "';"),
        ("first_name -- ", "'-'"),
        ("nobody", "nobody"),
        ("upper(first_name, last_name)", "1 arguments"),
        ("upper(first_name", "')'"),
        ("{value}", "{value}"),
        ("first_name first_name", "first_name"),
        ("'open", "open"),
        ("(" * 30 + "id" + ")" * 30, "deep"),
        ("id + " * 400 + "id", "1000"),
        ("", "'function'"),
    ],
)
async def test_a_function_that_is_not_on_the_list_is_refused_when_it_is_sent(db: Db, text: str, says: str) -> None:
    error = await db.refused("POST", "_schema/employee/_field", virtual("x", db_function=functions(SELECT=text)))
    assert error.status == 400
    assert says in error.message


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ({"name": "first_name", "is_virtual": True, "db_function": functions(SELECT="id")}, 409),
        ({"name": "x", "is_virtual": True}, 400),
        ({"name": "x", "is_virtual": True, "type": "id", "db_function": functions(SELECT="id")}, 400),
        ({"name": "x", "is_virtual": True, "is_aggregate": True, "db_function": functions(SELECT="id")}, 501),
        ({"name": "x", "is_virtual": True, "db_function": "id"}, 400),
        ({"name": "x", "is_virtual": True, "db_function": [{"use": ["ORDER"], "function": "id"}]}, 400),
        ({"name": "first_name", "db_function": functions(SELECT="nope(id)")}, 400),
    ],
)
async def test_a_virtual_field_that_makes_no_sense_is_a_clear_refusal(db: Db, field: JSON, status: int) -> None:
    assert (await db.refused("POST", "_schema/employee/_field", {"resource": [field]})).status == status


async def test_a_field_whose_function_lost_its_column_is_null_and_says_so_in_the_log(db: Db) -> None:
    await db.ask("POST", "_schema/employee/_field", FULL_NAME)
    db.run("ALTER TABLE employee DROP COLUMN last_name")

    found = await db.get("_table/employee/1", fields="id,full_name", refresh="true")

    assert found == {"id": 1, "full_name": None}


async def test_a_table_is_created_with_a_virtual_field(db: Db) -> None:
    table = {
        "name": "people",
        "field": [
            {"name": "id", "type": "id"},
            {"name": "first", "type": "string"},
            {
                "name": "shout",
                "is_virtual": True,
                "type": "string",
                "db_function": functions(SELECT="upper(first) || '!'"),
            },
        ],
    }
    await db.ask("POST", "_schema", cast("JSON", {"resource": [table]}))

    created = await db.ask("POST", "_table/people", {"resource": [{"first": "Mo"}]}, {"fields": "*"})

    assert resources(created) == [{"id": 1, "first": "Mo", "shout": "MO!"}]
