"""The fields of a record: what a client may send, and how it is stored."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from reverie.database import Value
from reverie.errors import BadRequest
from reverie.model import JSON

Kind: TypeAlias = "Literal['text', 'integer', 'number', 'boolean', 'time', 'json']"

MASK: Final = "**********"
"""Stands for a secret in an answer; sent back, it leaves the secret as it is."""

_BOOLEANS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "true", "on", "yes", "y", "t"), True),
    **dict.fromkeys(("0", "false", "off", "no", "n", "f", ""), False),
}
_LARGEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a record.

    Attributes:
        kind: ``json`` is stored as text and shown as the structure it is; ``time`` is stored as Unix seconds, shown as
            ISO 8601, and understood in both forms.
        required: must be there on create, and may never be null or blank.
        nullable: False: a null that is sent is a mistake; the column has a default.
        writable: False: what a client sends for it is ignored.
        limit: most characters of a text.
        cut: a longer text is cut at `limit`, not refused.
        default: what a record gets that is created without it; None leaves it to the column.
        shown: False: never in an answer.
        always: in every answer, whatever ``fields`` says.
        computed: not a column; the resource fills it in.
    """

    name: str
    kind: Kind = "text"
    required: bool = False
    nullable: bool = True
    writable: bool = True
    limit: int | None = None
    cut: bool = False
    default: JSON = None
    shown: bool = True
    always: bool = False
    computed: bool = False

    @property
    def comparable(self) -> bool:
        """Whether a filter or an order may name it."""
        return self.shown and not self.computed and self.kind != "json"


ID: Final = Field(name="id", kind="integer", writable=False)
STAMPS: Final = (
    Field(name="created_date", writable=False),
    Field(name="last_modified_date", writable=False),
    Field(name="created_by_id", kind="integer", writable=False),
    Field(name="last_modified_by_id", kind="integer", writable=False),
)


class Invalid(BadRequest):
    """Values that do not fit; ``context`` maps each field to its mistakes."""

    def __init__(self, mistakes: Mapping[str, str]) -> None:
        told = " ".join(mistakes.values())
        super().__init__(
            f"Invalid data supplied. {told}", context={name: [mistake] for name, mistake in mistakes.items()}
        )


def accept(fields: Sequence[Field], sent: Mapping[str, JSON], *, creating: bool) -> dict[str, JSON]:
    """The values of *sent* that the fields take, converted; on create with defaults. Unknown names are dropped.

    Raises:
        Invalid: with every mistake.
    """
    values: dict[str, JSON] = {}
    mistakes: dict[str, str] = {}
    for field in fields:
        if not field.writable or field.computed:
            continue
        if field.name not in sent:
            if creating and field.required:
                mistakes[field.name] = f"The field '{field.name}' is required."
            elif creating and field.default is not None:
                values[field.name] = field.default
            continue
        try:
            values[field.name] = convert(field, sent[field.name])
        except ValueError as error:
            mistakes[field.name] = f"The field '{field.name}' {error}."
    if mistakes:
        raise Invalid(mistakes)
    return values


def convert(field: Field, value: JSON) -> JSON:
    """*value* as the field holds it. Raises ValueError with the end of a sentence, such as ``must be a text``."""
    if value is None or (field.kind == "integer" and value == ""):
        if field.required or not field.nullable:
            raise ValueError("must not be null")
        return None
    if field.kind == "boolean":
        return _boolean(value)
    if field.kind == "integer":
        return _integer(value)
    if field.kind == "number":
        return _number(value)
    if field.kind == "time":
        return _seconds(value)
    return _text(field, value) if field.kind == "text" else value


def _boolean(value: JSON) -> bool:
    if isinstance(value, bool | int | str):
        found = _BOOLEANS.get(str(value).strip().lower())
        if found is not None:
            return found
    raise ValueError("must be true or false")


def _integer(value: JSON) -> int:
    if isinstance(value, str | float | int) and not isinstance(value, bool):
        try:
            number = int(value)
        except (ValueError, OverflowError):
            raise ValueError("must be a whole number") from None
        if (not isinstance(value, float) or number == value) and abs(number) <= _LARGEST:
            return number
    raise ValueError("must be a whole number")


def _number(value: JSON) -> float:
    if isinstance(value, str | float | int) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            raise ValueError("must be a number") from None
        if math.isfinite(number):
            return number
    raise ValueError("must be a number")


def _seconds(value: JSON) -> float:
    """Unix seconds of a time; one without a zone is UTC."""
    try:
        return _number(value)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(str(value).strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("must be a time, in Unix seconds or as 2024-05-02T10:00:00Z") from None


def _text(field: Field, value: JSON) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be a text")
    text = str(value)
    if field.required and not text.strip():
        raise ValueError("must not be blank")
    if not is_storable(text):
        raise ValueError("must not hold characters that are no text")
    if field.limit is not None and len(text) > field.limit:
        if field.cut:
            return text[: field.limit]
        raise ValueError(f"must not be longer than {field.limit} characters")
    return text


def is_storable(text: str) -> bool:
    """Whether every database can hold it: no zero bytes, no halves of surrogate pairs."""
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:
        return False


def stored(fields: Sequence[Field], values: Mapping[str, JSON]) -> dict[str, Value]:
    """Values as the columns hold them."""
    kinds: dict[str, Kind] = {field.name: field.kind for field in fields}
    return {name: to_column(value, kinds.get(name)) for name, value in values.items()}


def to_column(value: JSON, kind: Kind | None) -> Value:
    if value is None:
        return None
    if kind == "json" or isinstance(value, list | dict):
        return json.dumps(value, separators=(",", ":"))
    return value


def shown(fields: Sequence[Field], row: Mapping[str, Value]) -> dict[str, JSON]:
    """A row as a record, in the order of the fields; computed ones are left for the resource."""
    record: dict[str, JSON] = {}
    for field in fields:
        if field.shown and field.name in row:
            value = row[field.name]
            record[field.name] = from_column(value, field.kind)
    return record


def from_column(value: Value, kind: Kind) -> JSON:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if kind == "json" and isinstance(value, str):
        decoded: JSON = json.loads(value)
        return decoded
    if kind == "time" and isinstance(value, int | float):
        return moment(value)
    return value


def moment(seconds: float | None) -> str | None:
    """Unix seconds in ISO 8601, UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
