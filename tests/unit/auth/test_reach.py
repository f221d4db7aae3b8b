from __future__ import annotations

import pytest

from reverie.auth.reach import could
from reverie.model import ANONYMOUS, Access, Caller, Requestor, Role
from tests.unit.store.world import access

ONE, RECORD = "_table/{table_name}", "_table/{table_name}/{id}"


def caller(*rows: Access, is_active: bool = True) -> Caller:
    return Caller(role=Role(id=1, name="reader", is_active=is_active, access=rows))


def may(who: Caller, component: str, method: str = "get") -> bool:
    return could(who, "db", component, method, Requestor.API)


@pytest.mark.parametrize(
    ("component", "reached", "beyond"),
    [
        ("_table/todo", [ONE], [RECORD, "_table", "_schema/{table_name}"]),
        ("_table/todo/*", [ONE, RECORD], ["_table", "_schema/{table_name}"]),
        ("_table/t*", [ONE, RECORD], ["_schema/{table_name}"]),
        ("_table/*", ["_table", ONE, RECORD], ["_schema/{table_name}", ""]),
        ("*", ["", "_table", ONE, "_schema/{table_name}/_field/{field_name}"], []),
        ("_schema/todo/_field/a", ["_schema/{table_name}/_field/{field_name}"], ["_schema/{table_name}", ONE]),
    ],
)
def test_a_template_is_reached_by_who_may_use_any_name_in_its_place(
    component: str, reached: list[str], beyond: list[str]
) -> None:
    reader = caller(access(component, verbs=1))

    assert [path for path in reached if not may(reader, path)] == []
    assert [path for path in beyond if may(reader, path)] == []
    assert [path for path in reached if may(reader, path, "post")] == []


def test_a_name_that_loses_access_does_not_close_the_template_for_the_others() -> None:
    reader = caller(access("_table/*", verbs=1), access("_table/secret", verbs=0))

    assert may(reader, ONE)
    assert not may(reader, "_table/secret")


def test_nobody_and_sleeping_roles_reach_nothing_and_administrators_all() -> None:
    assert not may(ANONYMOUS, ONE)
    assert not may(caller(access("*", verbs=31), is_active=False), ONE)
    assert may(Caller(is_admin=True), ONE, "delete")


def test_one_job_can_be_asked_for_by_every_role() -> None:
    assert could(caller(access("_table/todo", verbs=1)), "system", "job/{id}", "get", Requestor.API)
    assert not could(caller(access("_table/todo", verbs=1)), "system", "job", "get", Requestor.API)


def test_the_list_of_schemas_is_open_to_readers_of_anything() -> None:
    reader = caller(access("_table/todo", verbs=1))

    assert may(reader, "_schema")
    assert not may(reader, "_schema", "post")
