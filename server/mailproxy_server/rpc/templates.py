"""TemplateService: keeps templates, and shows what they give."""

from collections.abc import Callable
from uuid import UUID

from mailproxy.v1 import template_pb2 as pb

from mailproxy_server.mail.errors import CallerError, invalid
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.paging import next_token, page_size, start_after
from mailproxy_server.rpc.template_rules import (
    checked_id,
    declared,
    merged,
    sources_of,
    to_update,
    to_wire,
)
from mailproxy_server.rpc.templating import Templating, check_variables, read_variables
from mailproxy_server.templates.template import Template
from mailproxy_server.templates.templates import Made, Templates

PAGE = 100
PAGE_MOST = 1000


class TemplatesServicer:
    """The servicer. `changed(tenant_id)` is told of each change that was made here."""

    def __init__(
        self, templates: Templates, templating: Templating, changed: Callable[[UUID], None]
    ) -> None:
        self._templates = templates
        self._templating = templating
        self._changed = changed
        self._actions = {
            pb.TEMPLATE_ACTION_CREATE: self._create,
            pb.TEMPLATE_ACTION_UPDATE: self._update,
            pb.TEMPLATE_ACTION_DELETE: self._delete,
        }

    async def ManageTemplate(
        self, request: pb.ManageTemplateRequest, call: Call
    ) -> pb.ManageTemplateResponse:
        """Create, update or delete one template."""
        act = self._actions.get(request.action)
        if act is None:
            words = f"action {request.action} is not one of CREATE (1), UPDATE (2), DELETE (3)"
            raise CallerError("UNKNOWN_ACTION", words)
        checked_id(request.template.template_id, "template.template_id")
        template, created = await act(request, call.tenant_id)
        if not request.validate_only:
            self._changed(call.tenant_id)
        return pb.ManageTemplateResponse(template=to_wire(template), created=created)

    async def GetTemplate(
        self, request: pb.GetTemplateRequest, call: Call
    ) -> pb.GetTemplateResponse:
        """Read one template."""
        template = await self._find(call.tenant_id, request.template_id)
        return pb.GetTemplateResponse(template=to_wire(template))

    async def ListTemplates(
        self, request: pb.ListTemplatesRequest, call: Call
    ) -> pb.ListTemplatesResponse:
        """List the tenant's templates."""
        scope = f"templates of {call.tenant_id}"
        size = page_size(request.page_size, PAGE, PAGE_MOST)
        after = start_after(scope, request.page_token)
        page = await self._templates.list(call.tenant_id, after, size + 1)
        token = next_token(scope, page[size - 1].template_id) if len(page) > size else ""
        return pb.ListTemplatesResponse(
            templates=[to_wire(one, bodies=False) for one in page[:size]], next_page_token=token
        )

    async def RenderTemplate(
        self, request: pb.RenderTemplateRequest, call: Call
    ) -> pb.RenderTemplateResponse:
        """Render a template without sending anything."""
        match request.WhichOneof("source"):
            case "template_id":
                template = await self._find(call.tenant_id, request.template_id)
                sources, wanted = template.sources, template.variables
            case "template":
                sources, wanted = await self._made(request.template, call.tenant_id)
            case _:
                raise invalid("template_id", "is required, or a template to try out")
        variables = read_variables(request.variables, "variables")
        check_variables(variables, wanted, "variables")
        made = await self._templating.render(call.tenant_id, sources, variables, "variables")
        return pb.RenderTemplateResponse(
            subject=made.subject, text_body=made.text_body, html_body=made.html_body
        )

    async def _find(self, tenant_id: UUID, template_id: str) -> Template:
        checked_id(template_id, "template_id")
        template = await self._templates.find(tenant_id, template_id)
        if template is None:
            raise await self._templates.missing(tenant_id, template_id)
        return template

    async def _made(self, asked: pb.Template, tenant_id: UUID) -> Made:
        """Give what a template shall hold, when it may."""
        sources = sources_of(asked, "template")
        used = await self._templating.used(tenant_id, sources, "template")
        return sources, declared(asked.variables, used, "template")

    async def _create(
        self, request: pb.ManageTemplateRequest, tenant_id: UUID
    ) -> tuple[Template, bool]:
        if request.update_mask.paths:
            raise invalid("update_mask", "only for UPDATE")
        asked = request.template
        made = await self._made(asked, tenant_id)
        template = await self._templates.create(
            tenant_id, asked.template_id, made, validate_only=request.validate_only
        )
        return template, True

    async def _update(
        self, request: pb.ManageTemplateRequest, tenant_id: UUID
    ) -> tuple[Template, bool]:
        asked = request.template
        fields = to_update(asked, request.update_mask.paths)
        may_create = request.allow_missing and not asked.etag
        if may_create and await self._templates.find(tenant_id, asked.template_id) is None:
            request.update_mask.Clear()
            return await self._create(request, tenant_id)
        template = await self._templates.update(
            tenant_id,
            asked.template_id,
            lambda current: self._made(merged(asked, fields, current), tenant_id),
            asked.etag,
            validate_only=request.validate_only,
        )
        return template, False

    async def _delete(
        self, request: pb.ManageTemplateRequest, tenant_id: UUID
    ) -> tuple[Template, bool]:
        asked = request.template
        template = await self._templates.delete(
            tenant_id, asked.template_id, asked.etag, validate_only=request.validate_only
        )
        return template, False
