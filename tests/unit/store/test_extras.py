from __future__ import annotations

import pytest
from sqlalchemy import delete

from reverie.database import Connection, Refusal
from reverie.model import JSON
from reverie.store.extras import drop_extras, extras_of, save_extras
from reverie.store.memory import Memory
from reverie.store.records import ExtraKind, ExtraRecord
from reverie.store.tables import service
from tests.unit.store.world import World

pytestmark = pytest.mark.anyio


def extra(kind: ExtraKind, name: str, **properties: JSON) -> ExtraRecord:
    return ExtraRecord(table="supplier", kind=kind, name=name, properties=properties)


async def a_service(world: World, name: str = "db") -> int:
    return await world.put(service, name=name, label=name, type="sqlite", config="{}")


async def test_properties_are_laid_over_those_that_are_kept_and_a_null_forgets_one(world: World) -> None:
    number = await a_service(world)
    await save_extras(world.store, number, [extra("field", "phone", alias="tel", label="Phone", validation={"a": []})])

    await save_extras(world.store, number, [extra("field", "phone", alias=None, label="Telephone")])

    assert await extras_of(world.store, number) == [extra("field", "phone", label="Telephone", validation={"a": []})]


async def test_a_record_that_lost_its_last_property_is_gone(world: World) -> None:
    number = await a_service(world)
    await save_extras(world.store, number, [extra("table", "", alias="vendor")])

    await save_extras(world.store, number, [extra("table", "", alias=None)])

    assert await extras_of(world.store, number) == []


async def test_what_is_kept_about_one_field_goes_alone_and_about_a_table_together(world: World) -> None:
    number, other = await a_service(world), await a_service(world, "other")
    kept = [extra("table", "", alias="v"), extra("field", "a", label="A"), extra("relation", "a", label="R")]
    for one in (number, other):
        await save_extras(world.store, one, kept)

    await drop_extras(world.store, number, "supplier", "field", ["a", "b"])
    first = await extras_of(world.store, number)
    await drop_extras(world.store, number, "supplier")

    assert first == [extra("relation", "a", label="R"), extra("table", "", alias="v")]
    assert await extras_of(world.store, number) == []
    assert len(await extras_of(world.store, other)) == 3


async def test_extras_go_with_their_service_and_none_come_without_one(world: World) -> None:
    number = await a_service(world)
    await save_extras(world.store, number, [extra("table", "", alias="v")])

    async def work(connection: Connection) -> None:
        await world.store.execute(delete(service).where(service.c.id == number), connection)

    await world.store.write(work)

    assert await extras_of(world.store, number) == []
    with pytest.raises(Refusal):
        await save_extras(world.store, number, [extra("table", "", alias="v")])


async def test_another_process_sees_a_change_when_it_looks_at_the_settings(world: World) -> None:
    number = await a_service(world)
    other = world.other_process()
    theirs = Memory(other.store)
    await theirs.fresh()
    assert await theirs.extras(number) == []

    await save_extras(world.store, number, [extra("table", "", alias="v")])
    await theirs.fresh()

    assert await theirs.extras(number) == [extra("table", "", alias="v")]
    await other.close()
