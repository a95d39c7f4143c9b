"""Templates in plain Python, and the requests that they become. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from google.protobuf.field_mask_pb2 import FieldMask

from mailproxy.v1 import template_pb2


class TemplateFields(TypedDict, total=False):
    """What messages are made of, in Jinja2; meaning and limits as in `mailproxy.v1.Template`."""

    subject: str
    text_body: str
    html_body: str
    variables: Iterable[str]


def creation(template_id: str, fields: TemplateFields) -> template_pb2.ManageTemplateRequest:
    """Give the request that makes a template."""
    return template_pb2.ManageTemplateRequest(
        action=template_pb2.TEMPLATE_ACTION_CREATE, template=_template(template_id, fields)
    )


def change(
    template_id: str, fields: TemplateFields, *, allow_missing: bool, etag: str
) -> template_pb2.ManageTemplateRequest:
    """Give the request that changes exactly the given fields, also to an empty value."""
    return template_pb2.ManageTemplateRequest(
        action=template_pb2.TEMPLATE_ACTION_UPDATE,
        template=_template(template_id, fields, etag),
        update_mask=FieldMask(paths=list(fields)),
        allow_missing=allow_missing,
    )


def deletion(template_id: str, *, etag: str) -> template_pb2.ManageTemplateRequest:
    """Give the request that removes a template."""
    return template_pb2.ManageTemplateRequest(
        action=template_pb2.TEMPLATE_ACTION_DELETE,
        template=template_pb2.Template(template_id=template_id, etag=etag),
    )


def rendering(template_id: str, variables: Mapping[str, Any]) -> template_pb2.RenderTemplateRequest:
    """Give the request that renders a template."""
    request = template_pb2.RenderTemplateRequest(template_id=template_id)
    request.variables.update(variables)
    return request


def repeatable(request: template_pb2.ManageTemplateRequest) -> bool:
    """Whether doing it twice is the same as once: changing without an etag is."""
    return request.action == template_pb2.TEMPLATE_ACTION_UPDATE and not request.template.etag


def _template(template_id: str, fields: TemplateFields, etag: str = "") -> template_pb2.Template:
    if unknown := fields.keys() - TemplateFields.__annotations__.keys():
        raise TypeError(f"unknown fields of a template: {', '.join(sorted(unknown))}")
    return template_pb2.Template(template_id=template_id, etag=etag, **fields)
