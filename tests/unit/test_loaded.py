"""What a dispatcher does not need is not in its memory."""

import subprocess
import sys


def test_a_dispatcher_loads_neither_grpc_nor_a_web_server_nor_alembic() -> None:
    program = (
        "import sys, mailproxy_server.app.roles, mailproxy_server.app.dispatch;"
        "print({'grpc', 'aiohttp.web', 'alembic'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
