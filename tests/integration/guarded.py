"""Roles with row filters, the ways to reach a row, and what the contract says comes of each: data, and no rule of it.

Of four notes two are `mine` and two are not; so it is with boxes, marks, and the ties between notes and marks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from reverie.model import JSON, Access

GET, POST, PUT, PATCH, DELETE, ALL = 1, 2, 4, 8, 16, 31
API, SCRIPT, BOTH = 1, 2, 3

Sees = Literal["all", "mine", "nothing", "broken", "denied"]
"""Of the notes: each row, those of the filter, none of them, an error since the filter makes no sense, or a refusal."""

MINE: Final[JSON] = [{"name": "owner", "operator": "=", "value": "me"}]
TABLES: Final = ("box", "note", "mark", "tie")
_OWNER: Final[JSON] = {"name": "owner", "type": "string", "length": 20, "allow_null": True}
_TEXT: Final[JSON] = {"name": "text", "type": "string", "length": 60, "allow_null": True}


def _reference(name: str, table: str) -> JSON:
    return {"name": name, "type": "reference", "ref_table": table, "ref_field": "id", "allow_null": True}


SCHEMA: Final[JSON] = [
    {"name": "box", "field": [{"name": "id", "type": "id"}, _OWNER, _TEXT]},
    {"name": "note", "field": [{"name": "id", "type": "id"}, _OWNER, _TEXT, _reference("box_id", "box")]},
    {"name": "mark", "field": [{"name": "id", "type": "id"}, _OWNER, _TEXT]},
    {
        "name": "tie",
        "field": [{"name": "id", "type": "id"}, _OWNER, _reference("note_id", "note"), _reference("mark_id", "mark")],
    },
]
ROWS: Final[Mapping[str, list[dict[str, JSON]]]] = {
    "box": [{"id": 1, "owner": "me", "text": "b1"}, {"id": 2, "owner": "me", "text": "b2"}],
    "note": [
        {"id": 1, "owner": "me", "text": "n1", "box_id": 1}, {"id": 2, "owner": "me", "text": "n2", "box_id": 2},
        {"id": 3, "owner": "them", "text": "HIDDEN 3", "box_id": 1},
        {"id": 4, "owner": "them", "text": "HIDDEN 4", "box_id": 2},
    ],
    "mark": [{"id": 1, "owner": "me", "text": "m1"}, {"id": 2, "owner": "me", "text": "m2"}],
    "tie": [
        {"id": 1, "owner": "me", "note_id": 1, "mark_id": 1}, {"id": 2, "owner": "me", "note_id": 3, "mark_id": 1},
        {"id": 3, "owner": "me", "note_id": 4, "mark_id": 2},
    ],
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A role.

    Attributes:
        sees: what it may reach of the notes, by masks of requestors and verbs, or of all alike.
        otherwise: the status of routes that its filter treats in another way than most do.
    """

    name: str
    rows: tuple[Access, ...]
    sees: Sees | Mapping[tuple[int, int], Sees]
    otherwise: Mapping[str, int] = field(default_factory=dict)

    def of(self, requestor: int, verb: int) -> Sees:
        if isinstance(self.sees, str):
            return self.sees
        [found] = [sees for (who, verbs), sees in self.sees.items() if who & requestor and verbs & verb]
        return found


def _row(component: str, verbs: int = ALL, filters: JSON = None, *, who: int = BOTH, joined: str = "AND") -> Access:
    listed = tuple(one for one in filters if isinstance(one, dict)) if isinstance(filters, list) else ()
    return Access(
        id=0, role_id=1, service_id=1, service="db", component=component, verb_mask=verbs, requestor_mask=who,
        filters=listed, filter_op=joined,
    )  # fmt: skip


def _filter(name: str, operator: str, value: JSON = None) -> list[JSON]:
    return [{"name": name, "operator": operator, "value": value}]


