"""Parameters that callers give as google.protobuf.Struct, as JSON. Pure."""

import json
import math
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct


def as_json(parameters: Struct) -> bytes:
    """Give them in JSON, the same for the same parameters; raises ValueError for what it cannot
    say (RFC 8259 has no infinity). Whole numbers have no fraction."""
    try:
        plain = _plain(json_format.MessageToDict(parameters))
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (json_format.SerializeToJsonError, ValueError, RecursionError) as error:
        raise ValueError("holds a number or a nesting that JSON cannot say") from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return value
