"""What every resource over a table does alike, checked on several of them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from reverie.model import JSON
from tests.integration.system.conftest import Platform, at, inner, message

pytestmark = pytest.mark.anyio

NO_RECORDS = (
    "No record(s) detected in request. Please make sure record(s) are wrapped in a 'resource' tag. "
    'Example: {"resource":[{"record":1},{"record":2}]}'
)


@dataclass(frozen=True)
class Kind:
    """A resource, and how to make records of it that differ."""

    resource: str
    key: str
    extra: dict[str, JSON]
    changed: str
    always: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return f"system/{self.resource}"

    def record(self, name: str) -> dict[str, JSON]:
        return {"name": name, **self.extra}


KINDS = [
    Kind("role", "id", {}, "description"),
    Kind("app", "id", {"type": 0}, "description", always=("launch_url",)),
    Kind("service", "id", {"type": "v8js"}, "description"),
    Kind("event_script", "name", {"type": "v8js"}, "content"),
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.resource)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


async def keys_of(platform: Platform, kind: Kind, *names: str) -> list[JSON]:
    body: JSON = {"resource": [kind.record(name) for name in names]}
    response = await platform.ask("POST", kind.path, body)
    assert response.status == 201, response.content
    return [record[kind.key] for record in at(response, "resource")]


async def names_of(platform: Platform, kind: Kind) -> list[str]:
    response = await platform.ask("GET", kind.path, filter="name like 't%'", order="name")
    return [record["name"] for record in at(response, "resource")]


async def test_a_create_answers_201_with_the_identifier_only(platform: Platform, kind: Kind) -> None:
    response = await platform.ask("POST", kind.path, {"resource": [kind.record("t1"), kind.record("t2")]})
    assert response.status == 201
    assert [list(record) for record in at(response, "resource")] == [[kind.key], [kind.key]]


async def test_a_bare_object_and_a_bare_list_are_batches(platform: Platform, kind: Kind) -> None:
    assert (await platform.ask("POST", kind.path, kind.record("t1"))).status == 201
    assert (await platform.ask("POST", kind.path, [kind.record("t2")])).status == 201
    assert await names_of(platform, kind) == ["t1", "t2"]


async def test_a_create_shows_what_fields_asks_for(platform: Platform, kind: Kind) -> None:
    response = await platform.ask("POST", kind.path, kind.record("t1"), fields="name,is_active")
    record = at(response, "resource", 0)
    assert record["name"] == "t1"
    assert record["is_active"] is False
    assert set(record) == {"name", "is_active", *kind.always}


@pytest.mark.parametrize("body", [{}, [], {"resource": []}, {"resource": {}}, [{}], "text", 5], ids=str)
async def test_a_body_without_records_is_refused(platform: Platform, kind: Kind, body: JSON) -> None:
    response = await platform.ask("POST", kind.path, body)
    assert response.status == 400
    assert message(response) == NO_RECORDS


async def test_a_record_without_its_name_is_a_client_mistake(platform: Platform, kind: Kind) -> None:
    response = await platform.ask("POST", kind.path, {"resource": [{"description": "x", "content": "x"}]})
    assert response.status == 400
    assert at(response, "error", "code") == 1000
    assert "name" in inner(response, 0)["context"]


async def test_unknown_fields_of_a_body_are_ignored(platform: Platform, kind: Kind) -> None:
    (key,) = await keys_of(platform, kind, "t1")
    response = await platform.ask("PATCH", f"{kind.path}/{key}", {"colour": "red"})
    assert (response.status, response.content) == (200, {kind.key: key})


async def test_one_record_is_read_bare(platform: Platform, kind: Kind) -> None:
    (key,) = await keys_of(platform, kind, "t1")
    response = await platform.ask("GET", f"{kind.path}/{key}")
    assert at(response, "name") == "t1"
    assert at(response, "created_by_id") == 1
    assert at(response, "last_modified_by_id") is None
    assert len(at(response, "created_date")) == len("2024-05-02 09:15:00")


async def test_an_unknown_record_is_404_for_every_verb(platform: Platform, kind: Kind) -> None:
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        for identifier in ("99999999", "abc", "9" * 40):
            response = await platform.ask(method, f"{kind.path}/{identifier}", {"description": "x"})
            assert response.status == 404, (method, identifier)
            assert message(response) == f"Record with identifier '{identifier}' not found."


async def test_a_list_can_be_filtered_ordered_cut_and_counted(platform: Platform, kind: Kind) -> None:
    await keys_of(platform, kind, "t1", "t2", "t3")
    asked = await platform.ask(
        "GET",
        kind.path,
        filter="(name='t1') or (name='t3') or name in ('t2')",
        order="name desc",
        fields="name",
        limit="1",
        offset="1",
        include_count="true",
    )
    assert [record["name"] for record in at(asked, "resource")] == ["t2"]
    assert at(asked, "meta") == {"count": 3}
    counted = await platform.ask("GET", kind.path, filter="name like 't%'", count_only="true")
    assert counted.content == 3


async def test_a_list_of_identifiers(platform: Platform, kind: Kind) -> None:
    keys = await keys_of(platform, kind, "t1", "t2")
    asked = await platform.ask("GET", kind.path, filter="name like 't%'", as_list="true", order="name")
    assert at(asked, "resource") == keys
    named = await platform.ask("GET", kind.path, filter="name like 't%'", as_list="1", order="name", id_field="name")
    assert at(named, "resource") == ["t1", "t2"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("filter", "colour=1"),
        ("filter", "config like 'x'"),
        ("filter", "name"),
        ("filter", "(name='x'"),
        ("order", "colour"),
        ("order", "name; drop table role"),
        ("fields", "colour"),
        ("related", "nothing_by_id"),
        ("related", "*"),
        ("group", "name"),
        ("id_field", "colour"),
    ],
)
async def test_a_parameter_that_makes_no_sense_is_400(platform: Platform, kind: Kind, name: str, value: str) -> None:
    response = await platform.ask("GET", kind.path, query={name: value})
    assert response.status == 400
    assert "select" not in message(response).lower()


async def test_put_and_patch_change_only_what_was_sent(platform: Platform, kind: Kind) -> None:
    (key,) = await keys_of(platform, kind, "t1")
    for method, text in (("PATCH", "first"), ("PUT", "second")):
        response = await platform.ask(method, f"{kind.path}/{key}", {kind.changed: text}, fields=f"name,{kind.changed}")
        assert response.status == 200
        assert at(response, kind.changed) == text
        assert at(response, "name") == "t1"
    assert at(await platform.ask("GET", f"{kind.path}/{key}"), "last_modified_by_id") == 1


async def test_several_are_changed_by_records_by_ids_and_by_filter(platform: Platform, kind: Kind) -> None:
    keys = await keys_of(platform, kind, "t1", "t2")
    records: JSON = [{kind.key: key, kind.changed: f"x{index}"} for index, key in enumerate(keys)]
    expected = [{kind.key: key} for key in keys]

    by_records = await platform.ask("PATCH", kind.path, {"resource": records})
    assert at(by_records, "resource") == expected

    ids = ",".join(str(key) for key in keys)
    by_ids = await platform.ask("PATCH", kind.path, {"resource": [{kind.changed: "both"}]}, ids=ids)
    assert at(by_ids, "resource") == expected

    by_filter = await platform.ask("PATCH", kind.path, {kind.changed: "one"}, filter="name='t2'")
    assert at(by_filter, "resource") == expected[1:]

    read = await platform.ask("GET", kind.path, ids=ids, fields=kind.changed, order="name")
    assert [record[kind.changed] for record in at(read, "resource")] == ["both", "one"]


async def test_a_record_that_does_not_say_which_it_is_cannot_be_changed(platform: Platform, kind: Kind) -> None:
    response = await platform.ask("PATCH", kind.path, {"resource": [{kind.changed: "x"}]})
    assert response.status == 400
    assert at(response, "error", "code") == 1000


async def test_reading_ids_names_the_one_that_is_missing(platform: Platform, kind: Kind) -> None:
    (key,) = await keys_of(platform, kind, "t1")
    response = await platform.ask("GET", kind.path, ids=f"{key},99999999")
    assert response.status == 400
    assert at(response, "error", "context", "error") == [1]
    assert inner(response, 0)["name"] == "t1"
    assert inner(response, 1)["message"] == "Record with identifier '99999999' not found."


async def test_deleting_answers_with_the_identifier_or_with_what_was_asked_for(platform: Platform, kind: Kind) -> None:
    one, two, three = await keys_of(platform, kind, "t1", "t2", "t3")
    by_id = await platform.ask("DELETE", f"{kind.path}/{one}", fields="name")
    assert at(by_id, "name") == "t1"
    by_ids = await platform.ask("DELETE", kind.path, ids=[str(two)])
    assert by_ids.content == {"resource": [{kind.key: two}]}
    by_filter = await platform.ask("DELETE", kind.path, filter="name = t3")
    assert by_filter.content == {"resource": [{kind.key: three}]}
    assert await names_of(platform, kind) == []


async def test_a_delete_that_says_nothing_deletes_nothing(platform: Platform, kind: Kind) -> None:
    await keys_of(platform, kind, "t1")
    for parameters in ({}, {"ids": ""}, {"filter": " "}, {"force": "false"}):
        response = await platform.ask("DELETE", kind.path, query=parameters)
        assert response.status == 400
        assert message(response) == "No filter or records given for delete request."
    assert await names_of(platform, kind) == ["t1"]


@pytest.mark.parametrize(
    ("mode", "failed", "told", "stored"),
    [
        ({}, [1], 2, ["t1", "t2"]),
        ({"continue": "true"}, [1], 3, ["t1", "t2", "t3"]),
        ({"rollback": "true"}, [1], 2, ["t1"]),
    ],
    ids=["stop", "continue", "rollback"],
)
async def test_a_batch_with_a_failure(
    platform: Platform, kind: Kind, mode: dict[str, JSON], failed: list[int], told: int, stored: list[str]
) -> None:
    await keys_of(platform, kind, "t1")
    body: JSON = {"resource": [kind.record(name) for name in ("t2", "t1", "t3")]}
    response = await platform.ask("POST", kind.path, body, fields="*", query=mode)
    assert response.status == 400
    assert at(response, "error", "code") == 1000
    assert at(response, "error", "context", "error") == failed
    assert len(at(response, "error", "context", "resource")) == told
    assert list(inner(response, 0)) == [kind.key]
    assert inner(response, 1)["status_code"] == 400
    assert message(response).endswith("All changes rolled back.") is ("rollback" in mode)
    assert await names_of(platform, kind) == stored


async def test_continue_and_rollback_exclude_each_other(platform: Platform, kind: Kind) -> None:
    response = await platform.ask("POST", kind.path, kind.record("t1"), query={"continue": "true", "rollback": "true"})
    assert response.status == 400
    assert await names_of(platform, kind) == []


async def test_a_batch_of_deletes_tells_which_failed(platform: Platform, kind: Kind) -> None:
    (key,) = await keys_of(platform, kind, "t1")
    response = await platform.ask("DELETE", kind.path, ids=f"99999999,{key}", query={"continue": "true"})
    assert response.status == 400
    assert message(response) == "Batch Error: Not all requested records could be deleted."
    assert at(response, "error", "context", "error") == [0]
    assert await names_of(platform, kind) == []


async def test_every_change_moves_the_settings_version_and_reading_does_not(platform: Platform, kind: Kind) -> None:
    before = await platform.store.version()
    (key,) = await keys_of(platform, kind, "t1")
    created = await platform.store.version()
    await platform.ask("GET", kind.path)
    assert await platform.store.version() == created > before
    await platform.ask("DELETE", f"{kind.path}/{key}")
    assert await platform.store.version() > created
