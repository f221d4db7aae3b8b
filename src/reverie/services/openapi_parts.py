"""What all documents share: ways to say who asks, parameters, answers, and schemas of things with no real columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reverie.model import JSON

VERSION: Final = "3.0.0"
LATEST: Final = "3.1.0"
"""Of documents with real columns."""

SECURITY: Final[Mapping[str, JSON]] = {
    "BasicAuth": {"type": "http", "scheme": "basic"},
    "BearerAuth": {"type": "http", "scheme": "bearer"},
    "ApiKeyQuery": {"type": "apiKey", "in": "query", "name": "api_key"},
    "ApiKeyHeader": {"type": "apiKey", "in": "header", "name": "X-DreamFactory-API-Key"},
    "SessionTokenQuery": {"type": "apiKey", "in": "query", "name": "session_token"},
    "SessionTokenHeader": {"type": "apiKey", "in": "header", "name": "X-DreamFactory-Session-Token"},
}

PLAIN: Final[Mapping[str, str]] = {
    "table_name": "Name of a table or view.",
    "field_name": "Name of a field.",
    "relationship_name": "Name of a relationship.",
    "procedure_name": "Name of a stored procedure.",
    "function_name": "Name of a stored function.",
    "id": "Identifier of a record; the values of a key of several fields are joined with commas.",
    "service": "Name of a service.",
    "name": "Its name.",
}
"""What path parameters mean."""


def ref(kind: str, name: str) -> dict[str, JSON]:
    return {"$ref": f"#/components/{kind}/{name}"}


def schema(name: str) -> dict[str, JSON]:
    return ref("schemas", name)


def an_object(properties: Mapping[str, JSON] | None = None, **more: JSON) -> dict[str, JSON]:
    made: dict[str, JSON] = {"type": "object"}
    if properties:
        made["properties"] = dict(properties)
    return made | more


def a_list(items: JSON) -> dict[str, JSON]:
    return {"type": "array", "items": items}


def in_resource(items: JSON, **more: JSON) -> dict[str, JSON]:
    """The wrapper around several."""
    return an_object({"resource": a_list(items), **more})


def _query(name: str, description: str, kind: str = "string") -> dict[str, JSON]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": kind}}


TEXT: Final[dict[str, JSON]] = {"type": "string"}
NUMBER: Final[dict[str, JSON]] = {"type": "integer"}
YES: Final[dict[str, JSON]] = {"type": "boolean"}

PARAMETERS: Final[Mapping[str, JSON]] = {
    one["name"]: one
    for one in (
        _query("fields", "Names of the fields to return, with commas between them; * for all."),
        _query("filter", "Condition on records, such as (price > 5) and (name like 'A%'); values may be :names."),
        _query("limit", "Most records to return.", "integer"),
        _query("offset", "Records to pass over first.", "integer"),
        _query("order", "Fields to sort by, such as: name, price desc."),
        _query("group", "Fields to group by."),
        _query("related", "Names of relationships whose records come along, with commas between them; * for all."),
        _query("ids", "Identifiers of the records that are meant, with commas between them."),
        _query("id_field", "Fields that identify a record here, instead of the primary key."),
        _query("include_count", "Tell in meta how many records there are.", "boolean"),
        _query("include_schema", "Tell in meta how the table is made.", "boolean"),
        _query("count_only", "Answer just the number of records.", "boolean"),
        _query("continue", "Go on with the other records when one fails.", "boolean"),
        _query("rollback", "Undo everything when one record fails.", "boolean"),
        _query("force", "Delete all records, when nothing says which.", "boolean"),
        _query("refresh", "Look anew at the database.", "boolean"),
        _query("as_list", "Answer just the names.", "boolean"),
        _query("as_access_list", "Answer the components that a role can name.", "boolean"),
        _query("service", "Only of the service of this name."),
        _query("expand_schema", "Real names in the place of templates.", "boolean"),
        _query("file", "Name under which the answer is offered as a download; true for one made of the path."),
    )
    if isinstance(one["name"], str)
}


def _answer(description: str, name: str) -> dict[str, JSON]:
    return {"description": description, "content": {"application/json": {"schema": schema(name)}}}


_REFUSED: Final = {
    "400": "The request does not make sense, or names no credentials.",
    "401": "The credentials are not good.",
    "403": "The role does not allow it.",
    "404": "There is no such thing.",
    "429": "Too many calls.",
    "500": "The instance could not answer.",
}
RESPONSES: Final[Mapping[str, JSON]] = {
    "Success": _answer("It was done.", "Success"),
    "Error": _answer("It was not done.", "Error"),
    "ResourceList": _answer("Names of what there is.", "ResourceList"),
    "Anything": {"description": "What was asked for.", "content": {"application/json": {"schema": {}}}},
    **{f"Error{status}": _answer(text, "DreamFactoryError") for status, text in _REFUSED.items()},
}

_ACCESS: Final[dict[str, JSON]] = {"description": "Verbs of the caller: their bits, or their names."}
_ERROR: Final[dict[str, JSON]] = an_object(
    {
        "error": an_object(
            {
                "code": {"description": "The status, or a number of the service's own."},
                "context": {"description": "What is wrong, by field or by record."},
                "message": TEXT,
                "status_code": NUMBER,
            },
            required=["message"],
        )
    },
    required=["error"],
)
SCHEMAS: Final[Mapping[str, JSON]] = {
    "Success": an_object({"success": YES}),
    "Error": _ERROR,
    "DreamFactoryError": _ERROR,
    "ResourceList": in_resource(
        {"anyOf": [TEXT, an_object({"name": TEXT, "label": TEXT})], "description": "A name, or what is known of it."}
    ),
    "TableSchemas": in_resource(schema("TableSchema")),
    "TableSchema": an_object(
        {
            "name": TEXT,
            "label": TEXT,
            "plural": TEXT,
            "is_view": YES,
            "primary_key": {"description": "Names of fields."},
            "field": a_list(schema("FieldSchema")),
            "related": a_list(schema("RelationshipSchema")),
            "access": _ACCESS,
        },
    ),
    "FieldSchemas": in_resource(schema("FieldSchema")),
    "FieldSchema": an_object(
        {
            "name": TEXT,
            "label": TEXT,
            "type": {"type": "string", "description": "Abstract type, such as id, string, integer, datetime."},
            "db_type": {"description": "As the database spells it."},
            "required": YES,
            "allow_null": YES,
            "auto_increment": YES,
            "is_primary_key": YES,
            "is_unique": YES,
            "is_foreign_key": YES,
            "default": {},
        },
    ),
    "RelationshipSchemas": in_resource(schema("RelationshipSchema")),
    "RelationshipSchema": an_object(
        {
            "name": TEXT,
            "type": {"type": "string", "enum": ["belongs_to", "has_one", "has_many", "many_many"]},
            "field": TEXT,
            "ref_table": TEXT,
            "ref_field": TEXT,
        },
    ),
    "RecordRequest": an_object(additionalProperties=True, description="Values by the names of fields."),
    "RecordsRequest": {
        "description": "Records in resource; or one alone, or a list of them.",
        "anyOf": [
            in_resource(schema("RecordRequest")),
            a_list(schema("RecordRequest")),
            schema("RecordRequest"),
        ],
    },
    "RecordResponse": an_object(additionalProperties=True, description="Values by the names of fields."),
    "RecordsResponse": {
        "description": "Records in resource; a number with count_only.",
        "anyOf": [in_resource(schema("RecordResponse"), meta=schema("Metadata")), NUMBER],
    },
    "Metadata": an_object({"count": NUMBER, "next": NUMBER, "schema": schema("TableSchema")}),
    "Login": an_object({"email": TEXT, "username": TEXT, "password": TEXT, "remember_me": YES}),
    "StoredRoutineRequest": an_object(
        {
            "params": {"description": "Arguments: values in order, values by name, or a list of {name, value}."},
            "wrapper": TEXT,
            "returns": TEXT,
        },
    ),
    "StoredRoutineResponse": {"description": "What the routine returned: rows, values, or parameters that come back."},
}

COMPONENTS: Final[Mapping[str, Mapping[str, JSON]]] = {
    "responses": RESPONSES,
    "parameters": PARAMETERS,
    "schemas": SCHEMAS,
}
