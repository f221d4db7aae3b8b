"""Rules that `_schema` keeps for the values of a field, and that every write checks.

``validation`` is a map of rules: ``{"int": {"range": {"min": 0}, "on_fail": "0 or more, please"}}``. With
``"on_fail": "ignore_field"`` a value that does not fit is left out in silence instead of being refused.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from reverie.errors import BadRequest
from reverie.model import JSON
from reverie.services.sql.catalogue import Rule

LONGEST_MATCHED: Final = 10_000
"""Characters of a value that a regular expression is tried on."""

Check: TypeAlias = "Callable[[JSON], bool]"
Options: TypeAlias = "Mapping[str, JSON]"

_EMAIL: Final = re.compile(r"[^@\s\"(),:;<>\[\\\]]+@[^\W_](?:[\w-]*[^\W_])?(?:\.[^\W_](?:[\w-]*[^\W_])?)+")
_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*")
_BOOLEANS: Final = frozenset({"", "0", "1", "true", "false", "on", "off", "yes", "no"})
_EMPTY: Final[tuple[JSON, ...]] = ("", 0, "0", False, [])
_FLAGS: Final = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE, "u": re.UNICODE}
_CLOSING: Final = {"(": ")", "[": "]", "{": "}", "<": ">"}


def rules_of(field: str, validation: JSON, picklist: JSON) -> tuple[Rule, ...]:
    """The rules as they are checked, in the order in which they were given.

    Raises:
        BadRequest: an unknown rule, or options that make no sense; names the field.
    """
    if validation in (None, "", [], {}):
        return ()
    if not isinstance(validation, dict):
        raise BadRequest(f"Field '{field}': 'validation' must be a map of rules.")
    return tuple(_rule(field, name, options, _texts(picklist)) for name, options in validation.items())


def picklist_of(field: str, value: JSON) -> list[JSON] | None:
    """A picklist as it is kept: comma text as a list. Raises BadRequest."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if value is None or value == []:
        return None
    if not isinstance(value, list) or any(isinstance(one, list | dict) for one in value):
        raise BadRequest(f"Field '{field}': 'picklist' must be a list of values.")
    return value


def _rule(field: str, name: str, given: JSON, picklist: Sequence[str]) -> Rule:
    options = given if isinstance(given, dict) else {}
    on_fail = options.get("on_fail")
    if name in _CHECKS:
        check, otherwise = _CHECKS[name](field, options, picklist)
    elif name in ("api_read_only", "create_only"):
        check, otherwise = (lambda value: False), "can not be written" + " again" * (name == "create_only")
    else:
        known = ", ".join(("api_read_only", "create_only", *_CHECKS))
        raise BadRequest(f"Field '{field}' has the unknown validation rule '{name}'; known are: {known}.")
    # The original drops such a field whatever was to happen, unless the rule has no options at all.
    silent = on_fail == "ignore_field" or (name == "api_read_only" and given is not None)
    message = on_fail if isinstance(on_fail, str) and on_fail else f"Field '{field}' {otherwise}."

    def rule(value: JSON, creating: bool) -> bool:
        if (creating and name == "create_only") or check(value):
            return True
        if silent:
            return False
        raise BadRequest(message)

    return rule


# -- one for each rule: its check, and what is wrong with a value that fails


def _not_null(field: str, options: Options, picklist: Sequence[str]) -> tuple[Check, str]:
    return (lambda value: value is not None), "can not be null"


def _not_empty(field: str, options: Options, picklist: Sequence[str]) -> tuple[Check, str]:
    return (lambda value: value is None or value not in _EMPTY), "can not be empty"


def _not_zero(field: str, options: Options, picklist: Sequence[str]) -> tuple[Check, str]:
    return (lambda value: value is None or value not in _EMPTY), "can not be zero"


def _email(field: str, options: Options, picklist: Sequence[str]) -> tuple[Check, str]:
    def check(value: JSON) -> bool:
        if value in (None, ""):
            return True
        return isinstance(value, str) and len(value) <= 254 and _EMAIL.fullmatch(value) is not None

    return check, "must be a valid e-mail address"


def _url(field: str, options: Options, picklist: Sequence[str]) -> tuple[Check, str]:
    def check(value: JSON) -> bool:
        if value in (None, ""):
            return True
        if not isinstance(value, str) or not value.isascii() or any(one <= " " or one == "\x7f" for one in value):
            return False
        try:
            parts = urlsplit(value)
        except ValueError:
            return False
        return bool(_SCHEME.fullmatch(parts.scheme) and (parts.hostname or (not parts.netloc and parts.path)))

    return check, "must be a valid URL"


