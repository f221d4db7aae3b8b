"""Services by name, built from their stored settings and rebuilt when those change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from reverie.errors import Forbidden, NotFound, NotSupported
from reverie.services.service import Service
from reverie.store.memory import Memory
from reverie.store.records import ServiceRecord

Build = Callable[[ServiceRecord], Service]
GRACE = 60.0
"""Seconds that a replaced service stays open."""


class Registry:
    """Args:
    builders: how to build a service of each type.
    """

    def __init__(self, memory: Memory, builders: Mapping[str, Build]) -> None:
        self._memory = memory
        self._builders = builders
        self._built: dict[int, tuple[int, Service]] = {}
        self._fixed: dict[str, Service] = {}
        self._retiring: dict[asyncio.Task[None], Service] = {}

    def add(self, service: Service) -> None:
        """A service that is always there."""
        self._fixed[service.name] = service

    def has(self, name: str) -> bool:
        """Whether there is a service of that name that was built already."""
        return name in self._fixed or any(service.name == name for _, service in self._built.values())

    async def find(self, name: str) -> Service:
        """The active service of that name.

        Raises:
            NotFound, Forbidden (not active), NotSupported (its type cannot be built here)
        """
        fixed = self._fixed.get(name)
        if fixed is not None:
            return fixed
        record = await self._memory.service(name)
        if record is None:
            self._retire_all(lambda record_id, service: service.name == name.lower())
            raise NotFound(f"Could not find a service for {name}")
        if not record.is_active:
            raise Forbidden(f"Service {record.name} is deactivated.")
        return self.build(record)

    def build(self, record: ServiceRecord) -> Service:
        """The service of a record; the same object as long as the record does not change."""
        known = self._built.get(record.id)
        if known is not None and known[0] == record.version:
            return known[1]
        builder = self._builders.get(record.type)
        if builder is None:
            raise NotSupported(f"services of type {record.type!r} are not supported yet")
        service = builder(record)
        # Also one that was deleted, and whose name this one has now: it would keep its connections for ever.
        self._retire_all(lambda record_id, other: record_id == record.id or other.name == service.name)
        self._built[record.id] = (record.version, service)
        return service

    def _retire_all(self, wanted: Callable[[int, Service], bool]) -> None:
        for record_id, (_, service) in list(self._built.items()):
            if wanted(record_id, service):
                del self._built[record_id]
                task = asyncio.get_running_loop().create_task(self._retire(service))
                self._retiring[task] = service
                task.add_done_callback(lambda done: self._retiring.pop(done, None))

    @staticmethod
    async def _retire(service: Service) -> None:
        """Close a service that was replaced, once the calls that still hold it must be through."""
        await asyncio.sleep(GRACE)
        await service.close()

    async def flush(self, name: str | None) -> None:
        """Have the service of that name forget the answers it keeps; None: all of them."""
        for _, service in self._built.values():
            if name is None or service.name == name:
                service.flush()

    async def close(self) -> None:
        leaving = dict(self._retiring)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        for service in (*leaving.values(), *(service for _, service in self._built.values())):
            await service.close()
        self._built.clear()
