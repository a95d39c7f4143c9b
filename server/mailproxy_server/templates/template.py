"""A template as data, and how large it may be. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

SUBJECT_LIMIT: Final = 4_000
BODY_LIMIT: Final = 256 * 1024
VARIABLES_LIMIT: Final = 100
RENDERED_LIMIT: Final = 2 * 1024 * 1024
"""Characters that subject and bodies may come to together."""
PARAMETERS_LIMIT: Final = 256 * 1024
"""Bytes of a message's variables as JSON."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What is rendered, in Jinja2; "" for a part that there is not."""

    subject: str = ""
    text_body: str = ""
    html_body: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """A template that is kept. `variables` are the names that a message has to give."""

    tenant_id: UUID
    template_id: str
    sources: Sources
    variables: tuple[str, ...]
    revision: int
    created_at: datetime
    updated_at: datetime

    @property
    def etag(self) -> str:
        """What changes with every change; opaque to callers."""
        return f"r{self.revision}"


class Flaw(Exception):
    """A template, or what a message gives it, is at fault. `part` is a field of `Sources`, or ""
    for all of it; `variable` names one, "" for none."""

    def __init__(self, part: str, words: str, variable: str = "") -> None:
        super().__init__(words)
        self.part = part
        self.words = words
        self.variable = variable