def _int(field: str, options: Options, picklist: Sequence[str]) -> tuple[Check, str]:
    limits = options.get("range")
    limits = limits if isinstance(limits, dict) else {}
    low, high = (_limit(field, name, limits.get(name)) for name in ("min", "max"))

    def check(value: JSON) -> bool:
        if value is None:
            return True
        number = _number(value)
        if number is None or number != number // 1:
            return False
        return (low is None or number >= low) and (high is None or number <= high)

    between = f"from {low}" * (low is not None) + f" up to {high}" * (high is not None)
    return check, f"must be an integer {between.strip()}".rstrip()


def _float(field: str, options: Options, picklist: Sequence[str]) -> tuple[Check, str]:
    point = options.get("decimal")

    def check(value: JSON) -> bool:
        if isinstance(value, str) and isinstance(point, str) and point:
            value = value.replace(point, ".")
        return value is None or _number(value) is not None

    return check, "must be a number"


def _boolean(field: str, options: Options, picklist: Sequence[str]) -> tuple[Check, str]:
    def check(value: JSON) -> bool:
        if value is None or isinstance(value, bool):
            return True
        return str(value).strip().lower() in _BOOLEANS

    return check, "must be true or false"


def _match(field: str, options: Options, picklist: Sequence[str]) -> tuple[Check, str]:
    pattern = _expression(field, options.get("regexp"))

    def check(value: JSON) -> bool:
        if value is None:
            return True
        text = _as_text(value)
        return len(text) <= LONGEST_MATCHED and pattern.search(text) is not None

    return check, "does not have the form that is asked for"


def _picklist(field: str, options: Options, picklist: Sequence[str]) -> tuple[Check, str]:
    def check(value: JSON) -> bool:
        return value is None or _as_text(value) in picklist

    return check, f"must be one of: {', '.join(picklist) or 'nothing, since its picklist is empty'}"


def _multi_picklist(field: str, options: Options, picklist: Sequence[str]) -> tuple[Check, str]:
    delimiter = options.get("delimiter")
    delimiter = delimiter if isinstance(delimiter, str) and delimiter else ","
    least, most = (_limit(field, name, options.get(name)) for name in ("min", "max"))
    least = 1 if least is None else least

    def check(value: JSON) -> bool:
        if value is None:
            return True
        parts = [part.strip() for part in _as_text(value).split(delimiter)] if value != "" else []
        count = len(parts)
        return all(part in picklist for part in parts) and count >= least and (most is None or count <= most)

    upwards = f" and at most {most}" * (most is not None)
    return check, f"must be at least {least}{upwards} of: {delimiter.join(picklist)}"


_CHECKS: Final[Mapping[str, Callable[[str, Options, Sequence[str]], tuple[Check, str]]]] = {
    "not_null": _not_null, "not_empty": _not_empty, "not_zero": _not_zero, "email": _email, "url": _url, "int": _int,
    "float": _float, "boolean": _boolean, "match": _match, "picklist": _picklist, "multi_picklist": _multi_picklist,
}  # fmt: skip


def _expression(field: str, encoded: JSON) -> re.Pattern[str]:
    """Base64 of an expression between delimiters, with flags behind it: ``/^[a-z]+$/i``."""
    refused = BadRequest(f"Field '{field}': 'regexp' of the rule 'match' must be base64 of an expression like /^a+$/.")
    if not isinstance(encoded, str):
        raise refused
    try:
        text = base64.b64decode(encoded, validate=True).decode().strip()
        delimiter, closing = text[0], _CLOSING.get(text[0], text[0])
        if delimiter.isalnum() or delimiter == "\\":
            raise refused
        body, flags = text[1 : text.rindex(closing, 1)], text[text.rindex(closing, 1) + 1 :]
        found = re.RegexFlag(0)
        for flag in flags:
            found |= _FLAGS[flag]
        return re.compile(body, found)
    except (binascii.Error, ValueError, LookupError, RecursionError, OverflowError, re.error) as error:
        raise refused from error


def _limit(field: str, name: str, value: JSON) -> float | int | None:
    if value is None or value == "":
        return None
    if (number := _number(value)) is None:
        raise BadRequest(f"Field '{field}': '{name}' of a validation rule must be a number.")
    return number


def _number(value: JSON) -> float | int | None:
    """A finite number, also one in a text; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        if "_" in value or not value.isascii() or len(value) > 400:
            return None
        try:
            return int(value)
        except ValueError:
            pass
        try:
            value = float(value)
        except ValueError:
            return None
    return value if value == value and abs(value) != float("inf") else None


def _texts(picklist: JSON) -> tuple[str, ...]:
    return tuple(_as_text(one) for one in picklist) if isinstance(picklist, list) else ()


def _as_text(value: JSON) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
