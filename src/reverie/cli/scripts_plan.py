"""What a pull or a push would do: folder, instance, and what the instance had at the last pull or push."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from reverie.cli.scripts_folder import Kept
from reverie.cli.scripts_remote import There


class Do(StrEnum):
    """What one script needs; the value is the word for it."""

    CREATE = "new"
    CHANGE = "changed"
    DELETE = "deleted"
    CONFLICT = "conflict"
    LEAVE = "left alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One script that differs.

    Attributes:
        here, there: None where it is not.
        why: of a conflict, and of what is left alone.
    """

    do: Do
    key: str
    here: Kept | None = None
    there: There | None = None
    why: str = ""

    @property
    def name(self) -> str:
        one = self.here or (self.there.kept if self.there else None)
        return f"{one.kind}/{one.name}" if one else self.key


def push_plan(
    here: Mapping[str, Kept], there: Mapping[str, There], known: Mapping[str, str], *, prune: bool, force: bool
) -> Sequence[Step]:
    """What makes the instance as the folder is; what changed there since the last pull is a conflict unless *force*."""
    steps = []
    for key in sorted({*here, *there}):
        mine, its, base = here.get(key), there.get(key), known.get(key)
        if mine and its and mine.digest == its.kept.digest:
            continue
        do, why = _push(mine, its, base, prune=prune)
        if do is Do.CONFLICT and force:
            do, why = (Do.DELETE if mine is None else Do.CHANGE if its else Do.CREATE), ""
        steps.append(Step(do=do, key=key, here=mine, there=its, why=why))
    return steps


def _push(mine: Kept | None, its: There | None, base: str | None, *, prune: bool) -> tuple[Do, str]:
    if mine is None:
        if not prune:
            return Do.LEAVE, "only on the instance; --prune deletes it there"
        if base is None or its is None:
            return Do.CONFLICT, "is on the instance, and was never in this folder"
        if its.kept.digest != base:
            return Do.CONFLICT, "was changed on the instance since the last pull"
        return Do.DELETE, ""
    if its is None:
        if base is None:
            return Do.CREATE, ""
        return Do.CONFLICT, "was deleted on the instance since the last pull"
    if base is None:
        return Do.CONFLICT, "is on the instance already, and was never pulled"
    if its.kept.digest != base:
        return Do.CONFLICT, "was changed on the instance since the last pull"
    return Do.CHANGE, ""


def pull_plan(
    here: Mapping[str, Kept], there: Mapping[str, There], known: Mapping[str, str], *, prune: bool, force: bool
) -> Sequence[Step]:
    """What makes the folder as the instance is; what changed here since the last pull is a conflict unless *force*."""
    steps = []
    for key in sorted({*here, *there}):
        mine, its, base = here.get(key), there.get(key), known.get(key)
        if mine and its and mine.digest == its.kept.digest:
            continue
        do, why = _pull(mine, its, base, prune=prune)
        if do is Do.CONFLICT and force:
            do, why = (Do.DELETE if its is None else Do.CHANGE if mine else Do.CREATE), ""
        steps.append(Step(do=do, key=key, here=mine, there=its, why=why))
    return steps


def _pull(mine: Kept | None, its: There | None, base: str | None, *, prune: bool) -> tuple[Do, str]:
    if mine is None:
        return Do.CREATE, ""
    if its is None:
        if not prune:
            return Do.LEAVE, "only in this folder; --prune deletes here, a push creates there"
        return (Do.DELETE, "") if mine.digest == base else (Do.CONFLICT, "is not on the instance, and was changed here")
    if mine.digest == base:
        return Do.CHANGE, ""
    if its.kept.digest == base:
        return Do.LEAVE, "changed here only; a push takes it there"
    return Do.CONFLICT, "was changed here and on the instance"