_OTHERS: Final = tuple(_row(f"_table/{name}/*") for name in ("box", "mark", "tie"))
_EVERY_SERVICE: Final = Access(
    id=0, role_id=1, service_id=None, service=None, component="*", verb_mask=ALL, requestor_mask=BOTH,
    filters=({"name": "owner", "operator": "=", "value": "me"},),
)  # fmt: skip

SHAPES: Final = (
    Shape(name="wildcard", rows=(_row("_table/note/*", ALL, MINE), *_OTHERS), sees="mine"),
    Shape(name="wildcard beside a wider one", rows=(_row("_table/note/*", ALL, MINE), _row("_table/*")), sees="mine"),
    Shape(name="service", rows=(_row("*", ALL, MINE),), sees="mine"),
    Shape(name="exact over a wildcard", rows=(_row("_table/note", ALL, MINE), _row("_table/*")), sees="mine"),
    Shape(name="exact over the service", rows=(_row("_table/NOTE/", ALL, MINE), _row("*")), sees="mine"),
    Shape(name="several", rows=(_row("_table/note/*", ALL, MINE), _row("_table/note/*", ALL, _filter("id", "<", 99)),
                                *_OTHERS), sees="mine"),
    Shape(name="two that leave nothing", rows=(_row("_table/note/*", ALL, MINE),
                                               _row("_table/note/*", ALL, _filter("owner", "=", "them")), *_OTHERS),
          sees="nothing"),
    Shape(name="or", rows=(_row("_table/note/*", ALL, [*_filter("owner", "=", "me"), *_filter("id", "=", 2)],
                                joined="or"), *_OTHERS), sees="mine"),
    Shape(name="and", rows=(_row("_table/note/*", ALL, [*_filter("owner", "=", "me"), *_filter("owner", "!=", "x")]),
                            *_OTHERS), sees="mine"),
    Shape(name="a lookup", rows=(_row("_table/note/*", ALL, _filter("OWNER", "=", "{who}")), *_OTHERS), sees="mine"),
    Shape(name="a list", rows=(_row("_table/note/*", ALL, _filter("owner", "in", ["me"])), *_OTHERS), sees="mine"),
    Shape(name="a list as text", rows=(_row("_table/note/*", ALL, _filter("owner", "IN", "('me', 'x')")), *_OTHERS),
          sees="mine"),
    Shape(name="an empty list", rows=(_row("_table/note/*", ALL, _filter("owner", "IN", [])), *_OTHERS),
          sees="nothing"),
    Shape(name="a pattern", rows=(_row("_table/note/*", ALL, _filter("owner", "starts with", "m")), *_OTHERS),
          sees="mine"),
    Shape(name="not null", rows=(_row("_table/note/*", ALL, _filter("owner", "is not null")), *_OTHERS), sees="all",
          otherwise={"create for nobody": 400}),
    Shape(name="null", rows=(_row("_table/note/*", ALL, _filter("owner", "IS NULL")), *_OTHERS), sees="nothing",
          otherwise={"create for nobody": 200}),
    Shape(name="an unknown field", rows=(_row("_table/note/*", ALL, _filter("colour", "=", "me")), *_OTHERS),
          sees="broken"),
    Shape(name="an unknown operator", rows=(_row("_table/note/*", ALL, _filter("owner", "~", "me")), *_OTHERS),
          sees="broken"),
    Shape(name="for clients", rows=(_row("_table/note/*", ALL, MINE, who=API), _row("_table/note/*", who=SCRIPT),
                                    *_OTHERS), sees={(API, ALL): "mine", (SCRIPT, ALL): "all"}),
    Shape(name="for scripts", rows=(_row("_table/note/*", ALL, MINE, who=SCRIPT), *_OTHERS),
          sees={(API, ALL): "denied", (SCRIPT, ALL): "mine"}),
    Shape(name="reads", rows=(_row("_table/note/*", GET, MINE), _row("_table/note/*", ALL - GET), *_OTHERS),
          sees={(BOTH, GET): "mine", (BOTH, ALL - GET): "all"}),
    Shape(name="changes", rows=(_row("_table/note/*", GET), _row("_table/note/*", ALL - GET, MINE), *_OTHERS),
          sees={(BOTH, GET): "all", (BOTH, ALL - GET): "mine"}),
    Shape(name="only reads", rows=(_row("_table/note/*", GET, MINE), *_OTHERS),
          sees={(BOTH, GET): "mine", (BOTH, ALL - GET): "denied"}),
    Shape(name="no notes", rows=_OTHERS, sees="denied"),
    Shape(name="taken away", rows=(_row("_table/note", 0), _row("_table/note/*", 0), _row("*")), sees="denied"),
    Shape(name="every service", rows=(_EVERY_SERVICE,), sees="all"),
)  # fmt: skip
"""As data-plane 1.4 and 2.13 have it."""

