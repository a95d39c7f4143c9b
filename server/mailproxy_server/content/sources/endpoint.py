"""Attachments from an account's endpoints: POST of parameters in JSON, authenticated."""

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from mailproxy.v1 import message_pb2

from mailproxy_server.content.parameters import as_json
from mailproxy_server.content.sources.asking import Asker, Question
from mailproxy_server.content.sources.source import Unfetchable
from mailproxy_server.content.vetting import vet_url


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint as it is asked. `auth` is "none", "bearer", "basic" or "header"."""

    url: str
    auth: str
    username: str
    header_name: str
    secret: str = field(repr=False)

    def headers(self) -> dict[str, str]:
        """Give what authenticates a request (RFC 6750, RFC 7617, or a header by itself)."""
        match self.auth:
            case "bearer":
                return {"Authorization": f"Bearer {self.secret}"}
            case "basic":
                pair = base64.b64encode(f"{self.username}:{self.secret}".encode()).decode()
                return {"Authorization": f"Basic {pair}"}
            case "header":
                return {self.header_name: self.secret}
        return {}


class Endpoints:
    """The source `endpoint` of one account, whose endpoints have these names."""

    def __init__(self, asker: Asker, targets: Mapping[str, Target]) -> None:
        self._asker = asker
        self._targets = targets

    def origin(self, file: message_pb2.Attachment) -> str:
        """Give scheme, host and port."""
        return vet_url(self._target(file).url).origin

    def open(
        self, file: message_pb2.Attachment
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Ask it."""
        target, body = self._target(file), as_json(file.endpoint.parameters)
        return self._asker.ask(Question(target.url, target.headers(), body))

    def _target(self, file: message_pb2.Attachment) -> Target:
        target = self._targets.get(file.endpoint.name)
        if target is None:
            raise Unfetchable(f"the account has no endpoint {file.endpoint.name} (any more)")
        return target
