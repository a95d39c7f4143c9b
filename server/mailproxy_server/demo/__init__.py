"""The demo: an inbox that catches everything, sample messages, and a crash to watch.

An honest user of the client library, like the CLI: it reaches the server by gRPC alone.
"""
