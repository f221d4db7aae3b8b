"""What every request needs of the settings, kept in memory, of one settings version.

Presence is remembered, absence never: whoever is not found here is looked for in the store, each time. The exceptions
are what is loaded whole: the names of active event scripts, the map of those that are watched, what is kept beside a
database, and the lookups of one caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reverie.model import Role
from reverie.store.apps import app_by_key
from reverie.store.captures import Watch, watches
from reverie.store.extras import extras_of
from reverie.store.lookups import Lookups, lookups_for
from reverie.store.records import AppRecord, EventScriptRecord, ExtraRecord, ServiceRecord, UserRecord
from reverie.store.roles import role_by_id
from reverie.store.scripts import active_script_names, event_script_by_name, languages_in_use
from reverie.store.services import all_services, service_by_id, service_by_name
from reverie.store.store import Store
from reverie.store.users import user_by_email, user_by_id


@dataclass(slots=True)
class _Known:
    """Replaced as a whole when the version moves, so that a look-up under way cannot leave something old behind."""

    apps: dict[str, AppRecord] = field(default_factory=dict)
    roles: dict[int, Role] = field(default_factory=dict)
    users: dict[int, UserRecord] = field(default_factory=dict)
    emails: dict[str, UserRecord] = field(default_factory=dict)
    services: dict[str, ServiceRecord] = field(default_factory=dict)
    services_by_id: dict[int, ServiceRecord] = field(default_factory=dict)
    all_services: Sequence[ServiceRecord] | None = None
    scripts: dict[str, EventScriptRecord] = field(default_factory=dict)
    active_scripts: frozenset[str] | None = None
    names_on_their_way: asyncio.Future[frozenset[str]] | None = None
    watches: Mapping[str, Watch] | None = None
    extras: dict[int, Sequence[ExtraRecord]] = field(default_factory=dict)
    lookups: dict[tuple[int | None, int | None, int | None], Lookups] = field(default_factory=dict)


class Memory:
    """Call `fresh` once for each request; the rest answers from the version that it saw.

    Args:
        look_every: seconds for which a look at the changes of other processes holds; our own are seen at once.
    """

    def __init__(self, store: Store, *, look_every: float = 0.0) -> None:
        self.store = store
        self._look_every = look_every
        self._look_at = float("-inf")
        self._known = _Known()
        self._version = -1
        self._seen: tuple[int, int] | None = None

    async def fresh(self, at_least: int = 0) -> int:
        """Notice what anybody changed, in whatever process; the settings version.

        Costs a cheap look; a read only after somebody committed something; everything is forgotten only when settings
        changed.

        Args:
            at_least: a version that is known to exist; whoever knows less looks now.

        Raises:
            StoreUnavailable
        """
        store = self.store
        now = store.clock.monotonic()
        if now < self._look_at and self._version >= at_least and self._seen and self._seen[1] == store.moved:
            return self._version
        self._look_at = now + self._look_every
        seen = (store.database.changes(), store.moved)
        if seen != self._seen:
            version = await store.version()
            if version != self._version:
                self._known = _Known()
                self._version = version
            # The numbers were taken before the read: what came in between is seen by the next call.
            self._seen = seen
        return self._version

    async def app_by_key(self, key: str) -> AppRecord | None:
        known = self._known.apps
        found = known.get(key)
        if found is None and (found := await app_by_key(self.store, key)) is not None:
            known[key] = found
        return found

    async def role(self, role_id: int) -> Role | None:
        """With its access rows: service names in lower case, components without outer slashes."""
        known = self._known.roles
        found = known.get(role_id)
        if found is None and (found := await role_by_id(self.store, role_id)) is not None:
            known[role_id] = found
        return found

    async def user(self, user_id: int) -> UserRecord | None:
        known = self._known.users
        found = known.get(user_id)
        if found is None and (found := await user_by_id(self.store, user_id)) is not None:
            known[user_id] = found
        return found

    async def user_by_email(self, email: str) -> UserRecord | None:
        known = self._known.emails
        email = email.strip().lower()
        found = known.get(email)
        if found is None and (found := await user_by_email(self.store, email)) is not None:
            known[email] = found
        return found

    async def service(self, name: str) -> ServiceRecord | None:
        """The service of that name, active or not."""
        known = self._known
        found = known.services.get(name)
        if found is None and (found := await service_by_name(self.store, name)) is not None:
            known.services[found.name] = known.services_by_id[found.id] = found
        return found

    async def service_by_id(self, service_id: int) -> ServiceRecord | None:
        known = self._known
        found = known.services_by_id.get(service_id)
        if found is None and (found := await service_by_id(self.store, service_id)) is not None:
            known.services[found.name] = known.services_by_id[found.id] = found
        return found

    async def services(self) -> Sequence[ServiceRecord]:
        """All of them by name, also those that are not active."""
        known = self._known
        if known.all_services is None:
            known.all_services = await all_services(self.store)
        return known.all_services

    async def event_script(self, name: str) -> EventScriptRecord | None:
        """The script of that name in whatever case, active or not."""
        known = self._known.scripts
        name = name.lower()
        found = known.get(name)
        if found is None and (found := await event_script_by_name(self.store, name)) is not None:
            known[name] = found
        return found

    async def active_scripts(self) -> frozenset[str]:
        """The names of all active event scripts, in lower case; there may be thousands, so one call asks for all."""
        known = self._known
        found = known.active_scripts
        if found is None:
            if known.names_on_their_way is None or known.names_on_their_way.done():
                known.names_on_their_way = asyncio.ensure_future(active_script_names(self.store))
            found = await asyncio.shield(known.names_on_their_way)
            known.active_scripts = found
        return found

    async def languages(self) -> frozenset[str]:
        """What active scripts are written in, and the types of services besides. Asked seldom, so not remembered."""
        return await languages_in_use(self.store)

    async def watches(self) -> Mapping[str, Watch]:
        """The scripts whose events are kept, by key; also those whose time is over."""
        known = self._known
        if known.watches is None:
            known.watches = await watches(self.store)
        return known.watches

    def hangs_nothing(self) -> bool:
        """Whether it is known that there are neither active event scripts nor watches; False also for not known yet."""
        known = self._known
        return known.active_scripts == frozenset() and known.watches == {}

    async def extras(self, service_id: int) -> Sequence[ExtraRecord]:
        """What is kept beside the database of a service."""
        known = self._known.extras
        found = known.get(service_id)
        if found is None:
            found = known[service_id] = await extras_of(self.store, service_id)
        return found

    async def lookups(self, user_id: int | None, role_id: int | None, app_id: int | None) -> Lookups:
        """Public and private lookups in force: user over role over app over instance."""
        known = self._known.lookups
        key = (user_id, role_id, app_id)
        found = known.get(key)
        if found is None:
            found = known[key] = await lookups_for(self.store, user_id, role_id, app_id)
        return found
