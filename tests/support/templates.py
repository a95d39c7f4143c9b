"""Short words for templates and what they are given."""

from typing import Any

from google.protobuf.struct_pb2 import Struct
from mailproxy.v1 import message_pb2, template_pb2
from mailproxy.v1.template_pb2_grpc import TemplateServiceStub

from tests.support.calling import Caller

CREATE = template_pb2.TEMPLATE_ACTION_CREATE
UPDATE = template_pb2.TEMPLATE_ACTION_UPDATE
DELETE = template_pb2.TEMPLATE_ACTION_DELETE
ORDER: dict[str, Any] = {
    "subject": "Order {{ order.id }} for {{ name }}",
    "text_body": "Dear {{ name }},\n{% for line in order.lines %}- {{ line }}\n{% endfor %}",
    "html_body": "<p>Dear {{ name }}</p>",
}
GIVEN: dict[str, Any] = {"name": "Ann & Bob", "order": {"id": 17, "lines": ["one", "two"]}}

_OPTIONS = ("allow_missing", "validate_only")


def stub(caller: Caller) -> Any:
    return TemplateServiceStub(caller.channel)


def struct(given: dict[str, Any]) -> Struct:
    made = Struct()
    made.update(given)
    return made


def managing(action: int = CREATE, *mask: str, **fields: Any) -> Any:
    """Give a request to make, change or remove a template."""
    options = {
        name: fields.pop(name) for name in ("allow_missing", "validate_only") if name in fields
    }
    template = template_pb2.Template(**{"template_id": "order", **fields})
    wanted = template_pb2.ManageTemplateRequest(action=action, template=template, **options)  # type: ignore[arg-type]
    wanted.update_mask.paths.extend(mask)
    return wanted


async def manage(caller: Caller, action: int = CREATE, *mask: str, **fields: Any) -> Any:
    answer = await caller.call(stub(caller).ManageTemplate, managing(action, *mask, **fields))
    return answer.template


def templated(given: dict[str, Any], template_id: str = "order", **message: Any) -> Any:
    """Give an email from a template."""
    content = {"from_address": {"address": "a@a.test"}, "to": [{"address": "b@b.test"}]}
    return message_pb2.Email(
        templated=message_pb2.TemplatedContent(
            message=message_pb2.ComposedContent(**{**content, **message}),
            template_id=template_id,
            variables=struct(given),
        )
    )
