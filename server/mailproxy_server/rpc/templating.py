"""Templates at work: a message's variables checked, and what comes of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from google.protobuf.struct_pb2 import Struct
from mailproxy.v1 import message_pb2

from mailproxy_server.content.parameters import as_json
from mailproxy_server.mail.errors import FieldViolation, InvalidFields, invalid
from mailproxy_server.rpc.template_rules import at_fault, checked_id
from mailproxy_server.templates.cache import TemplateCache
from mailproxy_server.templates.kitchen import Kitchen
from mailproxy_server.templates.template import PARAMETERS_LIMIT, Flaw, Sources

Submit = message_pb2.SubmitMessageRequest


@dataclass(frozen=True, slots=True)
class Templating:
    """Renders for submissions and for previews."""

    templates: TemplateCache
    kitchen: Kitchen

    async def composed(self, request: Submit, tenant_id: UUID, path: str) -> Submit:
        """Give a request with templated content as one with composed content.

        Raises InvalidFields naming each variable that is missing or not known, and CallerError
        TEMPLATE_NOT_FOUND.
        """
        given = request.email.templated
        at = f"{path}email.templated"
        _check_message(given.message, at)
        template_id = checked_id(given.template_id, f"{at}.template_id")
        template = await self.templates.get(tenant_id, template_id)
        variables = read_variables(given.variables, f"{at}.variables")
        check_variables(variables, template.variables, f"{at}.variables")
        made = await self.render(tenant_id, template.sources, variables, f"{at}.variables")
        plain = Submit()
        plain.CopyFrom(request)
        content = message_pb2.ComposedContent()
        content.CopyFrom(given.message)
        content.subject, content.text_body = made.subject, made.text_body
        content.html_body = made.html_body
        plain.email.composed.CopyFrom(content)
        return plain

    async def render(
        self, tenant_id: UUID, sources: Sources, variables: dict[str, Any], at: str
    ) -> Sources:
        """Give what comes of sources; raises InvalidFields."""
        try:
            return await self.kitchen.render(tenant_id, sources, variables)
        except Flaw as flaw:
            if flaw.variable:
                raise invalid(f"{at}.{flaw.variable}", "is required by the template") from None
            part = f"the template's {flaw.part} " if flaw.part else "the template "
            raise invalid(at, f"{part}{flaw.words}") from None

    async def used(self, tenant_id: UUID, sources: Sources, at: str) -> Sequence[str]:
        """Give the variables that sources use; raises InvalidFields for what is not Jinja2."""
        try:
            return await self.kitchen.read(tenant_id, sources)
        except Flaw as flaw:
            raise at_fault(flaw, at) from None


def read_variables(given: Struct, at: str) -> dict[str, Any]:
    """Give variables as plain data; raises InvalidFields."""
    try:
        octets = as_json(given)
    except ValueError as error:
        raise invalid(at, str(error)) from None
    if len(octets) > PARAMETERS_LIMIT:
        words = f"has {len(octets):,} bytes as JSON; at most {PARAMETERS_LIMIT:,}"
        raise invalid(at, words)
    found: dict[str, Any] = json.loads(octets)
    return found


def check_variables(given: dict[str, Any], wanted: Sequence[str], at: str) -> None:
    """Raise InvalidFields unless all that is wanted is given, and nothing else."""
    there = f"it has {', '.join(wanted)}" if wanted else "it has none"
    violations = [
        FieldViolation(f"{at}.{name}", "is required by the template")
        for name in wanted
        if name not in given
    ] + [
        FieldViolation(f"{at}.{name[:63]}", f"is not a variable of the template; {there}")
        for name in sorted(given)
        if name not in wanted
    ]
    if violations:
        raise InvalidFields(violations)


def _check_message(message: message_pb2.ComposedContent, at: str) -> None:
    """The parts that the template gives are not given beside it."""
    for name in ("subject", "text_body", "html_body"):
        if getattr(message, name):
            raise invalid(f"{at}.message.{name}", "comes from the template; leave it empty")
