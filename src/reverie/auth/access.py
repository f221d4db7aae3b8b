"""What a role allows: its rows against service, component, verb and requestor.

The most specific level that has a row decides, and the masks of its rows add up, so a closer row with fewer verbs takes
access away:

1. exact: the component itself (for a call on the service's root: the empty component)
2. wildcard: ``_table/todo/*`` covers ``_table/todo`` and everything below
3. service: ``*``
4. all services: a row without a service, with ``*`` (or empty, for the root)

Rows whose requestor bits do not overlap are not there. Case does not matter. Arguments in parentheses of ``_proc`` and
``_func`` are cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from reverie.model import JSON, Access, Requestor, Role, Verb

_ARGUMENTS: Final = re.compile(r"^((?:_proc|_func)/[^(]*)\(.*\)", re.DOTALL)
MOST_ROLES: Final = 1024
"""Roles, by service, whose rows are kept sorted."""
_ANY: Final = int(Verb.GET | Verb.POST | Verb.PUT | Verb.PATCH | Verb.DELETE)

EXCEPTIONS: Final[Mapping[tuple[str, str], int]] = {
    ("user", "session"): _ANY,
    ("user", "password"): int(Verb.POST),
    ("user", "register"): int(Verb.POST),
    ("user", "profile"): int(Verb.GET | Verb.POST | Verb.PUT | Verb.PATCH),
    ("system", "admin/session"): _ANY,
    ("system", "admin/password"): int(Verb.POST),
    ("system", "environment"): int(Verb.GET),
}
"""Calls that need no role: service and component, to verbs."""

OPEN: Final = "api_docs"
"""The service that anybody may read: it shows only what the caller can reach."""

_ONE_JOB: Final = re.compile(r"job/[^/]+(/result)?")

Filters = tuple[Sequence[Mapping[str, JSON]], str]
"""Conditions on records, and ``AND`` or ``OR`` between them."""


class _Rules(NamedTuple):
    """The rows of a role that concern one service and requestor, by level."""

    exact: dict[str, list[Access]]
    wildcards: list[tuple[str, Access]]
    service: list[Access]
    everything: list[Access]
    everything_root: list[Access]


_known: Final[dict[tuple[int, str, int], tuple[Role, _Rules]]] = {}
"""By the identity of a role: its rows never change, and comparing them all costs more than deciding."""


def _rules(role: Role, service: str, requestor: int) -> _Rules:
    known = _known.get((id(role), service, requestor))
    if known is not None and known[0] is role:
        return known[1]
    rules = _sorted(role, service, requestor)
    if len(_known) >= MOST_ROLES:
        _known.clear()
    _known[id(role), service, requestor] = (role, rules)
    return rules


def _sorted(role: Role, service: str, requestor: int) -> _Rules:
    rules = _Rules({}, [], [], [], [])
    for row in role.access:
        if not row.requestor_mask & requestor:
            continue
        component = row.component.strip("/").lower()
        if row.service is None:
            if component in ("", "*"):
                rules.everything_root.append(row)
            if component == "*":
                rules.everything.append(row)
        elif row.service.lower() != service:
            continue
        elif component == "*":
            rules.service.append(row)
        elif component.endswith("*"):
            rules.wildcards.append((component[:-1], row))
        else:
            rules.exact.setdefault(component, []).append(row)
    return rules


def _deciding(role: Role, service: str, component: str, requestor: int) -> Sequence[Access]:
    # Plain integers: the operators of flag types cost more than all the rest of this.
    rules = _rules(role, service, int(requestor))
    component = component.strip("/").lower()
    if "(" in component:
        component = _ARGUMENTS.sub(r"\1", component)
    if exact := rules.exact.get(component):
        return exact
    if component and rules.wildcards:
        below = component + "/"
        if found := [row for prefix, row in rules.wildcards if below.startswith(prefix)]:
            return found
    return rules.service or (rules.everything if component else rules.everything_root)


def is_one_job(service: str, component: str, verb: int) -> bool:
    """Whether this asks for one job by its id: whoever is known may, and the job decides who sees it."""
    return service == "system" and verb == Verb.GET and _ONE_JOB.fullmatch(component.lower()) is not None


def verbs(role: Role, service: str, component: str, requestor: int) -> int:
    """Mask of what *role* may do with *component* of *service*; the role's own activity is not looked at."""
    mask = 0
    for row in _deciding(role, service, component, requestor):
        mask |= row.verb_mask
    return mask


def allows(role: Role, service: str, component: str, verb: int, requestor: int) -> bool:
    """Whether *role* may use *verb* on *component* of *service* (a name in lower case)."""
    wanted = int(verb)
    for row in _deciding(role, service, component, requestor):  # noqa: SIM110 - on the path of every request
        if row.verb_mask & wanted:
            return True
    return False


def any_verb(role: Role | None, service: str, component: str, requestor: int) -> bool:
    """Whether a listing shows *component*: the role has some verb on it. Without a role everything is shown."""
    return role is None or bool(verbs(role, service, component, requestor) & _ANY)


def anything(role: Role, service: str, verb: int, requestor: int) -> bool:
    """Whether *role* has *verb* on anything at all in *service*."""
    rules = _rules(role, service, int(requestor))
    rows: Iterable[Access] = (
        *(row for rows in rules.exact.values() for row in rows),
        *(row for _, row in rules.wildcards),
        *rules.service,
        *rules.everything_root,
    )
    return any(row.verb_mask & verb for row in rows)


def filters_for(role: Role | None, service: str, component: str, verb: int, requestor: int) -> list[Filters]:
    """Conditions that records must meet for *verb*: every entry of the list must hold.

    Rows for all services have none. An administrator (no role) has none.
    """
    if role is None:
        return []
    return [
        (row.filters, "OR" if row.filter_op.strip().upper() == "OR" else "AND")
        for row in _deciding(role, service, component, requestor)
        if row.filters and row.service is not None and row.verb_mask & verb
    ]


def record_filters(
    role: Role | None, service: str, table: str, resource: str, verb: int, requestor: int
) -> list[Filters]:
    """As `filters_for` for records of ``_table/{table}`` that are asked for by *resource*, a path that may say more.

    What hides records of a table hides them by id as well, also where the path with the id has a row of its own.
    """
    found = filters_for(role, service, f"_table/{table}", verb, requestor)
    if role is not None and len(resource) > len(table) + 7:
        found += [one for one in filters_for(role, service, resource, verb, requestor) if one not in found]
    return found


def visible_services(role: Role, requestor: int = Requestor.API) -> set[str] | None:
    """Names of the services on which *role* has some verb somewhere; None means all of them."""
    if not role.is_active:
        return set()
    rows = [row for row in role.access if row.requestor_mask & requestor and row.verb_mask & _ANY]
    if any(row.service is None for row in rows):
        return None
    return {row.service.lower() for row in rows if row.service is not None}
