"""The service `user`: what belongs to whoever is logged in."""

from __future__ import annotations

from collections.abc import Sequence

from reverie.auth.gate import Auth
from reverie.auth.login import LoginBy
from reverie.errors import NotFound
from reverie.events.names import EventPath, Moment
from reverie.model import Context, Request, Response
from reverie.services.openapi import Description, Detail
from reverie.services.system.openapi import describe
from reverie.services.system.resource import Missing, Resource, flag, listed, unsupported_verb
from reverie.services.system.session import SessionDoor
from reverie.services.system.system import segments
from reverie.store.memory import Memory


class UserService:
    """`Service`: the session is there, the rest answers 501."""

    name = "user"

    def __init__(self, *, auth: Auth, memory: Memory, login_by: LoginBy = "email") -> None:
        self.resources: dict[str, Resource] = {
            "session": SessionDoor(auth, memory, admin=False, login_by=login_by),
            "custom": Missing("user/custom, values kept for a user"),
            "password": Missing("user/password, the change and reset of a password"),
            "profile": Missing("user/profile, the profile of whoever is logged in"),
            "register": Missing("user/register, open registration"),
        }

    async def handle(self, request: Request, context: Context) -> Response:
        path = segments(request)
        if path:
            resource = self.resources.get(path[0])
            if resource is None:
                raise NotFound(f"Resource '{path[0]}' not found for service 'user'.")
            return await resource.handle(request, context, path[1:])
        if request.method != "GET":
            raise unsupported_verb(request, self.name)
        if flag(request, "as_access_list"):
            return Response(content={"resource": list(await self.access_list())})
        return listed([{"name": name} for name in sorted(self.resources)], request)

    def moments(self, request: Request) -> Sequence[Moment]:
        path, verb = segments(request), request.method.lower()
        if not path or path[0] not in self.resources:
            return [Moment(f"user.{verb}", "/".join(path))]
        return [Moment(f"user.{path[0]}.{verb}", "/".join(path[1:]))]

    async def event_paths(self) -> Sequence[EventPath]:
        return [
            EventPath(name="user", verbs=("get",)),
            EventPath(name="user.session", verbs=("get", "post", "put", "delete")),
        ]

    async def access_list(self) -> Sequence[str]:
        components = ["", "*"]
        for name in sorted(self.resources):
            components += [f"{name}/", f"{name}/*"]
        return components

    async def describe(self, detail: Detail) -> Description:
        return describe(self.name, await self.event_paths(), {}, detail)

    def flush(self) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing is held open."""
