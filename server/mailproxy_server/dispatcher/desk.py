"""What all lanes of a dispatcher work with."""

from collections.abc import Callable
from dataclasses import dataclass

from mailproxy_server.dispatcher.claims import Claims, Scope
from mailproxy_server.dispatcher.crew import Bug
from mailproxy_server.dispatcher.files import Files
from mailproxy_server.dispatcher.limited import Limited
from mailproxy_server.dispatcher.recording import Recording
from mailproxy_server.dispatcher.relays import Key, Relays
from mailproxy_server.dispatcher.sending import Lease
from mailproxy_server.dispatcher.settler import Settler
from mailproxy_server.dispatcher.shelf import Shelf
from mailproxy_server.queue.hot import Pool


@dataclass(frozen=True, slots=True)
class Desk:
    """Given to each lane. `changed` is told of an account whose health has changed; `limited`
    makes the limited claims of a lane from its claims; `share` is the gates'; `late` tells whether
    our lease is not renewed in time."""

    pool: Pool
    scope: Scope
    relays: Relays
    settler: Settler
    lease: Lease
    late: Callable[[], bool]
    share: float
    files: Files
    shelf: Shelf
    recording: Recording
    limited: Callable[[Claims], Limited]
    changed: Callable[[Key], None]
    bug: Bug