FOR_SPEC: Final = _row("_spec", GET)

REFUSED: Final = frozenset({400, 403, 404, 409})


@dataclass(frozen=True, kw_only=True)
class Route:
    """One way to reach notes, with the verb that decides.

    Attributes:
        all, mine, nothing: the status, or all that it may be, and what is answered: None where nothing is compared.
            Without `nothing` it is as `mine`.
    """

    name: str
    verb: int
    method: str
    resource: str
    query: Mapping[str, JSON] = field(default_factory=dict)
    body: JSON = None
    all: tuple[int | frozenset[int], JSON] = (200, None)
    mine: tuple[int | frozenset[int], JSON] = (200, None)
    nothing: tuple[int | frozenset[int], JSON] | None = None

    def of(self, sees: Sees) -> tuple[int | frozenset[int], JSON]:
        if sees == "all":
            return self.all
        if sees == "mine":
            return self.mine
        return self.nothing if self.nothing is not None else self.mine


def _ids(*numbers: int) -> JSON:
    return {"resource": [{"id": number} for number in numbers]}


_PLAIN: Final[Mapping[str, JSON]] = {"fields": "id", "order": "id"}
_NONE: Final = _ids()

READS: Final = (
    Route(name="list", verb=GET, method="GET", resource="_table/note", query=_PLAIN,
          all=(200, _ids(1, 2, 3, 4)), mine=(200, _ids(1, 2)), nothing=(200, _NONE)),
    Route(name="a short page", verb=GET, method="GET", resource="_table/note", query={**_PLAIN, "limit": "9"},
          all=(200, _ids(1, 2, 3, 4)), mine=(200, _ids(1, 2)), nothing=(200, _NONE)),
    Route(name="a page further on", verb=GET, method="GET", resource="_table/note",
          query={**_PLAIN, "limit": "9", "offset": "2"},
          all=(200, _ids(3, 4)), mine=(200, _NONE), nothing=(200, _NONE)),
    Route(name="a page by cursor", verb=GET, method="GET", resource="_table/note",
          query={"fields": "id", "order": "text desc", "after": "", "limit": "9"},
          all=(200, _ids(2, 1, 4, 3)), mine=(200, _ids(2, 1)), nothing=(200, _NONE)),
    Route(name="a page that ends at a hidden one", verb=GET, method="GET", resource="_table/note",
          query={"fields": "id", "order": "id desc", "after": "", "limit": "2", "include_count": "true"},
          all=(200, None), mine=(200, {"resource": [{"id": 2}, {"id": 1}], "meta": {"count": 2}}),
          nothing=(200, {"resource": [], "meta": {"count": 0}})),
    Route(name="in capitals", verb=GET, method="GET", resource="_table/NOTE", query={**_PLAIN, "limit": "3"},
          all=(200, _ids(1, 2, 3)), mine=(200, _ids(1, 2)), nothing=(200, _NONE)),
    Route(name="by an id", verb=GET, method="GET", resource="_table/note/3", query={"fields": "id"},
          all=(200, {"id": 3}), mine=(404, None)),
    Route(name="by an id and more", verb=GET, method="GET", resource="_table/note/3/extra", query={"fields": "id"},
          all=(200, {"id": 3}), mine=(404, None)),
    Route(name="by an id of mine", verb=GET, method="GET", resource="_table/note/1", query={"fields": "id"},
          all=(200, {"id": 1}), mine=(200, {"id": 1}), nothing=(404, None)),
    Route(name="by another field", verb=GET, method="GET", resource="_table/note/them",
          query={"fields": "owner", "id_field": "owner"}, all=(200, {"owner": "them"}), mine=(404, None)),
    Route(name="by ids", verb=GET, method="GET", resource="_table/note", query={"ids": "1,3", "fields": "id"},
          all=(200, _ids(1, 3)), mine=(400, None)),
    Route(name="by ids that go on", verb=GET, method="GET", resource="_table/note",
          query={"ids": "3,1", "fields": "id", "continue": "true"}, all=(200, _ids(1, 3)), mine=(400, None)),
    Route(name="by records", verb=GET, method="GET", resource="_table/note", body={"resource": [{"id": 3}]},
          query={"fields": "id"}, all=(200, _ids(3)), mine=(400, None)),
    Route(name="by filter", verb=GET, method="GET", resource="_table/note",
          query={**_PLAIN, "filter": "owner = 'them'"}, all=(200, _ids(3, 4)), mine=(200, _NONE), nothing=(200, _NONE)),
    Route(name="by a filter with or", verb=GET, method="GET", resource="_table/note",
          query={**_PLAIN, "filter": "(id = 1) or (id > 0)"},
          all=(200, _ids(1, 2, 3, 4)), mine=(200, _ids(1, 2)), nothing=(200, _NONE)),
    Route(name="by a filter with not", verb=GET, method="GET", resource="_table/note",
          query={**_PLAIN, "filter": "not (owner = 'me')"}, all=(200, _ids(3, 4)), mine=(200, _NONE),
          nothing=(200, _NONE)),
    Route(name="by a filter that quotes", verb=GET, method="GET", resource="_table/note",
          query={**_PLAIN, "filter": "id = 1) or (1 = 1"}, all=(400, None), mine=(400, None)),
    Route(name="count", verb=GET, method="GET", resource="_table/note", query={"count_only": "true"},
          all=(200, 4), mine=(200, 2), nothing=(200, 0)),
    Route(name="count beside", verb=GET, method="GET", resource="_table/note",
          query={**_PLAIN, "limit": "1", "include_count": "true"},
          all=(200, {"resource": [{"id": 1}], "meta": {"count": 4, "next": 1}}),
          mine=(200, {"resource": [{"id": 1}], "meta": {"count": 2, "next": 1}}),
          nothing=(200, {"resource": [], "meta": {"count": 0}})),
    Route(name="group", verb=GET, method="GET", resource="_table/note",
          query={"fields": "owner,COUNT(*),MAX(id)", "group": "owner", "order": "owner"},
          all=(200, {"resource": [{"owner": "me", "COUNT_ALL": 2, "MAX_id": 2},
                                  {"owner": "them", "COUNT_ALL": 2, "MAX_id": 4}]}),
          mine=(200, {"resource": [{"owner": "me", "COUNT_ALL": 2, "MAX_id": 2}]}), nothing=(200, _NONE)),
    Route(name="as a list", verb=GET, method="GET", resource="_table/note",
          query={"as_list": "true", "id_field": "text", "order": "id"},
          all=(200, {"resource": ["n1", "n2", "HIDDEN 3", "HIDDEN 4"]}), mine=(200, {"resource": ["n1", "n2"]}),
          nothing=(200, _NONE)),
    Route(name="notes of a box", verb=GET, method="GET", resource="_table/box/1",
          query={"fields": "id", "related": "note_by_box_id", "note_by_box_id.fields": "id",
                 "note_by_box_id.order": "id"},
          all=(200, {"id": 1, "note_by_box_id": [{"id": 1}, {"id": 3}]}),
          mine=(200, {"id": 1, "note_by_box_id": [{"id": 1}]}), nothing=(200, {"id": 1, "note_by_box_id": []})),
    Route(name="notes of all boxes", verb=GET, method="GET", resource="_table/box",
          query={**_PLAIN, "related": "*", "note_by_box_id_fields": "id", "note_by_box_id_order": "id"},
          all=(200, {"resource": [{"id": 1, "note_by_box_id": [{"id": 1}, {"id": 3}]},
                                  {"id": 2, "note_by_box_id": [{"id": 2}, {"id": 4}]}]}),
          mine=(200, {"resource": [{"id": 1, "note_by_box_id": [{"id": 1}]},
                                   {"id": 2, "note_by_box_id": [{"id": 2}]}]}),
          nothing=(200, {"resource": [{"id": 1, "note_by_box_id": []}, {"id": 2, "note_by_box_id": []}]})),
    Route(name="the note of a tie", verb=GET, method="GET", resource="_table/tie/2",
          query={"fields": "id", "related": "note_by_note_id", "note_by_note_id.fields": "id"},
          all=(200, {"id": 2, "note_id": 3, "note_by_note_id": {"id": 3}}),
          mine=(200, {"id": 2, "note_id": 3, "note_by_note_id": None})),
    Route(name="notes over ties", verb=GET, method="GET", resource="_table/mark/1",
          query={"fields": "id", "related": "note_by_tie", "note_by_tie.fields": "id", "note_by_tie.order": "id"},
          all=(200, {"id": 1, "note_by_tie": [{"id": 1}, {"id": 3}]}),
          mine=(200, {"id": 1, "note_by_tie": [{"id": 1}]}),
          nothing=(200, {"id": 1, "note_by_tie": []})),
)  # fmt: skip

