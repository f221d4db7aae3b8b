"""Related records beside those that were read: one query for each relation, whatever the number of parents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from reverie.auth.access import allows, filters_for, record_filters
from reverie.database import Connection, Value
from reverie.errors import Forbidden, NotSupported
from reverie.model import JSON, Context, Role, Verb
from reverie.services.sql import plan
from reverie.services.sql.catalogue import Catalogue, Column, Table
from reverie.services.sql.execute import FREE, Cost, Executor, Record
from reverie.services.sql.filters import And, Filter, IsIn, Or, condition
from reverie.services.sql.options import Options, names, whole_number
from reverie.services.sql.reading import with_lookups
from reverie.services.sql.reflect import Reflector
from reverie.services.sql.relations import Relation, name_of
from reverie.services.sql.statements import Order, Select

AT_ONCE: Final = 4096
"""Parents in one query. What belongs to one parent always comes from one query, so their order holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One relation that was asked for.

    Attributes:
        table: the related one.
        columns: what is shown of it, as the catalogue spells it.
        limit: most related records over all parents.
    """

    relation: Relation
    table: Table
    columns: tuple[str, ...]
    order: tuple[Order, ...]
    limit: int

    @property
    def name(self) -> str:
        return name_of(self.relation)

    @property
    def field(self) -> str:
        """The field of the parent that the relation hangs on."""
        return str(self.relation["field"])

    @property
    def kind(self) -> str:
        return str(self.relation["type"])


def role_filter(
    service: str, table: Table, verb: Verb, context: Context, component: str | None = None
) -> Filter | None:
    """What the caller's role lets through, for *verb* on *table*; None for everything.

    An alias is a new name for roles too, but conditions on the old one keep hiding what they hid.

    Args:
        component: as the path names it, where it says more than the table.
    """
    role, requestor = context.caller.role, int(context.requestor)
    every = record_filters(role, service, table.shown, component or "", int(verb), requestor)
    if role is not None and table.shown != table.name and _names(role, service, f"_table/{table.name}"):
        every += filters_for(role, service, f"_table/{table.name}", int(verb), requestor)
    found: Filter | None = None
    for conditions, operator in every:
        parts = tuple(
            condition(str(one.get("name", "")), str(one.get("operator", "")), one.get("value")) for one in conditions
        )
        found = plan.both(found, Or(parts) if operator == "OR" else And(parts))
    return None if found is None else with_lookups(found, context.caller)


def _names(role: Role, service: str, component: str) -> bool:
    """Whether an entry of the role is for exactly that component."""
    rows = [row for row in role.access if (row.service or "").lower() == service]
    return any((row.component or "").lower().removesuffix("/*") == component.lower() for row in rows)


def must_allow(service: str, table: str, verb: Verb, context: Context) -> None:
    """Raises Forbidden unless the caller may use *verb* on a table that another one leads to."""
    role = context.caller.role
    if role is not None and not allows(role, service, f"_table/{table}", int(verb), int(context.requestor)):
        what = f"{verb.name} access to component '_table/{table}' of service '{service}'"
        raise Forbidden(f"{what} is not allowed by this user's role.")


def wishes(
    relations: Mapping[str, Relation],
    catalogue: Catalogue,
    options: Options,
    parameters: Mapping[str, JSON],
    most: int,
) -> list[Wish]:
    """What ``related=`` asks for, in the order of the relations; unknown names are ignored.

    Each relation has options of its own: ``{name}.fields``, ``.order`` and ``.limit``, also spelled ``{name}_fields``.

    Raises:
        UnknownField: a field or order that the related table does not have.
        NotSupported: a relation over several columns, or ``{name}.group``.
    """
    if options.group:
        return []
    wanted = {name.lower() for name in options.related}
    chosen = [
        relation
        for relation in relations.values()
        if "*" in wanted or relation["always_fetch"] or name_of(relation).lower() in wanted
    ]
    return [_wish(relation, catalogue, parameters, most) for relation in chosen]


def _wish(relation: Relation, catalogue: Catalogue, parameters: Mapping[str, JSON], most: int) -> Wish:
    name = name_of(relation)
    if "," in str(relation["field"]):
        raise NotSupported(f"The relation '{name}' hangs on several fields; reading it is not supported.")
    table = catalogue.table(str(relation["ref_table"]))
    if table is None:
        raise NotSupported(f"The relation '{name}' leads to a table that this service does not have.")

    def option(which: str) -> JSON:
        value = parameters.get(f"{name}.{which}")
        return parameters.get(f"{name}_{which}") if value is None else value

    if option("group"):
        raise NotSupported(f"Grouping related records ('{name}.group') is not supported.")
    fields = option("fields")
    order = option("order")
    limit = whole_number(option("limit")) or most
    return Wish(
        relation=relation,
        table=table,
        columns=plan.fields_of(table, names(f"{name}.fields", fields) or ("*",)),
        order=plan.order_of(table, order) if isinstance(order, str) else (),
        limit=min(limit, most),
    )


def with_keys(table: Table, options: Options, wished: Sequence[Wish], *, identifies: bool) -> Options:
    """The options with the fields that the relations hang on among those asked for, after the others.

    Args:
        identifies: without a wish for fields only the identity is answered, as after a write.
    """
    if not wished or (options.fields is None and not identifies):
        return options
    asked = plan.fields_of(table, options.fields or ())
    return replace(options, fields=tuple(dict.fromkeys((*asked, *(wish.field for wish in wished)))))


class RelatedReader:
    """Reads related records for one service."""

    def __init__(self, executor: Executor, reflector: Reflector, *, service: str) -> None:
        self._executor = executor
        self._reflector = reflector
        self._service = service

    async def attach(
        self, records: Sequence[Record], wished: Sequence[Wish], context: Context, cost: Cost = FREE
    ) -> None:
        """Put the related records into *records*, after their own fields.

        Raises:
            Forbidden: the role may not read the related table, or the one between.
        """
        for wish in wished:
            must_allow(self._service, wish.table.shown, Verb.GET, context)
            if wish.relation["junction_table"]:
                between = await self._reflector.table(str(wish.relation["junction_table"]))
                must_allow(self._service, between.shown, Verb.GET, context)
        for wish in wished:
            keys = list(dict.fromkeys(key for one in records if (key := _key(one[wish.field])) is not None))
            found: dict[JSON, list[Record]] = defaultdict(list)
            left = wish.limit
            for some in _parts(keys):
                if wish.kind == "many_many":
                    left -= await self._through(wish, some, left, context, cost, found)
                else:
                    left -= await self._direct(wish, some, left, context, cost, found)
            for record in records:
                record[wish.name] = _value(wish, found.get(_key(record[wish.field]), []))

    async def _direct(
        self, wish: Wish, keys: list[JSON], limit: int, context: Context, cost: Cost, found: dict[JSON, list[Record]]
    ) -> int:
        field = plan.column_of(wish.table, str(wish.relation["ref_field"]))
        records = await self._read(wish.table, field, keys, wish.columns, wish.order, limit, context, cost)
        for key, record in records:
            found[key].append(record)
        return len(records)

    async def _through(
        self, wish: Wish, keys: list[JSON], limit: int, context: Context, cost: Cost, found: dict[JSON, list[Record]]
    ) -> int:
        """Over the rows of the table between; a record that several of them lead to comes as often."""
        junction = await self._reflector.table(str(wish.relation["junction_table"]))
        near = plan.column_of(junction, str(wish.relation["junction_field"]))
        far = plan.column_of(junction, str(wish.relation["junction_ref_field"]))
        order = tuple(Order(name) for name in junction.primary_key)
        links = await self._read(junction, near, keys, (near.name, far.name), order, limit, context, cost)
        wanted = list(dict.fromkeys(key for _, link in links if (key := _key(link[far.name])) is not None))
        field = plan.column_of(wish.table, str(wish.relation["ref_field"]))
        records: dict[JSON, tuple[int, Record]] = {}
        for some in _parts(wanted):
            for key, record in await self._read(
                wish.table, field, some, wish.columns, wish.order, limit, context, cost
            ):
                records[key] = (len(records), record)
        ends = [(_key(link[near.name]), _key(link[far.name])) for _, link in links]
        reached = [(parent, records[key]) for parent, key in ends if key in records]
        if wish.order:
            reached.sort(key=lambda pair: pair[1][0])
        for parent, (_, record) in reached:
            found[parent].append(dict(record))
        return len(reached)

    async def _read(
        self,
        table: Table,
        field: Column,
        keys: list[JSON],
        columns: tuple[str, ...],
        order: tuple[Order, ...],
        limit: int,
        context: Context,
        cost: Cost,
    ) -> list[tuple[JSON, Record]]:
        """Rows whose *field* is one of *keys*, each under that key, as far as the role sees them."""
        if not keys or limit < 1:
            return []
        mine = role_filter(self._service, table, Verb.GET, context)
        where, values = plan.bind(table, plan.both(IsIn(field.name, tuple(keys)), mine))  # type: ignore[arg-type] # scalars all
        shown = columns if field.name in columns else (*columns, field.name)
        shape = Select(table=table.source, columns=shown, where=where, order=order, paged=True)

        async def work(connection: Connection) -> list[Record]:
            bound: list[Value] = [*values, limit, 0]
            rows = await self._executor.fetch(connection, shape, bound)
            return self._executor.row_maker(table, shown).records(rows)

        records = await self._executor.read(work, table.name, shape=shape, cost=cost)
        keyed = [(_key(record[field.name]), record) for record in records]
        if shown != columns:
            for record in records:
                del record[field.name]
        return keyed


def _key(value: JSON) -> JSON:
    """A value that two sides can be matched by; None for null, which matches nothing."""
    return value if isinstance(value, str | int | float) else None


def _parts(keys: Sequence[JSON]) -> Iterator[list[JSON]]:
    for start in range(0, len(keys), AT_ONCE):
        yield list(keys[start : start + AT_ONCE])


def _value(wish: Wish, found: list[Record]) -> JSON:
    if wish.kind == "belongs_to":
        return found[0] if found else None
    if wish.kind == "has_one" and found:
        return found[0]
    return list(found)
