"""The catalogue of a database, cached. Absence is never decided from the cache: look again first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from reverie.database import Database, DatabaseBusy, DatabaseError
from reverie.errors import NotFound, ReverieError
from reverie.services.sql.batch import refused
from reverie.services.sql.catalogue import Catalogue, Table
from reverie.services.sql.dialect import Dialect
from reverie.services.sql.extras import Extras, laid_over
from reverie.store.records import ExtraRecord

LOOK_EVERY = 0.02
"""Seconds between two looks at the schema's version: changes made by other programs are seen after that long."""
SHARE_OF_LOOKING = 0.05
"""Part of the time that may go into looking: where a look takes long, there are fewer."""


class Reflector:
    """Keeps the catalogue, with what is kept beside the database laid over, until either changes."""

    def __init__(self, database: Database, dialect: Dialect, extras: Extras) -> None:
        self._database = database
        self._dialect = dialect
        self._extras = extras
        self._reflected: Catalogue | None = None
        self._laid: tuple[Catalogue, Sequence[ExtraRecord]] | None = None
        self._catalogue: Catalogue | None = None
        self._next_look = 0.0
        self._looking = 0
        self._forgets = 0
        self._remembered = 0

    async def catalogue(self) -> Catalogue:
        """What the database holds now, at most `LOOK_EVERY` old, or a little more where looking takes long.

        Raises:
            Unavailable: the database cannot be reached; says why where that is known.
        """
        if (known := self.recent()) is not None:
            return known
        self._looking += 1
        try:
            return await self._look(time.monotonic())
        finally:
            self._looking -= 1

    def recent(self) -> Catalogue | None:
        """What `catalogue` answers without a look; None where it would look."""
        # While somebody looks, what is known does for the others, unless it was forgotten since the last look.
        if time.monotonic() < self._next_look or (self._looking and self._remembered == self._forgets):
            return self._catalogue
        return None

    async def _look(self, now: float) -> Catalogue:
        known, reflected, forgets = self._catalogue, self._reflected, self._forgets
        try:
            if reflected is None or reflected.version != await self._database.read(self._dialect.version):
                reflected = self._reflected = await self._database.read(self._dialect.reflect, quick=False)
                now = time.monotonic()
        except DatabaseBusy as error:
            raise refused(error, "", reading=True) from error
        except DatabaseError as error:
            raise ReverieError("The database failed while its tables were looked up; the log says why.") from error
        extras = await self._extras.load()
        if known is None or self._laid is None or self._laid[0] is not reflected or self._laid[1] != extras:
            known = self._catalogue = laid_over(reflected, extras, self._dialect.name)
            self._laid = (reflected, extras)
        if forgets == self._forgets:
            # A look that takes long is rarer.
            self._next_look = now + max(LOOK_EVERY, (time.monotonic() - now) / SHARE_OF_LOOKING)
            self._remembered = forgets
        return known

    def forget(self) -> None:
        """The schema was changed, or something is missing from it: the next look is a fresh one."""
        self._next_look = 0.0
        self._forgets += 1

    def forget_all(self) -> None:
        """As `forget`, and read everything anew whatever the version says."""
        self._catalogue = self._reflected = None
        self._forgets += 1

    async def table(self, name: str) -> Table:
        """The table that the database knows under that name, in any case.

        Raises:
            NotFound: the database has none, now.
        """
        return await self._found(name, Catalogue.table)

    async def shown(self, name: str) -> Table:
        """The table of that name in paths of `_table`, in any case. Raises as `table`."""
        return await self._found(name, Catalogue.shown)

    async def _found(self, name: str, find: Callable[[Catalogue, str], Table | None]) -> Table:
        if found := find(await self.catalogue(), name):
            return found
        self.forget()
        if found := find(await self.catalogue(), name):
            return found
        raise NotFound(f'Table "{name}" does not exist in the database.')