_BATCH: Final = frozenset({400})
_CHANGED: Final[JSON] = {"text": "changed"}


def _with(record: JSON, *, wrapped: bool = True) -> JSON:
    return {"resource": [record]} if wrapped else record


_MINE_TOO: Final[list[JSON]] = [{"owner": "me", "text": "x"}] * 24
_MANY: Final[JSON] = {"resource": [*_MINE_TOO, {"owner": "them", "text": "x"}]}
"""So many that they are stored at once where that goes well."""

CHANGES: Final = (
    *(
        Route(name=f"{name} by id", verb=verb, method=name, resource="_table/note/3", body=_CHANGED,
              all=(200, {"id": 3}), mine=(404, None))
        for name, verb in (("PATCH", PATCH), ("PUT", PUT))
    ),
    Route(name="change by ids", verb=PATCH, method="PATCH", resource="_table/note", query={"ids": "1,3"},
          body=_with(_CHANGED), all=(200, _ids(1, 3)), mine=(_BATCH, None)),
    Route(name="change by records", verb=PATCH, method="PATCH", resource="_table/note", query={"continue": "true"},
          body=_with({"id": 3, "text": "changed"}), all=(200, _ids(3)), mine=(_BATCH, None)),
    Route(name="change by filter", verb=PATCH, method="PATCH", resource="_table/note",
          query={**_PLAIN, "filter": "id > 2"}, body=_with(_CHANGED), all=(200, _ids(3, 4)), mine=(200, _NONE)),
    Route(name="change all", verb=PUT, method="PUT", resource="_table/note", query={**_PLAIN, "filter": "id > 0"},
          body=_with(_CHANGED), all=(200, _ids(1, 2, 3, 4)), mine=(200, _ids(1, 2)), nothing=(200, _NONE)),
    Route(name="give away", verb=PATCH, method="PATCH", resource="_table/note/1", body={"owner": "them"},
          all=(200, {"id": 1}), mine=(403, None), nothing=(404, None)),
    Route(name="give away by filter", verb=PATCH, method="PATCH", resource="_table/note", query={"filter": "id=1"},
          body=_with({"owner": "them"}), all=(200, None), mine=(403, None), nothing=(200, _NONE)),
    Route(name="look by changing", verb=PATCH, method="PATCH", resource="_table/note/3", query={"fields": "*"},
          body={"colour": "x"}, all=(200, ROWS["note"][2]), mine=(404, None)),
    Route(name="create for others", verb=POST, method="POST", resource="_table/note",
          body=_with({"owner": "them", "text": "x"}), all=(200, None), mine=(_BATCH, None)),
    Route(name="create for nobody", verb=POST, method="POST", resource="_table/note",
          body=_with({"text": "x"}), all=(200, None), mine=(_BATCH, None)),
    Route(name="create many, one for others", verb=POST, method="POST", resource="_table/note", body=_MANY,
          all=(200, None), mine=(_BATCH, None)),
    Route(name="create over another", verb=POST, method="POST", resource="_table/note",
          body=_with({"id": 3, "owner": "me", "text": "x"}), all=(_BATCH, None), mine=(_BATCH, None)),
    Route(name="delete by id", verb=DELETE, method="DELETE", resource="_table/note/3", query={"fields": "*"},
          all=(409, None), mine=(404, None)),
    Route(name="delete by ids", verb=DELETE, method="DELETE", resource="_table/note", query={"ids": "3", "fields": "*"},
          all=(_BATCH, None), mine=(_BATCH, None)),
    Route(name="delete by records", verb=DELETE, method="DELETE", resource="_table/note", body=_with({"id": 4}),
          all=(_BATCH, None), mine=(_BATCH, None)),
    Route(name="delete by filter", verb=DELETE, method="DELETE", resource="_table/note", query={"filter": "id > 2"},
          all=(409, None), mine=(200, _NONE)),
    Route(name="delete by a wide filter", verb=DELETE, method="DELETE", resource="_table/note",
          query={"filter": "(id = 2) or (id = 4)"}, all=(409, None), mine=(200, _ids(2)), nothing=(200, _NONE)),
    Route(name="delete all", verb=DELETE, method="DELETE", resource="_table/note", query={"force": "true"},
          all=(409, None), mine=(409, None), nothing=(200, {"success": True})),
)  # fmt: skip
"""On the notes themselves. Ties hold the notes 1, 3 and 4, so that deleting those is refused."""


