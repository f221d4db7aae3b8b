"""Bodies of `_schema` → what is kept beside the database: checked here, so that what was kept can be used."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from reverie.errors import BadRequest, Conflict, NotFound, NotSupported
from reverie.model import JSON, is_true
from reverie.services.sql.catalogue import NUMBERS, TEXTS, TIMES, Catalogue, Column, Table
from reverie.services.sql.describe import describe_column, head
from reverie.services.sql.functions import parsed_uses
from reverie.services.sql.relations import Relation, name_of, relations
from reverie.services.sql.validation import picklist_of, rules_of
from reverie.store.records import ExtraRecord

OF_TABLE: Final = ("label", "plural", "alias", "description", "name_field")
OF_FIELD: Final = ("label", "alias", "description", "picklist", "validation", "client_info", "db_function")
OF_RELATION: Final = ("label", "alias", "description", "always_fetch", "flatten", "flatten_drop_prefix")
OF_VIRTUAL: Final = ("is_virtual", "is_aggregate")
LONGEST_TEXT: Final = 10_000
"""Characters of a label or description."""

KINDS: Final = NUMBERS | TIMES | TEXTS | {"integer", "bigint", "boolean"}
"""Types of virtual fields."""
_ALIAS: Final = re.compile(r"\w[\w -]{0,62}\w|\w")
_TYPES: Final = ("belongs_to", "has_one", "has_many", "many_many")


def of_table(catalogue: Catalogue, name: str, body: Mapping[str, JSON], known: Table | None) -> list[ExtraRecord]:
    """Changes of what is kept about a table itself; *known* is None for one that is about to be created.

    Raises:
        BadRequest: a property that makes no sense.
        Conflict: the alias is taken.
    """
    given = {key: body[key] for key in OF_TABLE if key in body}
    what = f"table '{name}'"
    changes: dict[str, JSON] = {key: _text(what, key, value) for key, value in given.items()}
    if alias := _alias(what, name, changes):
        others = [table for key, table in catalogue.tables.items() if key != name.lower()]
        if any(alias.lower() in (table.name.lower(), table.shown.lower()) for table in others):
            raise Conflict(f"The alias '{alias}' is the name of another table.")
    if known is not None:
        _changed(changes, {**head(known), "alias": known.extra.get("alias")})
        field = changes.get("name_field")
        if field and not known.real_column(str(field)) and not known.column(str(field)):
            raise BadRequest(f"Table '{name}' has no field '{field}' that could name its records.")
    return [ExtraRecord(table=name.lower(), kind="table", name="", properties=changes)] if changes else []


def of_fields(
    table: str, fields: Sequence[Mapping[str, JSON]], known: Table | None, database: str
) -> list[ExtraRecord]:
    """Changes of what is kept about fields, new ones or those of *known*.

    Args:
        database: its kind, which decides what functions there are.

    Raises:
        BadRequest: a property that makes no sense.
        Conflict: an alias is taken, or a virtual field has the name of a column.
        NotSupported: a virtual field over groups.
    """
    found = []
    new = {str(one.get("name", "")).strip().lower(): one for one in fields if not is_virtual(one)}

    def stored(name: str) -> str | None:
        there = known.stored_name(name) if known else None
        one = new.get(name.strip().lower())
        return there or (str(one["name"]).strip() if one is not None else None)

    taken = {column.real_name.lower(): column.name.lower() for column in known.columns} if known else {}
    for field in fields:
        name = str(field.get("name", "")).strip()
        column = known.real_column(name) if known else None
        changes = _of_field(name, field, column)
        _functions(name, field, column, changes, stored, database)
        shown = changes.get("alias", column.name if column and column.stored else None) or name
        taken[name.lower()] = str(shown).lower()
        if changes:
            found.append(ExtraRecord(table=table.lower(), kind="field", name=name.lower(), properties=changes))
    names = list(taken.values())
    related = known.related.values() if known else ()
    if twice := next((one for one in names if names.count(one) > 1), None):
        raise Conflict(f"Two fields of table '{table}' would be called '{twice}'.")
    if taken_by := next(
        (one for one in names if any(one == str(extra.get("alias") or "").lower() for extra in related)), None
    ):
        raise Conflict(f"A relationship of table '{table}' is called '{taken_by}' already.")
    return found


def _of_field(name: str, field: Mapping[str, JSON], column: Column | None) -> dict[str, JSON]:
    if is_true(field.get("is_aggregate")):
        raise NotSupported(f"Field '{name}': virtual fields over groups (is_aggregate) are not supported.")
    what = f"field '{name}'"
    changes: dict[str, JSON] = {
        key: _text(what, key, field[key]) for key in ("label", "alias", "description") if key in field
    }
    _alias(what, name, changes)
    if "picklist" in field:
        changes["picklist"] = picklist_of(name, field["picklist"])
    if "validation" in field:
        picklist = changes.get("picklist", column.extra.get("picklist") if column else None)
        rules_of(name, field["validation"], picklist)
        changes["validation"] = _as_lists(field["validation"]) or None
    if "client_info" in field:
        changes["client_info"] = field["client_info"] or None
    if column is not None:
        _changed(changes, describe_column(column))
    return changes


def _functions(
    name: str,
    field: Mapping[str, JSON],
    column: Column | None,
    changes: dict[str, JSON],
    stored: Callable[[str], str | None],
    database: str,
) -> None:
    """Put what was sent of functions, and what makes a field virtual, among *changes*."""
    virtual = is_virtual(field) or (column is not None and column.virtual)
    listed = field.get("db_function", column.extra.get("db_function") if column else None) or []
    if not isinstance(listed, list):
        raise BadRequest(f"Field '{name}': db_function must be a list.")
    uses = [use for use, _ in parsed_uses(listed, stored, database)]
    if "db_function" in field and (column is None or listed != (column.extra.get("db_function") or [])):
        changes["db_function"] = listed or None
    if not virtual:
        return
    if column is not None and not column.virtual:
        raise Conflict(f"Field '{name}' is a column of the database, so it cannot become virtual.")
    if not name:
        raise BadRequest("Every field needs a name.")
    if "SELECT" not in uses:
        raise BadRequest(f"The virtual field '{name}' needs a db_function for the use select: what is read of it.")
    kind = str(field.get("type") or (column.type if column else "string")).lower()
    if kind not in KINDS:
        raise BadRequest(f"The virtual field '{name}' cannot be of type '{kind}', but of {', '.join(sorted(KINDS))}.")
    if column is None or kind != column.type:
        changes |= {"is_virtual": True, "type": kind, "name": name}


def _as_lists(validation: JSON) -> JSON:
    """A rule without options has an empty list of them, also where it was sent with an empty map: so it was always."""
    if not isinstance(validation, dict):
        return validation
    return {name: [] if options == {} else options for name, options in validation.items()}


def without(field: Mapping[str, JSON]) -> dict[str, JSON]:
    """The properties of a field that the database itself keeps."""
    return {key: value for key, value in field.items() if key not in OF_FIELD and key not in OF_VIRTUAL}


def is_virtual(field: Mapping[str, JSON]) -> bool:
    """Whether a field that was sent is to be none of the database."""
    return is_true(field.get("is_virtual"))


# -- relations


def of_relations(
    catalogue: Catalogue, table: Table, bodies: Sequence[Mapping[str, JSON]], service_id: int
) -> list[ExtraRecord]:
    """Changes of what is kept about relations of a table: properties of those there are, and virtual ones whole.

    Raises:
        BadRequest: a relation that makes no sense, or leads nowhere; says what is missing.
        NotFound: no relation of that name, and none that is virtual was described.
        Conflict: the name or alias is taken.
        NotSupported: it leads to another service.
    """
    known = relations(catalogue, table, service_id)
    return [_of_relation(catalogue, table, body, known, service_id) for body in bodies]


def _of_relation(
    catalogue: Catalogue,
    table: Table,
    body: Mapping[str, JSON],
    known: Mapping[str, Relation],
    service_id: int,
) -> ExtraRecord:
    name = str(body.get("name") or "").strip()
    old = next((one for key, one in known.items() if key.lower() == name.lower()), None)
    virtual = is_true(body.get("is_virtual")) if "is_virtual" in body else bool(old and old["is_virtual"])
    changes: dict[str, JSON] = {}
    if virtual:
        changes = _virtual(catalogue, table, {**(old or {}), **body}, service_id)
        if old is None:
            name = str(changes["name"])
            old = next((one for key, one in known.items() if key.lower() == name.lower()), None)
        if old is not None and not old["is_virtual"]:
            raise Conflict(f"Table '{table.name}' has a relationship '{old['name']}' that follows from a foreign key.")
        changes["name"] = name
    elif old is None:
        raise NotFound(
            f"Table '{table.name}' has no relationship '{name}'. For one of your own set is_virtual to true."
        )
    what = f"relationship '{name}'"
    changes |= {key: _text(what, key, body[key]) for key in ("label", "alias", "description") if key in body}
    changes |= {key: is_true(body[key]) or None for key in OF_RELATION[3:] if key in body}
    kept = str(old["alias"] or "") if old is not None and "alias" not in changes else ""
    shown = _alias(what, name, changes) or kept or name
    if old is not None and not virtual:
        _changed(changes, {**old, **{key: old[key] or None for key in OF_RELATION[3:]}})
    others = [name_of(one).lower() for key, one in known.items() if key.lower() != name.lower()]
    if shown.lower() in others or table.column(shown):
        raise Conflict(f"Another relationship or a field of table '{table.name}' is called '{shown}' already.")
    return ExtraRecord(table=table.name.lower(), kind="relation", name=name.lower(), properties=changes)


def _virtual(catalogue: Catalogue, table: Table, body: Mapping[str, JSON], service_id: int) -> dict[str, JSON]:
    kind = str(body.get("type") or "").lower()
    if kind not in _TYPES:
        raise BadRequest(f"A virtual relationship needs a type: {', '.join(_TYPES)}.")
    far = kind == "many_many"
    # The checklist's clients say the number of the service, or leave it out.
    for key in ("ref_service_id", "junction_service_id")[: 1 + far]:
        if body.get(key) not in (None, "", service_id, str(service_id)):
            raise NotSupported(f"'{key}' names another service: relationships lead to tables of the same service.")
    field = _column(table, body, "field")
    ref_table = _other(catalogue, body, "ref_table")
    ref_field = _column(ref_table, body, "ref_field")
    found: dict[str, JSON] = {
        "is_virtual": True, "type": kind, "field": field, "ref_table": ref_table.name, "ref_field": ref_field,
    }  # fmt: skip
    last = field if kind == "belongs_to" else ref_field
    if far:
        junction = _other(catalogue, body, "junction_table")
        last = junction.name
        found |= {
            "junction_service_id": service_id,
            "junction_table": junction.name,
            "junction_field": _column(junction, body, "junction_field"),
            "junction_ref_field": _column(junction, body, "junction_ref_field"),
        }
    return {**found, "name": f"{ref_table.name}_by_{last}"}


def _other(catalogue: Catalogue, body: Mapping[str, JSON], key: str) -> Table:
    found = catalogue.table(str(body.get(key) or ""))
    if found is None:
        raise BadRequest(f"The virtual relationship needs a table in '{key}'; there is none named '{body.get(key)}'.")
    return found


def _column(table: Table, body: Mapping[str, JSON], key: str) -> str:
    """A column's stored name. One column on each side: what hangs on several cannot be read yet."""
    name = str(body.get(key) or "")
    found = table.real_column(name)
    if found is None or found.virtual:
        raise BadRequest(f"The virtual relationship needs a field of table '{table.name}' in '{key}', not '{name}'.")
    return found.real_name


# -- shared


def _text(what: str, key: str, value: JSON) -> str | None:
    """The property's text; None for nothing. Raises BadRequest."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or "\0" in value:
        raise BadRequest(f"The property '{key}' of {what} must be a text of at most {LONGEST_TEXT} characters.")
    return value.strip() or None


def _alias(what: str, name: str, changes: dict[str, JSON]) -> str | None:
    """The alias among *changes*; one that is the name itself is none. Raises BadRequest."""
    alias = changes.get("alias")
    if alias is None:
        return None
    if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
        raise BadRequest(f"The alias of {what} may hold letters, digits, '_', '-' and blanks, 64 at most.")
    if alias == name:
        changes["alias"] = None
        return None
    return alias


def _changed(changes: dict[str, JSON], shown: Mapping[str, JSON]) -> None:
    """Clients send a table or field whole to change one property; what is as it was is no change."""
    for key in [key for key, value in changes.items() if key in shown and value == shown[key]]:
        del changes[key]
