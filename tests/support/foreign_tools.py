"""grpcurl and `buf curl`, each by its own flags, as one thing that lists, describes and calls.

Neither is given a proto file: all that they know they have from the server's reflection.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import any_pb2, json_format
from google.rpc import error_details_pb2  # noqa: F401 - read by name below

from tests.support.foreign import PROGRAMS, Done, Place, call, first_objects

SERVICE = "mailproxy.v1."


@dataclass(frozen=True)
class Grpcurl:
    """grpcurl, which asks by grpc.reflection.v1alpha."""

    place: Place

    async def services(self) -> list[str]:
        return (await self._run("list")).out.split()

    async def describe(self, service: str) -> str:
        return (await self._run("describe", SERVICE + service)).out

    async def call(self, method: str, request: object) -> Done:
        return await call(self.place.folder, *self._command(request), SERVICE + method)

    async def stream(self, method: str, request: object, count: int) -> list[Any]:
        command = [*self._command(request), SERVICE + method]
        return await first_objects(self.place.folder, count, *command)

    def error(self, done: Done) -> tuple[str, dict[str, Any]]:
        """Give the code, and the details by their type's last name."""
        told = json.loads(done.err)
        details = {one["@type"].rpartition(".")[2]: one for one in told["details"]}
        return {3: "invalid_argument"}[told["code"]], details

    async def _run(self, *words: str) -> Done:
        program = PROGRAMS / "grpcurl"
        return await call(self.place.folder, program, "-plaintext", self.place.address, *words)

    def _command(self, request: object) -> Sequence[str | Path]:
        given = ["-plaintext", "-format-error", "-H", self.place.authorization]
        return [PROGRAMS / "grpcurl", *given, "-d", json.dumps(request), self.place.address]


@dataclass(frozen=True)
class BufCurl:
    """`buf curl`, by the version of reflection that it is told to use."""

    place: Place
    reflection: str

    async def services(self) -> list[str]:
        return (
            await call(self.place.folder, *self._command(), "--list-services", self._url)
        ).out.split()

    async def describe(self, service: str) -> str:
        """Give the names of its methods; it tells no more."""
        listed = await call(self.place.folder, *self._command(), "--list-methods", self._url)
        return "\n".join(line for line in listed.out.split() if f"{SERVICE}{service}/" in line)

    async def call(self, method: str, request: object) -> Done:
        return await call(
            self.place.folder, *self._command(request), f"{self._url}/{SERVICE}{method}"
        )

    async def stream(self, method: str, request: object, count: int) -> list[Any]:
        command = [*self._command(request), f"{self._url}/{SERVICE}{method}"]
        return await first_objects(self.place.folder, count, *command)

    def error(self, done: Done) -> tuple[str, dict[str, Any]]:
        """Give the code, and the details by their type's last name; it shows them in Base64."""
        told = json.loads(done.err)
        details = {}
        for one in told["details"]:
            octets = base64.b64decode(one["value"] + "=" * (-len(one["value"]) % 4))
            packed = any_pb2.Any(type_url=f"type.googleapis.com/{one['type']}", value=octets)
            words = json_format.MessageToDict(packed, preserving_proto_field_name=True)
            details[one["type"].rpartition(".")[2]] = words
        return told["code"], details

    @property
    def _url(self) -> str:
        return f"http://{self.place.address}"

    def _command(self, request: object = None) -> Sequence[str | Path]:
        how = [
            "--protocol",
            "grpc",
            "--http2-prior-knowledge",
            "--reflect-protocol",
            self.reflection,
        ]
        given = (
            [] if request is None else ["-H", self.place.authorization, "-d", json.dumps(request)]
        )
        return [PROGRAMS / "buf", "curl", *how, *given]