def _nested(name: str, verb: int, resource: str, body: JSON, **query: JSON) -> Route:
    """Notes inside another record; a hidden one is refused in one of several ways."""
    return Route(name=name, verb=verb, method="PATCH", resource=resource, body=body, query=query, mine=(REFUSED, None))


NESTED: Final = (
    _nested("change in a box", PATCH, "_table/box/1", {"note_by_box_id": [{"id": 3, "text": "changed"}]}),
    _nested("take into a box", PATCH, "_table/box/2", {"note_by_box_id": [{"id": 3}]}),
    _nested("take out of a box", PATCH, "_table/box/1", {"note_by_box_id": [{"id": 3, "box_id": None}]}),
    _nested("change with a tie", PATCH, "_table/tie/2", {"note_by_note_id": {"id": 3, "text": "changed"}}),
    _nested("change over ties", PATCH, "_table/mark/1", {"note_by_tie": [{"id": 3, "text": "changed"}]}),
    _nested("create in a box", POST, "_table/box/1", {"note_by_box_id": [{"owner": "them", "text": "x"}]}),
    _nested("create over ties", POST, "_table/mark/1", {"note_by_tie": [{"owner": "them", "text": "x"}]}),
    _nested("create with a tie", POST, "_table/tie/1", {"note_by_note_id": {"owner": "them", "text": "x"}}),
    _nested("in a batch", PATCH, "_table/box",
            {"resource": [{"id": 1, "note_by_box_id": [{"id": 3, "text": "changed"}]}]}),
)  # fmt: skip
TIED: Final = _nested("tie a hidden one", GET, "_table/mark/2", {"note_by_tie": [{"id": 3}]})
"""Tying changes no note; that a hidden one is there is not to be told either."""
