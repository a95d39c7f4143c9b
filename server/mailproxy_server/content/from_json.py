"""Reads a message of the contract from protobuf's JSON mapping, naming each field at fault. Pure.

Stricter than protobuf's own reader, which lets broken base64 pass as other bytes, and which
names no field. What is not understood is refused: it may be what matters.
"""

import base64
import binascii
import json
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message

from mailproxy_server.content.violations import Violations

_LONGEST_NUMBER: Final = 40
_NAME_LIMIT: Final = 60
_WELL_KNOWN: Final = {
    "google.protobuf.Timestamp": "is not a time, as 2030-01-31T09:00:00Z",
    "google.protobuf.Duration": "is not a length of time, as 90s",
}
_FAULTS: Final = (ParseError, ValueError, TypeError, ArithmeticError, RecursionError)


def read(text: str, message: Message, violations: Violations) -> None:
    """Fill an empty `message` from an object in JSON; what is wrong goes to `violations`.

    Names may be the contract's or in camelCase; null is the same as leaving a field out.
    Nesting is bounded by the contract, which has no message within itself.
    """
    try:
        given = json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except RecursionError:
        violations.add("", "is nested too deeply")
    except ValueError as error:
        violations.add("", f"is not JSON that can be read: {error}")
    else:
        _fill(message, given, "", violations)


def _fill(message: Message, given: object, path: str, violations: Violations) -> None:
    if not isinstance(given, dict):
        violations.add(path, "is not an object of fields")
        return
    fields: dict[str, Any] = {field.name: field for field in message.DESCRIPTOR.fields}
    fields |= {field.json_name: field for field in fields.values()}
    taken: dict[str, str] = {}
    for key, value in given.items():
        field = fields.get(key)
        at = _below(path, key)
        if field is None:
            violations.add(at, "is not a field that this server knows")
        elif value is not None:
            place = field.containing_oneof.name if field.containing_oneof else field.name
            if taken.setdefault(place, key) == key:
                _set(message, field, value, at, violations)
            else:
                violations.add(at, f"cannot be given together with {taken[place]}")
        if violations.full:
            return


def _set(
    message: Message, field: FieldDescriptor, value: Any, at: str, violations: Violations
) -> None:
    if field.message_type and field.message_type.GetOptions().map_entry:
        _set_map(message, field, value, at, violations)
    elif field.is_repeated:
        if not isinstance(value, list):
            violations.add(at, "is not a list")
            return
        into = getattr(message, field.name)
        for number, each in enumerate(value):
            if field.message_type:
                _fill(into.add(), each, f"{at}[{number}]", violations)
            elif (one := _leaf(field, each, f"{at}[{number}]", violations)) is not None:
                into.append(one)
            if violations.full:
                return
    elif field.message_type and field.message_type.full_name.startswith("google.protobuf."):
        try:
            ParseDict(value, getattr(message, field.name))
        except _FAULTS:
            kind = field.message_type.full_name
            violations.add(at, _WELL_KNOWN.get(kind, f"is not a {kind}"))
    elif field.message_type:
        getattr(message, field.name).SetInParent()
        _fill(getattr(message, field.name), value, at, violations)
    elif (one := _leaf(field, value, at, violations)) is not None:
        setattr(message, field.name, one)


def _set_map(
    message: Message, field: FieldDescriptor, value: Any, at: str, violations: Violations
) -> None:
    if not isinstance(value, dict):
        violations.add(at, "is not an object")
        return
    assert field.message_type is not None
    into, kind = getattr(message, field.name), field.message_type.fields_by_name["value"]
    for key, each in value.items():
        place = f"{at}[{_quoted(key)}]"
        if not _is_text(key):
            violations.add(place, "has a name that is not Unicode text")
        elif (one := _leaf(kind, each, place, violations)) is not None:
            into[key] = one
        if violations.full:
            return


def _leaf(field: FieldDescriptor, value: Any, at: str, violations: Violations) -> Any:
    """Give a value as its field takes it, or None for one that it does not take."""
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            if isinstance(value, str) and _is_text(value):
                return value
            violations.add(at, "is not a string of Unicode text")
        case FieldDescriptor.TYPE_BYTES:
            try:
                return _octets(value)
            except (ValueError, TypeError, AttributeError, binascii.Error):
                violations.add(at, "is not a string of base64")
        case FieldDescriptor.TYPE_BOOL:
            if isinstance(value, bool):
                return value
            violations.add(at, "is neither true nor false")
        case FieldDescriptor.TYPE_ENUM:
            assert field.enum_type is not None
            names = {each.name: each.number for each in field.enum_type.values}
            if isinstance(value, str) and value in names:
                return names[value]
            if type(value) is int and abs(value) < 2**31:
                return value  # whether it is known is for those to say who know the field
            violations.add(at, f"is not one of {', '.join(names)}")
        case _:
            raise TypeError(f"{field.full_name}: no submission had a field of this type so far")
    return None


def _octets(text: str) -> bytes:
    """Base64 in either alphabet, padded or not; PostgreSQL's encode() breaks it into lines."""
    plain = text.replace("\n", "").replace("\r", "").rstrip("=")
    plain = plain.replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{_quoted(twice)} stands twice in one object")
    return found


def _integer(digits: str) -> int | float:
    """A number as long as an attack is only large."""
    return int(digits) if len(digits) <= _LONGEST_NUMBER else float(digits)


def _is_text(value: str) -> bool:
    """Whether it has no surrogate of its own, which no encoding can hold."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _below(path: str, key: str) -> str:
    plain = key.isidentifier() and key.isascii() and len(key) <= _NAME_LIMIT
    name = key if plain else _quoted(key)
    return f"{path}.{name}" if path else name


def _quoted(key: str) -> str:
    """A key as JSON has it, in ASCII and not at length."""
    text = json.dumps(key)
    return text if len(text) <= _NAME_LIMIT else text[:_NAME_LIMIT] + '..."'
