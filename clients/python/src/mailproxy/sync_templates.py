"""Templates by `MailProxyClient`. Twin: `aio_templates`."""

from collections.abc import Mapping
from typing import Any, Unpack

from mailproxy import templates
from mailproxy.sync_connection import SyncConnection
from mailproxy.templates import TemplateFields
from mailproxy.v1 import template_pb2


class Templates:
    """This part of the client."""

    _connection: SyncConnection

    def create_template(
        self,
        template_id: str,
        *,
        timeout: float | None = None,
        **fields: Unpack[TemplateFields],
    ) -> template_pb2.Template:
        """Make a template; its fields are those of `TemplateFields`."""
        return self._manage_template(templates.creation(template_id, fields), timeout)

    def update_template(
        self,
        template_id: str,
        *,
        allow_missing: bool = False,
        etag: str = "",
        timeout: float | None = None,
        **fields: Unpack[TemplateFields],
    ) -> template_pb2.Template:
        """Change the given fields of a template, or make it with `allow_missing`."""
        request = templates.change(template_id, fields, allow_missing=allow_missing, etag=etag)
        return self._manage_template(request, timeout)

    def delete_template(
        self, template_id: str, *, etag: str = "", timeout: float | None = None
    ) -> template_pb2.Template:
        """Remove a template; what was submitted with it is sent all the same."""
        return self._manage_template(templates.deletion(template_id, etag=etag), timeout)

    def get_template(
        self, template_id: str, *, timeout: float | None = None
    ) -> template_pb2.Template:
        """Read a template."""
        request = template_pb2.GetTemplateRequest(template_id=template_id)
        response = self._connection.call(lambda s: s.templates.GetTemplate, request, timeout)
        return response.template

    def list_templates(self, *, timeout: float | None = None) -> list[template_pb2.Template]:
        """List all templates, without their bodies."""
        found: list[template_pb2.Template] = []
        request = template_pb2.ListTemplatesRequest(page_size=1000)
        while True:
            page = self._connection.call(lambda s: s.templates.ListTemplates, request, timeout)
            found.extend(page.templates)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    def render_template(
        self, template_id: str, variables: Mapping[str, Any], *, timeout: float | None = None
    ) -> template_pb2.RenderTemplateResponse:
        """Give what a message from a template would hold, without sending one."""
        request = templates.rendering(template_id, variables)
        return self._connection.call(lambda s: s.templates.RenderTemplate, request, timeout)

    def _manage_template(
        self, request: template_pb2.ManageTemplateRequest, timeout: float | None
    ) -> template_pb2.Template:
        response = self._connection.call(
            lambda s: s.templates.ManageTemplate,
            request,
            timeout,
            repeatable=templates.repeatable(request),
        )
        return response.template
