"""Server reflection in both versions, so that grpcurl and buf curl need no proto files.

The package has v1alpha alone. v1 differs in the package's name only, so the same servicer
answers under both, and v1's descriptor is made from v1alpha's.
"""

import contextlib
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from grpc_reflection.v1alpha import reflection, reflection_pb2

from mailproxy_server.rpc.edge import Context
from mailproxy_server.rpc.registry import Registry

ALPHA = "grpc.reflection.v1alpha"
STABLE = "grpc.reflection.v1"


def add_reflection(registry: Registry) -> None:
    """Make `registry` describe every service that it has by now, and reflection itself."""
    _describe_stable()
    names = [f"{package}.ServerReflection" for package in (STABLE, ALPHA)]
    servicer: Any = reflection.aio.ReflectionServicer((*registry.services, *names))
    for name in names:
        streams = registry.streams(name)

        async def inform(_: object, context: Context, streams: Any = streams) -> None:
            async def answer() -> None:
                requests = registry.foreign_requests(
                    context, reflection_pb2.ServerReflectionRequest
                )
                async with contextlib.aclosing(requests):
                    async for response in servicer.ServerReflectionInfo(requests, context):
                        await context.write(response)

            await registry.foreign_stream(streams, answer(), context)

        registry.add_foreign(
            f"/{name}/ServerReflectionInfo",
            grpc.stream_stream_rpc_method_handler(
                inform,
                response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
            ),
        )


def _describe_stable() -> None:
    alpha = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
    words = str(alpha).replace(ALPHA, STABLE).replace("reflection/v1alpha", "reflection/v1")
    stable = text_format.Parse(words, descriptor_pb2.FileDescriptorProto())
    descriptor_pool.Default().AddSerializedFile(stable.SerializeToString())
