"""What a caller could do with paths that have templates, such as ``_table/{table_name}``: what a document shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from reverie.auth.access import EXCEPTIONS, allows, anything, is_one_job
from reverie.model import Caller, Requestor, Role, Verb

_TEMPLATE: Final = re.compile(r"\{[^{}/]+\}")


def could(caller: Caller, service: str, component: str, method: str, requestor: Requestor) -> bool:
    """Whether *caller* may use *method* on at least one component that *component* stands for.

    Templates in it stand for any one segment. Without templates this is the decision of the gate.
    """
    if caller.is_admin:
        return True
    verb = Verb[method.upper()]
    if EXCEPTIONS.get((service, component.lower()), 0) & verb:
        return True
    role = caller.role
    if role is None or not role.is_active:
        return False
    if is_one_job(service, component, verb):
        return True
    if verb == Verb.GET and component == "_schema" and anything(role, service, verb, requestor):
        return True
    return any(allows(role, service, one, verb, requestor) for one in _candidates(role, service, component))


def _candidates(role: Role, service: str, component: str) -> Iterator[str]:
    """*component* itself, which no row names, and with the names that the role's rows have in its templates' places."""
    yield component
    if "{" not in component:
        return
    segments = component.split("/")
    for row in role.access:
        if row.service is None or row.service.lower() != service:
            continue
        named = row.component.removesuffix("*").strip("/").split("/")
        if named != [""] and (filled := _filled(segments, named)):
            yield filled


def _filled(segments: list[str], named: list[str]) -> str:
    """*segments* with *named* in front, as far as it fits; ``""`` when it does not."""
    if len(named) > len(segments):
        return ""
    for segment, name in zip(segments, named, strict=False):
        if not _TEMPLATE.fullmatch(segment) and segment.lower() != name.lower():
            return ""
    return "/".join(named + segments[len(named) :])
