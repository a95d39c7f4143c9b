"""Commands with more options than one function should have: each part declares some and says
which fields they give; the command has them all, and gets what they gave."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

Fields = dict[str, Any]
Part = Callable[..., Fields]


def joined(*parts: Part) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of all parts, in their place of its parameter `fields`."""

    def join(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command).parameters.values()

        @wraps(command)
        def run(**given: Any) -> None:
            fields: Fields = {}
            for part in parts:
                names = inspect.signature(part).parameters
                fields |= part(**{name: given.pop(name) for name in names})
            command(fields=fields, **given)

        options = [each for part in parts for each in inspect.signature(part).parameters.values()]
        place = [each.name for each in own].index("fields")
        others = [each for each in own if each.name != "fields"]
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            others[:place] + options + others[place:]
        )
        run.__annotations__ = {}
        return run

    return join


def given(**fields: Any) -> Fields:
    """Give the fields that were given."""
    return {name: value for name, value in fields.items() if value is not None}
