"""A process that renders for a front: one request at a time, a line of JSON each way.

It has little memory, no way to start anything, and ends with its stdin. It is ended from outside
when it takes too long.
"""

import json
import resource
import signal
import sys
from dataclasses import asdict
from typing import Any

from mailproxy_server.templates.engine import read, render
from mailproxy_server.templates.template import Flaw, Sources

MEMORY = 384 * 2**20
"""Bytes of address space."""
SECONDS_MOST = 60
"""After which it ends by itself."""


def main() -> None:
    """Answer requests until there are no more."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin.buffer:
        signal.alarm(SECONDS_MOST)  # should nobody be there any more to end this process
        answer = json.dumps(_answer(json.loads(line)))
        signal.alarm(0)
        sys.stdout.buffer.write(answer.encode() + b"\n")
        sys.stdout.buffer.flush()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    sources = Sources(**request["sources"])
    try:
        if "variables" not in request:
            return {"used": read(sources)}
        return {"made": asdict(render(sources, request["variables"]))}
    except Flaw as flaw:
        return {"flaw": [flaw.part, flaw.words[:500], flaw.variable[:100]]}
    except MemoryError:
        return {"flaw": ["", "takes more memory than rendering may", ""]}


if __name__ == "__main__":
    main()
