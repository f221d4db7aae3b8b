"""``system/service`` and ``system/service_type``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from reverie.model import JSON
from reverie.store import tables
from reverie.store.services import service_by_name
from tests.integration.system.conftest import Platform, at, inner, message

pytestmark = pytest.mark.anyio

DOC = "service_doc_by_service_id"
MASK = "**********"

SEED: dict[str, JSON] = {
    "name": "queued_script",
    "label": "Queued Script",
    "description": "",
    "is_active": True,
    "type": "v8js",
    "config": {
        "queued": True,
        "content": "platform.api.post('db/_table/todo', {'name': 'queue_test'});",
        "config": {"connection": "redis", "queue": "slow_queue", "delay": 300},
    },
}


async def test_a_bare_script_service_is_read_back_as_it_was_sent_with_all_its_settings(platform: Platform) -> None:
    created = await platform.ask("POST", "system/service", SEED)
    assert (created.status, created.content) == (201, {"resource": [{"id": 4}]})
    read = await platform.ask("GET", "system/service/4")
    stamps = ("created_date", "last_modified_date")
    assert {name: value for name, value in at(read).items() if name not in stamps} == {
        "id": 4,
        "name": "queued_script",
        "label": "Queued Script",
        "description": "",
        "is_active": True,
        "type": "v8js",
        "mutable": True,
        "deletable": True,
        "created_by_id": 1,
        "last_modified_by_id": None,
        "config": {
            "service_id": 4,
            "queued": True,
            "implements_access_list": False,
            "content": "platform.api.post('db/_table/todo', {'name': 'queue_test'});",
            "config": {"connection": "redis", "queue": "slow_queue", "delay": 300},
            "storage_service_id": None,
            "storage_path": None,
            "scm_repository": None,
            "scm_reference": None,
            "cache_enabled": False,
            "cache_ttl": 0,
        },
    }
    assert isinstance(at(read, "config", "config", "delay"), int)


@pytest.mark.parametrize("delay", [300, "300", -5, 0, "{wait}", None, ""])
async def test_a_delay_is_echoed_as_it_was_sent(platform: Platform, delay: JSON) -> None:
    service = await platform.made("service", {"name": "s", "type": "v8js", "config": {"config": {"delay": delay}}})
    echoed = at(await platform.ask("GET", f"system/service/{service}"), "config", "config", "delay")
    assert (echoed, type(echoed)) == (delay, type(delay))


@pytest.mark.parametrize("config", [{"delay": "soon"}, {"delay": [1]}, {"QUEUED_DELAY": "x"}, {"delay": True}])
async def test_a_delay_that_is_no_number_is_refused(platform: Platform, config: JSON) -> None:
    response = await platform.ask("POST", "system/service", {"name": "s", "type": "v8js", "config": {"config": config}})
    assert response.status == 400
    assert "Invalid queue delay" in inner(response, 0)["message"]


@pytest.mark.parametrize(
    "record",
    [
        {"name": "has space", "type": "v8js"},
        {"name": "", "type": "v8js"},
        {"name": "x" * 41, "type": "v8js"},
        {"name": "ok"},
        {"name": "ok", "type": "nope"},
        {"name": "ok", "type": "system"},
        {"name": "ok", "type": "v8js", "config": "text"},
        {"name": "ok", "type": "v8js", "config": {"queued": "maybe"}},
        {"name": "ok", "type": "v8js", "config": {"content": {"a": 1}}},
        {"name": "ok", "type": "sqlite"},
        {"name": "ok", "type": "v8js", DOC: {"format": 7, "content": "{}"}},
        {"name": "ok", "type": "v8js", DOC: {"format": 0, "content": "{"}},
        {"name": "SYSTEM", "type": "v8js"},
    ],
    ids=str,
)
async def test_a_service_that_cannot_be_is_refused_and_nothing_is_stored(
    platform: Platform, record: dict[str, JSON]
) -> None:
    response = await platform.ask("POST", "system/service", {"resource": [record]})
    assert response.status == 400
    assert at(response, "error", "code") == 1000
    assert len(await platform.store.fetch(select(tables.service))) == 3
    assert await platform.store.fetch(select(tables.service_doc)) == []


async def test_the_label_is_the_name_when_there_is_none(platform: Platform) -> None:
    created = await platform.ask("POST", "system/service", {"name": "Mine", "type": "v8js"}, fields="name,label")
    assert at(created, "resource", 0) == {"name": "mine", "label": "Mine"}


async def test_the_older_type_script_names_its_language_in_the_settings(platform: Platform) -> None:
    created = await platform.ask(
        "POST",
        "system/service",
        {"name": "old", "type": "script", "config": {"type": "nodejs", "content": "return 1;"}},
        fields="type,config",
    )
    assert at(created, "resource", 0, "type") == "nodejs"
    assert at(created, "resource", 0, "config", "content") == "return 1;"
    assert "type" not in at(created, "resource", 0, "config")


async def test_settings_that_are_not_sent_stay_and_null_takes_one_back(platform: Platform) -> None:
    await platform.ask("POST", "system/service", SEED)
    await platform.ask("PATCH", "system/service/4", {"config": {"content": "return 2;", "cache_ttl": "60"}})
    config = at(await platform.ask("GET", "system/service/4"), "config")
    assert (config["content"], config["queued"], config["cache_ttl"]) == ("return 2;", True, 60)
    assert config["config"] == {"connection": "redis", "queue": "slow_queue", "delay": 300}
    await platform.ask("PATCH", "system/service/4", {"config": {"config": None}})
    config = at(await platform.ask("GET", "system/service/4"), "config")
    assert (config["config"], config["content"]) == (None, "return 2;")


async def test_secrets_are_sealed_masked_and_kept_by_their_mask(platform: Platform) -> None:
    config: JSON = {"database": "a.db", "key": "s3cret", "unknown": 1}
    service = await platform.made("service", {"name": "d", "type": "sqlite", "config": config})
    row = await platform.store.fetch_one(select(tables.service.c.config).where(tables.service.c.id == service))
    assert row is not None
    assert "s3cret" not in str(row["config"])

    changed = await platform.ask(
        "PATCH", f"system/service/{service}", {"config": {"key": MASK, "database": "b.db"}}, fields="config"
    )
    assert at(changed, "config") == {
        "service_id": service,
        "database": "b.db",
        "key": MASK,
        "allow_upsert": False,
    }
    record = await service_by_name(platform.store, "d")
    assert record is not None
    assert record.config == {"database": "b.db", "key": "s3cret"}


async def test_every_change_of_a_service_or_its_document_gives_it_a_new_version(platform: Platform) -> None:
    await platform.ask("POST", "system/service", SEED)
    versions = []
    changes: list[dict[str, JSON]] = [
        {"label": "x"},
        {"config": {"content": "1"}},
        {DOC: {"format": 0, "content": "{}"}},
        {DOC: None},
    ]
    for change in changes:
        assert (await platform.ask("PATCH", "system/service/4", change)).status == 200
        record = await service_by_name(platform.store, "queued_script")
        assert record is not None
        versions.append(record.version)
    assert versions == [2, 3, 4, 5]


async def test_a_document_is_kept_read_replaced_and_removed_by_null(platform: Platform) -> None:
    service = await platform.made("service", {**SEED, DOC: {"format": 0, "content": '{"paths":{"/add":{}}}'}})
    read = await platform.ask("GET", f"system/service/{service}", fields="name", related=DOC)
    assert at(read, DOC) == {"service_id": service, "format": 0, "content": '{"paths":{"/add":{}}}'}

    await platform.ask("PATCH", f"system/service/{service}", {"doc": {"format": 0, "content": '{"paths":{}}'}})
    record = await service_by_name(platform.store, "queued_script")
    assert record is not None
    assert record.doc == {"paths": {}}

    await platform.ask("PATCH", f"system/service/{service}", {DOC: None})
    read = await platform.ask("GET", f"system/service/{service}", related=DOC)
    assert at(read, DOC) is None


async def test_a_document_in_yaml_is_told_to_be_not_there_yet(platform: Platform) -> None:
    response = await platform.ask("POST", "system/service", {**SEED, DOC: {"format": 1, "content": "paths: {}"}})
    assert inner(response, 0)["status_code"] == 501
    assert "YAML" in inner(response, 0)["message"]


async def test_the_services_that_the_platform_needs_are_protected(platform: Platform) -> None:
    for service in (1, 2):
        deleted = await platform.ask("DELETE", f"system/service/{service}")
        assert deleted.status == 403
        for change in ({"name": "other"}, {"type": "v8js"}, {"is_active": False}):
            assert (await platform.ask("PATCH", f"system/service/{service}", dict(change))).status == 403
        assert (await platform.ask("PATCH", f"system/service/{service}", {"label": "Mine"})).status == 200


async def test_a_deleted_service_takes_its_document_and_its_grants_with_it(platform: Platform) -> None:
    service = await platform.made("service", {**SEED, DOC: {"format": 0, "content": "{}"}})
    await platform.made("role", {"name": "r", "role_service_access_by_role_id": [{"service_id": service}]})
    assert (await platform.ask("DELETE", f"system/service/{service}")).content == {"id": service}
    assert await platform.store.fetch(select(tables.service_doc)) == []
    assert await platform.store.fetch(select(tables.role_service_access)) == []


@pytest.mark.parametrize("languages", [("all",), ("v8js",)])
async def test_scripts_of_a_language_that_is_switched_off_cannot_be_saved(
    disabled_system: Callable[..., Platform], languages: tuple[str, ...]
) -> None:
    platform = disabled_system(*languages)
    service = await platform.ask("POST", "system/service", SEED)
    assert inner(service, 0)["status_code"] == 503
    script = await platform.ask("POST", "system/event_script/db.get", {"type": "v8js", "content": ""})
    assert script.status == 503
    assert "disabled for this instance" in message(script)
    other = await platform.ask("POST", "system/event_script/db.get", {"type": "nodejs", "content": ""})
    assert other.status == (503 if languages == ("all",) else 201)


async def test_types_are_listed_with_the_fields_of_their_settings(platform: Platform) -> None:
    listed = await platform.ask("GET", "system/service_type", fields="name,group", group="Script")
    assert at(listed, "resource") == [{"name": "nodejs", "group": "Script"}, {"name": "v8js", "group": "Script"}]
    one = await platform.ask("GET", "system/service_type/v8js")
    assert at(one, "singleton") is False
    assert [field["name"] for field in at(one, "config_schema")] == [
        "queued",
        "implements_access_list",
        "content",
        "config",
        "storage_service_id",
        "storage_path",
        "scm_repository",
        "scm_reference",
        "cache_enabled",
        "cache_ttl",
    ]
    unknown = await platform.ask("GET", "system/service_type/nope")
    assert (unknown.status, message(unknown)) == (404, "Service type 'nope' not found.")
    posted = await platform.ask("POST", "system/service_type", {"name": "x"})
    assert (posted.status, message(posted)) == (
        400,
        "POST requests without a resource are not currently supported by the 'service_type' service.",
    )
