"""The gRPC edge: one servicer a service, and the chain that every call passes.

How a service is written for this edge (the interface of the room):

- A servicer is a plain class and never touches grpc. A unary RPC is
  `async def Name(self, request: pb2.NameRequest, call: Call) -> pb2.NameResponse`; a
  server-streaming one is an async generator `async def Name(self, request, call)` that yields
  responses. `call.Call` holds the tenant, the traceparent, the request's size, the deadline.
- It raises `mail.errors.CallerError` or `Unavailable`; `faults.Faults` takes a database that
  is away for `Unavailable` as well, and any other exception for a bug of ours (INTERNAL and an
  id, details in the log only). Errors inside a response (SubmitResult.error) are made by
  `to_status(faults.translate(error))`.
- A stream that the client or a drain ends is cancelled at its `await` or closed at its `yield`:
  clean up in `finally` and nowhere else. It need not look for a drain by itself.
- A request is read once its caller is known and there is room for it (`bodies`), which it keeps
  until it is answered. A stream that needs its request no more calls `call.release()`.
- `Edge(authenticate, Faults(on_bug), inflight_bytes, ...)` holds the chain's parts, and
  `Registry(edge)` the services; `registry.add(DESCRIPTOR, servicer,
  strict={"SubmitMessage"})` registers a service, `strict` naming the RPCs whose requests may
  hold no unknown field. A batch that wants one result each calls
  `unknown.refuse_unknown` on each of its messages instead.
- `server.GrpcServer(registry, ...)` serves it: bind, start, drain.
"""
