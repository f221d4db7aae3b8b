"""What the store hands out about the settings that every request needs: frozen, of one settings version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from reverie.model import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRecord:
    id: int
    name: str
    api_key: str
    is_active: bool
    role_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """A user or administrator; `password` is the argon2id hash, `roles` maps app id to role id."""

    id: int
    name: str
    username: str | None
    first_name: str | None
    last_name: str | None
    email: str
    password: str | None
    is_sys_admin: bool
    is_active: bool
    last_login_date: str | None
    ldap_username: str | None
    roles: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRecord:
    """A service as stored; `config` with its secrets opened, `doc` its description as a structure or None.

    Attributes:
        version: grows with every change; what was built from another version is stale.
    """

    id: int
    name: str
    label: str
    description: str | None
    is_active: bool
    type: str
    config: Mapping[str, JSON]
    mutable: bool
    deletable: bool
    version: int
    doc: Mapping[str, JSON] | None = None


ExtraKind: TypeAlias = Literal["table", "field", "relation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraRecord:
    """What is kept beside a database about a table, or one of its fields or relations.

    Attributes:
        table: in lower case, as the database names it; so is `name`, which is empty for the table itself.
        properties: those that were set, under the names of `_schema`.
    """

    table: str
    kind: ExtraKind
    name: str
    properties: Mapping[str, JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventScriptRecord:
    """An event script as stored.

    Attributes:
        linked: its ``storage_path``, where no service is named.
        config: decoded to a map, whichever way it was sent.
    """

    name: str
    type: str
    content: str
    linked: str
    config: Mapping[str, JSON]
    is_active: bool
    allow_event_modification: bool
    version: int
