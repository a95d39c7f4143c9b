"""gRPC Mail Proxy: takes an email in one call, queues it durably, sends it, reports on it.

The rooms and the direction of their imports are described in CONTRIBUTING.md.
"""

__version__ = "0.1.0"
