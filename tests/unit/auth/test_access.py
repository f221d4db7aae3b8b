from __future__ import annotations

import pytest

from reverie.auth.access import allows, any_verb, anything, filters_for, verbs, visible_services
from reverie.model import Access, Requestor, Role, Verb
from tests.unit.store.world import access

API, SCRIPT = Requestor.API, Requestor.SCRIPT
GET, POST, PATCH = Verb.GET, Verb.POST, Verb.PATCH
OWN = {"name": "owner", "operator": "=", "value": "{user.id}"}


def role(*rows: Access, is_active: bool = True) -> Role:
    return Role(id=1, name="reader", is_active=is_active, access=rows)


@pytest.mark.parametrize(
    ("component", "allowed", "refused"),
    [
        ("_table/todo", ["_table/todo", "_TABLE/Todo/"], ["_table/todo/1", "_table", "", "_table/todos"]),
        ("_table/todo/*", ["_table/todo", "_table/todo/1", "_table/todo/1/x"], ["_table", "_table/todos", ""]),
        ("_table/*", ["_table", "_table/todo", "_table/todo/1"], ["_schema", "_schema/todo", "", "_tables"]),
        ("*", ["", "_table", "_schema/todo"], []),
        ("", [""], ["_table", "_table/todo"]),
        ("_table/t*", ["_table/todo", "_table/t"], ["_table/x", "_table"]),
        ("_proc/add", ["_proc/add", "_proc/add(1, 'x)')", "_proc/add()"], ["_proc/adder(1)"]),
        ("_table/todo", ["_table/todo"], ["_table/todo/(5)", "_table/todo(5)"]),
    ],
)
def test_what_a_component_covers(component: str, allowed: list[str], refused: list[str]) -> None:
    reader = role(access(component, verbs=1))

    assert [path for path in allowed if not allows(reader, "db", path, GET, API)] == []
    assert [path for path in refused if allows(reader, "db", path, GET, API)] == []


def test_a_row_counts_for_its_own_service_only() -> None:
    reader = role(access("*"))

    assert allows(reader, "db", "_table/todo", GET, API)
    assert not allows(reader, "db2", "_table/todo", GET, API)


def test_the_most_specific_level_decides_even_when_it_allows_less() -> None:
    reader = role(
        access("*", service=None, verbs=31),
        access("*", verbs=15),
        access("_table/todo/*", verbs=7),
        access("_table/todo", verbs=1),
        access("_table/tag", verbs=0),
    )

    assert verbs(reader, "other", "x", API) == 31
    assert verbs(reader, "db", "_schema", API) == 15
    assert verbs(reader, "db", "_table/todo/7", API) == 7
    assert verbs(reader, "db", "_table/todo", API) == 1
    assert verbs(reader, "db", "_table/tag", API) == 0


def test_masks_on_one_level_add_up() -> None:
    exact = role(access("_table/todo", verbs=1), access("_table/todo", verbs=2))
    wildcards = role(access("_table/*", verbs=1), access("_table/todo/*", verbs=2))

    assert verbs(exact, "db", "_table/todo", API) == 3
    assert verbs(wildcards, "db", "_table/todo/1", API) == 3


def test_a_row_for_all_services_needs_a_star_or_stands_for_roots() -> None:
    everywhere = role(access("*", service=None))
    roots = role(access("", service=None))

    assert allows(everywhere, "db", "_table", GET, API)
    assert allows(everywhere, "db", "", GET, API)
    assert allows(roots, "db", "", GET, API)
    assert not allows(roots, "db", "_table", GET, API)
    assert not allows(role(access("_table/*", service=None)), "db", "_table/todo", GET, API)


@pytest.mark.parametrize(
    ("mask", "api", "script"), [(0, False, False), (1, True, False), (2, False, True), (3, True, True)]
)
def test_rows_for_another_requestor_are_not_there(mask: int, api: bool, script: bool) -> None:
    reader = role(access("*", requestors=mask))

    assert allows(reader, "db", "_table/todo", GET, API) is api
    assert allows(reader, "db", "_table/todo", GET, SCRIPT) is script


def test_a_narrow_row_for_scripts_hides_nothing_from_clients() -> None:
    reader = role(access("*", verbs=31), access("_table/todo", verbs=0, requestors=2))

    assert allows(reader, "db", "_table/todo", POST, API)
    assert not allows(reader, "db", "_table/todo", POST, SCRIPT)


def test_filters_come_from_the_rows_that_decide_and_have_the_verb() -> None:
    reader = role(
        access("_table/todo/*", verbs=1, filters=[OWN], filter_op="or"),
        access("_table/todo/*", verbs=8, filters=[{"name": "x"}]),
        access("*", verbs=31, filters=[{"name": "far"}]),
        access("*", service=None, filters=[{"name": "everywhere"}]),
    )

    assert filters_for(reader, "db", "_table/todo", GET, API) == [((OWN,), "OR")]
    assert filters_for(reader, "db", "_table/todo/5", PATCH, API) == [(({"name": "x"},), "AND")]
    assert filters_for(reader, "db", "_table/tag", GET, API) == [(({"name": "far"},), "AND")]
    assert filters_for(reader, "other", "_table/tag", GET, API) == []
    assert filters_for(None, "db", "_table/todo", GET, API) == []


def test_listings_show_what_has_any_verb() -> None:
    reader = role(access("_table/todo", verbs=8), access("_table/tag", verbs=0), access("_table/*", verbs=1))

    assert any_verb(reader, "db", "_table/todo", API)
    assert not any_verb(reader, "db", "_table/tag", API)
    assert any_verb(reader, "db", "_table/other", API)
    assert any_verb(None, "db", "_table/tag", API)
    assert anything(reader, "db", GET, API)
    assert not anything(reader, "db", POST, API)
    assert not anything(reader, "other", GET, API)


def test_visible_services_are_those_with_any_verb() -> None:
    assert visible_services(role(access("_table/tag", verbs=1), access("*", service="off", verbs=0))) == {"db"}
    assert visible_services(role(access("*", service=None))) is None
    assert visible_services(role(access("*", requestors=2))) == set()
    assert visible_services(role(access("*", service=None), is_active=False)) == set()


def test_two_roles_that_look_alike_are_decided_apart() -> None:
    for mask in (1, 2, 1, 2):
        assert verbs(role(access("*", verbs=mask)), "db", "x", API) == mask
