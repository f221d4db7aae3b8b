"""What one request of a role may cost: the setting `limits` of a service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from reverie.errors import BadRequest
from reverie.model import JSON, Role

EVERY: Final = "*"
CONFIG_FIELD: Final[Mapping[str, JSON]] = {
    "name": "limits", "label": "Limits", "type": "object",
    "description": (
        'What a request of a role may cost, by the name of the role or "*" for all:'
        ' {"Guests": {"max_records": 100, "max_seconds": 2}}.'
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limit:
    """Records of one answer, and seconds of one read; None: as the service has it."""

    max_records: int | None = None
    max_seconds: float | None = None


_FREE: Final = Limit()


class Limits:
    """By role. Administrators have none.

    Args:
        setting: the setting as it is stored. One that makes no sense lets only administrators in, who can mend it.
    """

    def __init__(self, setting: JSON, service: str) -> None:
        self._mistake: BadRequest | None = None
        self._by_role: dict[str, Limit] = {}
        try:
            self._by_role = _read(setting, service)
        except BadRequest as error:
            self._mistake = error

    def of(self, role: Role | None) -> Limit:
        """What holds for a caller with that role: what is said of the role, else of all.

        Raises:
            BadRequest: the setting makes no sense; says where.
        """
        if role is None:
            return _FREE
        if self._mistake is not None:
            raise BadRequest(self._mistake.message)
        if not self._by_role:
            return _FREE
        every = self._by_role.get(EVERY, _FREE)
        own = self._by_role.get(role.name.strip().lower(), _FREE)
        return Limit(
            every.max_records if own.max_records is None else own.max_records,
            every.max_seconds if own.max_seconds is None else own.max_seconds,
        )

    def bind(self, role: Role | None) -> bool:
        """Whether anything is limited for that role. Raises as `of`."""
        return (bool(self._by_role) or self._mistake is not None) and self.of(role) != _FREE


def _read(setting: JSON, service: str) -> dict[str, Limit]:
    if setting in (None, "", {}, []):
        return {}
    if not isinstance(setting, dict):
        raise BadRequest(f"Service '{service}': the setting 'limits' must be a map of roles to limits.")
    return {name.strip().lower(): _limit(service, name, one) for name, one in setting.items()}


def _limit(service: str, name: str, one: JSON) -> Limit:
    what = f"Service '{service}': the setting 'limits' for '{name}'"
    if not isinstance(one, dict):
        raise BadRequest(f"{what} must be a map of max_records and max_seconds.")
    if unknown := sorted(one.keys() - {"max_records", "max_seconds"}):
        raise BadRequest(f"{what} knows max_records and max_seconds, not '{unknown[0]}'.")
    records, seconds = one.get("max_records"), one.get("max_seconds")
    if records is not None and (isinstance(records, bool) or not isinstance(records, int) or records < 1):
        raise BadRequest(f"{what}: max_records must be a whole number above 0.")
    if seconds is None:
        return Limit(records, None)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 3600:
        raise BadRequest(f"{what}: max_seconds must be a number above 0, and 3600 at most.")
    return Limit(records, float(seconds))
