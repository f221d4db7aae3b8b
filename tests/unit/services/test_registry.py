"""Services are built once, and closed when nobody can reach them any more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from reverie.errors import NotFound
from reverie.services import registry as module
from reverie.services.registry import Registry
from reverie.store.records import ServiceRecord

if TYPE_CHECKING:
    from reverie.services.service import Service
    from reverie.store.memory import Memory

pytestmark = pytest.mark.anyio


@dataclass
class Stored:
    """What is stored, by name."""

    records: dict[str, ServiceRecord] = field(default_factory=dict)

    async def service(self, name: str) -> ServiceRecord | None:
        return self.records.get(name)


@dataclass
class Built:
    name: str
    open: bool = True

    async def close(self) -> None:
        self.open = False


def record(number: int, version: int = 1) -> ServiceRecord:
    return ServiceRecord(
        id=number, name="db", label="", description=None, is_active=True, type="x", mutable=True, deletable=True,
        version=version, config={},
    )  # fmt: skip


@pytest.fixture
def stored() -> Stored:
    return Stored({"db": record(1)})


@pytest.fixture
def registry(stored: Stored) -> Registry:
    return Registry(cast("Memory", stored), {"x": lambda one: cast("Service", Built(one.name))})


async def test_a_service_is_the_same_until_its_record_changes(registry: Registry, stored: Stored) -> None:
    first = await registry.find("db")

    assert await registry.find("db") is first
    stored.records["db"] = record(1, version=2)
    assert await registry.find("db") is not first


@pytest.mark.parametrize("after", [record(1, version=2), record(2), None])
async def test_what_was_changed_replaced_or_deleted_is_closed(
    registry: Registry, stored: Stored, after: ServiceRecord | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.0)
    old = cast("Built", await registry.find("db"))

    if after is None:
        del stored.records["db"]
        with pytest.raises(NotFound):
            await registry.find("db")
    else:
        stored.records["db"] = after
        await registry.find("db")
    assert old.open
    await registry.close()

    assert not old.open
