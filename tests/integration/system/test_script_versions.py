"""Versions of scripts as records, on every store."""

from __future__ import annotations

import pytest

from reverie.model import JSON
from tests.integration.system.conftest import Platform, at, message

pytestmark = pytest.mark.anyio
NAME = "Db.get.pre_process"


async def save(platform: Platform, content: str, **more: JSON) -> None:
    body: dict[str, JSON] = {"type": "v8js", "content": content, **more}
    response = await platform.ask("POST", f"system/event_script/{NAME}", body)
    assert response.status in (200, 201), response.content


async def numbers(platform: Platform) -> list[JSON]:
    listed = await platform.ask("GET", "system/script_version", script=NAME.upper(), order="number")
    return [[one["number"], one["content"], one["is_current"]] for one in at(listed, "resource")]


async def test_versions_are_numbered_and_stay_when_the_script_is_deleted(platform: Platform) -> None:
    await save(platform, "one")
    await save(platform, "two", is_active=True)
    await platform.ask("DELETE", f"system/event_script/{NAME}")
    await save(platform, "three")

    assert await numbers(platform) == [[1, "one", False], [2, "two", False], [3, "three", True]]


async def test_a_batch_that_is_rolled_back_leaves_no_version(platform: Platform) -> None:
    batch: JSON = {"resource": [{"name": NAME, "type": "v8js", "content": "one"}, {"name": NAME, "type": "v8js"}]}

    refused = await platform.ask("POST", "system/event_script", batch, rollback="true")

    assert refused.status == 400
    assert await numbers(platform) == []


async def test_an_older_version_is_restored(platform: Platform) -> None:
    await save(platform, "one", config={"delay": 5}, is_active=False)
    await save(platform, "two", config={"delay": 6}, is_active=True)
    [old] = [
        one["id"]
        for one in at(await platform.ask("GET", "system/script_version", script=NAME), "resource")
        if one["number"] == 1
    ]

    restored = await platform.ask("PATCH", f"system/script_version/{old}", {"action": "restore"})

    assert restored.status == 200, restored.content
    record = await platform.ask("GET", f"system/event_script/{NAME}")
    assert [at(record, name) for name in ("content", "config", "is_active")] == ["one", {"delay": 5}, True]
    assert (await numbers(platform))[-1] == [3, "one", True]


async def test_versions_are_found_by_a_filter_and_cut_to_fields(platform: Platform) -> None:
    await save(platform, "one")
    await save(platform, "two")

    found = await platform.ask("GET", "system/script_version", filter="number > 1", fields="number,runs,hash")

    assert [sorted(one) for one in at(found, "resource")] == [["hash", "number", "runs"]]
    assert (await platform.ask("GET", "system/script_version", count_only="true")).content == 2


async def test_the_first_version_has_none_before_it(platform: Platform) -> None:
    await save(platform, "one")
    [only] = at(await platform.ask("GET", "system/script_version", as_list="true"), "resource")

    refused = await platform.ask("GET", f"system/script_version/{only}", compare="previous")

    assert (refused.status, message(refused)) == (400, "There is no version before this one.")
    same = await platform.ask("GET", f"system/script_version/{only}", compare=str(only))
    assert (at(same, "text"), at(same, "settings")) == ("", [])


async def test_a_database_service_has_no_versions(platform: Platform) -> None:
    await platform.made("service", {"name": "shop", "type": "sqlite", "config": {"database": "shop.sqlite"}})
    made = await platform.made("service", {"name": "math", "type": "v8js", "config": {"content": "return 1;"}})

    listed = await platform.ask("GET", "system/script_version")

    assert [[one["script"], one["name"], one["content"]] for one in at(listed, "resource")] == [
        [f"service:{made}", "service.math", "return 1;"]
    ]
