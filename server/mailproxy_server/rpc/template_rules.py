"""What a template's fields may hold, and how they change. Pure."""

from collections.abc import Iterable, Sequence

from mailproxy.v1 import template_pb2 as pb

from mailproxy_server.mail.errors import FieldViolation, InvalidFields, invalid
from mailproxy_server.rpc.account_values import ACCOUNT_ID
from mailproxy_server.rpc.masks import fields_to_set
from mailproxy_server.templates.template import (
    BODY_LIMIT,
    SUBJECT_LIMIT,
    VARIABLES_LIMIT,
    Flaw,
    Sources,
    Template,
)

FIELDS = ("subject", "text_body", "html_body", "variables")
"""Fields that a caller may set."""
OUTPUT_ONLY = frozenset({"template_id", "etag", "create_time", "update_time"})
_LIMITS = {"subject": SUBJECT_LIMIT, "text_body": BODY_LIMIT, "html_body": BODY_LIMIT}


def checked_id(template_id: str, field: str) -> str:
    """Give the template_id of a request; raises InvalidFields."""
    if not ACCOUNT_ID.match(template_id):
        words = "required: 1 to 63 characters from [a-z0-9_.-], beginning with a letter or digit"
        raise invalid(field, words)
    return template_id


def to_update(template: pb.Template, mask: Iterable[str]) -> tuple[str, ...]:
    """Give the fields of a template that an update sets; raises InvalidFields."""
    return fields_to_set(template, mask, FIELDS, OUTPUT_ONLY, "a template")


def merged(asked: pb.Template, fields: tuple[str, ...], current: Template) -> pb.Template:
    """Give a template with these of its fields as asked, and the others as they are."""
    whole = pb.Template(
        template_id=current.template_id,
        subject=current.sources.subject,
        text_body=current.sources.text_body,
        html_body=current.sources.html_body,
        variables=current.variables,
    )
    for name in fields:
        whole.ClearField(name)  # type: ignore[arg-type]
        if name == "variables":
            whole.variables.extend(asked.variables)
        else:
            setattr(whole, name, getattr(asked, name))
    if set(fields) & set(_LIMITS) and "variables" not in fields:
        whole.ClearField("variables")  # they follow from what it uses now
    return whole


def sources_of(template: pb.Template, path: str) -> Sources:
    """Give what a template is rendered from; raises InvalidFields for what is too large."""
    violations = [
        FieldViolation(f"{path}.{name}", f"has {len(getattr(template, name)):,} characters; at "
                       f"most {limit:,}")
        for name, limit in _LIMITS.items()
        if len(getattr(template, name)) > limit
    ]  # fmt: skip
    if not (template.text_body or template.html_body):
        violations.append(FieldViolation(f"{path}.text_body", "give a text, HTML, or both"))
    if violations:
        raise InvalidFields(violations)
    return Sources(template.subject, template.text_body, template.html_body)


def declared(given: Sequence[str], used: Sequence[str], path: str) -> tuple[str, ...]:
    """Give the variables of a template: those declared, which hold those used, or just these."""
    names = tuple(given) or tuple(used)
    if len(names) > VARIABLES_LIMIT:
        raise invalid(f"{path}.variables", f"{len(names)} variables; at most {VARIABLES_LIMIT}")
    for place, name in enumerate(names):
        if not name.isidentifier() or not name.isascii() or len(name) > 63:
            raise invalid(f"{path}.variables[{place}]", "is not the name of a variable")
        if name in names[:place]:
            raise invalid(f"{path}.variables[{place}]", "stands there twice")
    if undeclared := sorted(set(used) - set(names)):
        words = f"the template uses {', '.join(undeclared)}, which is not declared"
        raise invalid(f"{path}.variables", words)
    return names


def at_fault(flaw: Flaw, path: str) -> InvalidFields:
    """Give the error for a template that cannot be read or rendered."""
    field = f"{path}.{flaw.part}" if flaw.part else path
    return invalid(field, flaw.words)


def to_wire(template: Template, *, bodies: bool = True) -> pb.Template:
    """Give a template as callers see it."""
    wire = pb.Template(
        template_id=template.template_id,
        subject=template.sources.subject,
        text_body=template.sources.text_body if bodies else "",
        html_body=template.sources.html_body if bodies else "",
        variables=template.variables,
        etag=template.etag,
    )
    wire.create_time.FromDatetime(template.created_at)
    wire.update_time.FromDatetime(template.updated_at)
    return wire
