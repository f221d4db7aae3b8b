"""Whether a caller's role has conditions on records, or limits: a request of one that has none can go the quick way."""

from __future__ import annotations

from typing import Final

from reverie.auth.access import record_filters
from reverie.model import Context, Request, Role, Verb
from reverie.services.sql.limits import Limits

MOST_ROLES: Final = 1024


class Bounds:
    """Of one service's callers."""

    def __init__(self, service: str, limits: Limits) -> None:
        self._service = service
        self._limits = limits
        self._roles: dict[int, tuple[Role, bool]] = {}

    def hold(self, table: str, renamed: bool, request: Request, context: Context) -> bool:
        """Whether something is hidden from the caller of *request*, or limited for it.

        Args:
            table: as the path names it.
            renamed: it has another name in the database; conditions of roles may hang on either.

        Raises:
            BadRequest: the limits of the service make no sense.
        """
        role = context.caller.role
        if role is None or self._is_free(role):
            return False
        verb, requestor = int(Verb[request.method]), int(context.requestor)
        return (
            renamed
            or bool(record_filters(role, self._service, table, request.resource, verb, requestor))
            or self._limits.bind(role)
        )

    def _is_free(self, role: Role) -> bool:
        """Whether the role has no conditions and no limits anywhere. A role never changes: another takes its place."""
        known = self._roles.get(id(role))
        if known is None or known[0] is not role:
            if len(self._roles) >= MOST_ROLES:
                self._roles.clear()
            free = not any(row.filters for row in role.access) and not self._limits.bind(role)
            known = self._roles[id(role)] = (role, free)
        return known[1]
