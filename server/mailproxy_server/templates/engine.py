"""Renders templates: Jinja2 in its sandbox, with nothing to reach for but the variables. Pure.

No loader, so nothing is included; no globals; filters that only write text. What the sandbox does
not bound, time and memory, is bounded by the process that this runs in.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError
from jinja2.meta import find_referenced_templates, find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mailproxy_server.templates.template import RENDERED_LIMIT, Flaw, Sources

PARTS: Final = ("subject", "text_body", "html_body")
_NOT_OFFERED: Final = frozenset({"pprint", "random", "xmlattr", "filesizeformat", "urlize"})
"""Filters that show the inside of things, give another text each time, or write HTML themselves."""
_TESTS: Final = frozenset({"callable", "filter", "test", "sameas"})


class _Missing(StrictUndefined):
    """A variable that was not given; whoever writes it out is told its name."""


class _Environment(ImmutableSandboxedEnvironment):
    """Without globals, and without attributes: `a.b` is `a["b"]`, since variables are JSON."""

    def __init__(self, *, escaping: bool) -> None:
        super().__init__(
            autoescape=escaping, undefined=_Missing, keep_trailing_newline=True, cache_size=0
        )
        self.globals.clear()
        for name in _NOT_OFFERED:
            self.filters.pop(name, None)
        for name in _TESTS:
            self.tests.pop(name, None)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Give an entry, or one of the methods that texts and lists of variables have."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Methods of plain text and of mappings alone."""
        plain = isinstance(obj, str | Mapping)
        return plain and super().is_safe_attribute(obj, attr, value)


_ENVIRONMENTS: Final = {
    "subject": _Environment(escaping=False),
    "text_body": _Environment(escaping=False),
    "html_body": _Environment(escaping=True),
}


def read(sources: Sources) -> tuple[str, ...]:
    """Give the variables that sources use; raises `Flaw` for what is not Jinja2."""
    used: set[str] = set()
    for part in PARTS:
        source = getattr(sources, part)
        _template(part, source)
        tree = _ENVIRONMENTS[part].parse(source)
        if any(True for _ in find_referenced_templates(tree)):
            raise Flaw(part, "names another template: a template stands for itself")
        used |= find_undeclared_variables(tree)
    return tuple(sorted(used))


def render(sources: Sources, variables: Mapping[str, Any]) -> Sources:
    """Give what comes of sources with these variables; raises `Flaw`."""
    left = RENDERED_LIMIT
    made = {}
    for part in PARTS:
        source = getattr(sources, part)
        if not source:
            made[part] = ""
            continue
        text = _made(part, _template(part, source), variables, left)
        made[part] = " ".join(text.split()) if part == "subject" else text
        left -= len(text)
    return Sources(**made)


def _made(part: str, generate: Callable[..., Any], given: Mapping[str, Any], left: int) -> str:
    pieces: list[str] = []
    size = 0
    try:
        for piece in generate(**given):
            size += len(piece)
            if size > left:
                raise Flaw(part, f"comes to more than {RENDERED_LIMIT} characters")
            pieces.append(piece)
    except UndefinedError as error:
        raise _missing(part, error) from None
    except SecurityError as error:
        raise Flaw(part, f"reaches for what it may not: {error}") from None
    except RecursionError:
        raise Flaw(part, "calls itself too deeply") from None
    except (Flaw, MemoryError):
        raise
    except Exception as error:  # filters raise whatever their argument does
        raise Flaw(part, f"cannot be rendered with these variables: {error}") from None
    return "".join(pieces)


def _template(part: str, source: str) -> Callable[..., Any]:
    try:
        return _compiled(part, source)
    except TemplateSyntaxError as error:
        raise Flaw(part, f"line {error.lineno}: {error.message}") from None
    except (RecursionError, SyntaxError):  # of Jinja2's parser, or of Python's
        raise Flaw(part, "is nested too deeply") from None


@lru_cache(maxsize=256)
def _compiled(part: str, source: str) -> Callable[..., Any]:
    return _ENVIRONMENTS[part].from_string(source).generate


def _missing(part: str, error: UndefinedError) -> Flaw:
    """Name what was not given: a variable, or an entry of one."""
    words = str(error.message or error)
    name = words.split("'")[1] if words.endswith("is undefined") and "'" in words else ""
    return Flaw(part, words, name)
