"""A database as OpenAPI: its operations, with the names and columns of real tables where they are asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from reverie.model import JSON
from reverie.services.openapi import WORDS, Description, Detail, Operation, camel
from reverie.services.openapi_parts import a_list, an_object, in_resource, schema
from reverie.services.sql.catalogue import INTEGERS, NUMBERS, Catalogue, Column, Table
from reverie.services.sql.describe import describe_column
from reverie.services.sql.relations import relations

_VERBS: Final = tuple(WORDS)
_CHOICE: Final = ("fields", "related", "filter", "ids", "id_field")
_PAGE: Final = ("limit", "offset", "order", "group", "include_count", "include_schema", "count_only", "file")
_BATCH: Final = ("continue", "rollback")
_ONE: Final = ("fields", "related", "id_field")
_LISTED: Final = ("fields", "as_list", "refresh")
_MODEL: Final = (
    "name", "type", "db_type", "length", "required", "allow_null", "is_primary_key", "auto_increment", "ref_table",
    "ref_field",
)  # fmt: skip
"""What a model tells of a column."""
_DONE: Final = {"get": "Read", "post": "Create", "put": "Replace", "patch": "Change", "delete": "Delete"}


def describe(
    catalogue: Catalogue, detail: Detail, *, service: str, service_id: int, kinds: Sequence[str], read_only: bool
) -> Description:
    """What the service *service* over *catalogue* can do.

    Args:
        kinds: its resources, such as ``_table``.
        read_only: nothing can be changed.
    """
    visible = [table for table in _tables(catalogue) if _sees(detail, table.shown)]
    names = {table.name.lower() for table in visible}
    # Under its alias, where it has one: records are reached by that alone.
    seen = [replace(_cut(table, names), name=table.shown) for table in visible]
    chosen = [table for table in seen if not detail.only or table.name.lower() == detail.only.lower()]
    spell = camel(service)
    operations: list[Operation] = [] if detail.only else list(_roots(spell, kinds))
    schemas: dict[str, JSON] = {}
    if detail.names or detail.only:
        for table in chosen:
            operations += _of_table(spell, table, detail)
            schemas |= record_schemas(table) if detail.columns else {}
        operations += [one for table in _tables(catalogue) for one in _of_schema(spell, table, detail)]
    else:
        operations += _records(spell, "{table_name}", "", None)
        operations += _schemas(spell, "{table_name}", "{field_name}", "")
    if not detail.only:
        operations += _routines(spell, kinds)
    return Description(
        operations=_unlike(_spelled(one) for one in operations if one.verb == "get" or not read_only),
        schemas=schemas,
        resources={
            "type": "database",
            "tables": [table.name for table in chosen],
            "count": len(chosen),
            "note": "Tables that the caller's role allows anything with; each is at /_table/{name}.",
        },
        tables={table.name: _model(table) for table in chosen} if detail.columns else {},
        relationships=relationships(catalogue, chosen, detail, service_id),
    )


def _sees(detail: Detail, table: str) -> bool:
    return any(detail.may(f"_table/{table}", verb) for verb in _VERBS)


def _cut(table: Table, shown: Collection[str]) -> Table:
    """*table* without the names of tables that are not *shown*."""
    return replace(
        table,
        columns=tuple(
            column if (column.ref_table or "").lower() in shown else replace(column, ref_table=None, ref_field=None)
            for column in table.columns
        ),
    )


def _model(table: Table) -> dict[str, JSON]:
    columns: list[JSON] = [{name: describe_column(one)[name] for name in _MODEL} for one in table.columns]
    return {"is_view": table.is_view, "primary_key": list(table.primary_key), "columns": columns}


def relationships(catalogue: Catalogue, tables: Sequence[Table], detail: Detail, service_id: int) -> dict[str, JSON]:
    """By table, the relationships of which the caller may read both sides."""
    found: dict[str, JSON] = {}
    for table in tables:
        if not detail.may(f"_table/{table.name}", "get"):
            continue
        entries: list[JSON] = [
            {name: one[name] for name in ("name", "type", "field", "ref_table", "ref_field")}
            for one in relations(catalogue, catalogue.shown(table.name) or table, service_id).values()
            if all(
                detail.may(f"_table/{other.shown}", "get")
                for name in ("ref_table", "junction_table")
                if (other := catalogue.table(str(one[name] or "")))
            )
        ]
        if entries:
            found[table.name] = entries
    return found


def _tables(catalogue: Catalogue) -> Iterator[Table]:
    # A name with one of these cannot stand in a path: it would be taken for a template, or for two segments.
    return (table for name in catalogue.names() if not set(name) & set("{}/") and (table := catalogue.table(name)))


def _unlike(operations: Iterable[Operation]) -> list[Operation]:
    """*operations* with ids that differ: names of two tables may spell the same."""
    known: dict[str, Operation] = {}
    for one in operations:
        name, number = one.id, 1
        while name in known:
            number += 1
            name = f"{one.id}{number}"
        known[name] = replace(one, id=name)
    return list(known.values())


# -- operations


def _roots(spell: str, kinds: Sequence[str]) -> Iterator[Operation]:
    yield Operation(
        path="/", verb="get", id=f"get{spell}Resources", summary="List what there is.", answer="ResourceList",
        parameters=("as_list", "as_access_list"),
    )  # fmt: skip
    if "_schema" in kinds:
        yield Operation(
            path="/_schema", verb="get", id=f"get{spell}Schemas", summary="List the tables.", parameters=_LISTED,
            answer="ResourceList",
        )  # fmt: skip
        for verb in _VERBS[1:]:
            yield Operation(
                path="/_schema", verb=verb, id=f"{WORDS[verb]}{spell}Schemas", summary=f"{_DONE[verb]} tables.",
                body=None if verb == "delete" else schema("TableSchemas"), answer="ResourceList",
                parameters=("ids",) if verb == "delete" else (),
            )  # fmt: skip
    if "_table" in kinds:
        yield Operation(
            path="/_table", verb="get", id=f"get{spell}Tables", summary="List the tables.", parameters=_LISTED,
            answer="ResourceList",
        )  # fmt: skip


def _of_table(spell: str, table: Table, detail: Detail) -> Iterator[Operation]:
    name = camel(table.name)
    own = record_names(table) if detail.columns else None
    for one in _records(spell, table.name, name, own):
        if one.verb == "get" or not table.is_view:
            yield one


def _of_schema(spell: str, table: Table, detail: Detail) -> Iterator[Operation]:
    if detail.only and table.name.lower() != detail.only.lower():
        return
    name = camel(table.name)
    known = dict.fromkeys(column.real_name for column in table.columns)
    for one in _schemas(spell, table.name, "{field_name}", name):
        # With columns in the schemas a path for each would say nothing new, forty times a table.
        if detail.columns or "{field_name}" not in one.path:
            yield one
            continue
        for column in known:
            if "/" not in column:
                yield _named(one, column)


def _named(one: Operation, column: str) -> Operation:
    return replace(one, path=one.path.replace("{field_name}", column), id=one.id + camel(column))


def _spelled(one: Operation) -> Operation:
    """Names as a path holds them; a role names them as they are."""
    return replace(one, path=quote(one.path, safe="/{}"), component=one.path.strip("/"))


def _records(spell: str, table: str, suffix: str, own: tuple[str, str, str] | None) -> Iterator[Operation]:
    """`own` names the schemas of a record as it is read, created and changed."""
    several, one = f"/_table/{table}", f"/_table/{table}/{{id}}"
    read, create, change = own or ("RecordResponse", "RecordRequest", "RecordRequest")
    answers = _answers(read) if own else schema("RecordsResponse")
    for verb in _VERBS:
        body: JSON = None
        if verb in ("post", "put", "patch"):
            body = _bodies(create if verb == "post" else change) if own else schema("RecordsRequest")
        parameters = ("fields", "related") if verb == "post" else _CHOICE
        parameters += _PAGE if verb == "get" else (*_BATCH, *(("force",) if verb == "delete" else ()))
        yield Operation(
            path=several, verb=verb, id=f"{WORDS[verb]}{spell}TableRecords{suffix}", summary=f"{_DONE[verb]} records.",
            parameters=parameters, body=body, answer=answers,
        )  # fmt: skip
    for verb in _VERBS:
        if verb != "post":
            yield Operation(
                path=one, verb=verb, id=f"{WORDS[verb]}{spell}TableRecord{suffix}",
                summary=f"{_DONE[verb]} one record.", parameters=_ONE,
                body=schema(change) if verb in ("put", "patch") else None, answer=schema(read),
            )  # fmt: skip


def _schemas(spell: str, table: str, field: str, suffix: str) -> Iterator[Operation]:
    place = f"/_schema/{table}"
    for verb in _VERBS:
        body = schema("TableSchema") if verb in ("post", "put", "patch") else None
        answer: JSON = schema("TableSchema") if verb == "get" else "Success" if verb == "delete" else "Anything"
        yield Operation(
            path=place, verb=verb, id=f"{WORDS[verb]}{spell}Schema{suffix}",
            summary=f"{_DONE[verb]} the table's schema.", body=body, answer=answer,
            parameters=("refresh",) if verb == "get" else (),
        )  # fmt: skip
    for verb in _VERBS:
        one = schema("FieldSchema") if verb in ("post", "put", "patch") else None
        several = schema("FieldSchemas") if verb in ("post", "put", "patch") else None
        done: JSON = "Success" if verb == "delete" else "Anything"
        yield Operation(
            path=f"{place}/_field", verb=verb, id=f"{WORDS[verb]}{spell}SchemaFields{suffix}",
            summary=f"{_DONE[verb]} fields.", body=several, answer=schema("FieldSchemas") if verb == "get" else done,
            parameters=("ids",) if verb in ("get", "delete") else (),
        )  # fmt: skip
        yield Operation(
            path=f"{place}/_field/{field}", verb=verb, id=f"{WORDS[verb]}{spell}SchemaField{suffix}",
            summary=f"{_DONE[verb]} one field.", body=one, answer=schema("FieldSchema") if verb == "get" else done,
        )  # fmt: skip
    yield Operation(
        path=f"{place}/_related", verb="get", id=f"get{spell}SchemaRelationships{suffix}",
        summary="List the relationships.", parameters=("ids",), answer=schema("RelationshipSchemas"),
    )  # fmt: skip
    yield Operation(
        path=f"{place}/_related/{{relationship_name}}", verb="get", id=f"get{spell}SchemaRelationship{suffix}",
        summary="Describe one relationship.", answer=schema("RelationshipSchema"),
    )  # fmt: skip


def _routines(spell: str, kinds: Sequence[str]) -> Iterator[Operation]:
    for kind, template, word in (("_proc", "procedure_name", "Procedure"), ("_func", "function_name", "Function")):
        if kind not in kinds:
            continue
        yield Operation(
            path=f"/{kind}", verb="get", id=f"get{spell}Stored{word}s", summary=f"List the stored {word.lower()}s.",
            parameters=_LISTED, answer="ResourceList",
        )  # fmt: skip
        for verb in ("get", "post"):
            yield Operation(
                path=f"/{kind}/{{{template}}}", verb=verb, summary=f"Call a stored {word.lower()}.",
                id=f"call{spell}Stored{word}{'' if verb == 'get' else 'WithPayload'}",
                body=schema("StoredRoutineRequest") if verb == "post" else None,
                answer=schema("StoredRoutineResponse"),
            )  # fmt: skip


# -- columns


def record_names(table: Table) -> tuple[str, str, str]:
    """Schemas of a record as it is read, created and changed. Names that differ in case only stay apart."""
    name = re.sub(r"[^A-Za-z0-9_-]", lambda found: f".{ord(found[0]):x}.", table.name)
    return f"{name}.record", f"{name}.create", f"{name}.change"


def record_schemas(table: Table) -> dict[str, JSON]:
    """The three schemas of a table's records, for OpenAPI 3.1.

    What is read may lack any column (`fields`), so only what is created has required ones.
    """
    read, create, change = record_names(table)
    wanted: list[JSON] = [column.name for column in table.columns if column.required]
    required: dict[str, JSON] = {"required": wanted} if wanted else {}
    return {
        read: an_object(_properties(table, lambda column: True, marked=True), description=f"A record of {table.name}."),
        create: an_object(
            _properties(table, lambda column: not _is_given(column)),
            description=f"A new record of {table.name}.",
            **required,
        ),
        change: an_object(
            _properties(table, lambda column: not column.generated),
            description=f"Values to change in a record of {table.name}; the key says in which one.",
        ),
    }


def _properties(table: Table, wanted: Callable[[Column], bool], *, marked: bool = False) -> dict[str, JSON]:
    return {
        column.name: value_schema(column, sent=not marked)
        | ({"readOnly": True} if marked and _is_given(column) else {})
        for column in table.columns
        if wanted(column)
    }


def _is_given(column: Column) -> bool:
    """Whether the database makes the value."""
    return column.auto_increment or column.generated


def value_schema(column: Column, *, sent: bool) -> dict[str, JSON]:
    """Values of a column on the wire, as OpenAPI 3.1 says it.

    Args:
        sent: to the database. What comes from it may be longer than the column says: SQLite does not look.
    """
    kind, more = _kind(column)
    if not sent:
        more.pop("maxLength", None)
    described: dict[str, JSON] = {"type": [kind, "null"] if column.allow_null and kind else kind} if kind else {}
    described |= more
    described["description"] = column.db_type + (
        f", refers to {column.ref_table}.{column.ref_field}" if column.ref_table else ""
    )
    if sent and isinstance(column.default, bool | int | float | str):
        described["default"] = column.default
    return described


def _kind(column: Column) -> tuple[str, dict[str, JSON]]:
    """Its JSON type, ``""`` for any; and what else is known of its values."""
    if column.type in INTEGERS:
        return "integer", {}
    if column.type in NUMBERS:
        return "number", {}
    if column.type == "boolean":
        return "boolean", {}
    if column.type == "binary":
        return "string", {"contentEncoding": "base64"}
    # What a database calls JSON or an array may come as any structure.
    if column.type in ("json", "jsonb", "array", "object"):
        return "", {}
    return "string", {"maxLength": column.length} if column.type == "string" and column.length else {}


def _answers(read: str) -> JSON:
    return {"anyOf": [in_resource(schema(read), meta=schema("Metadata")), {"type": "integer"}]}


def _bodies(record: str) -> JSON:
    one = schema(record)
    wrapped = an_object({"resource": a_list(one)}, required=["resource"])
    return {"anyOf": [wrapped, a_list(one), one]}
