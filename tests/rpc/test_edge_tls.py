from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import trustme
from mailproxy_server.rpc.server import GrpcServer, TlsFiles

from tests.support.edge import AUTH, SUBMIT, calling, raw_submit, refused, serving


async def test_with_a_certificate_calls_are_encrypted_and_clear_ones_fail(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    files = TlsFiles(tmp_path / "chain.pem", tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(files.certificate)
    certificate.private_key_pem.write_to_path(files.key)
    trust = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    async with serving(tls=files) as served, calling(served) as clear:
        async with grpc.aio.secure_channel(f"localhost:{served.port}", trust) as channel:
            method: Any = channel.unary_unary(SUBMIT)
            assert await method(b"", metadata=AUTH, timeout=10)
        refusal = await refused(raw_submit(clear, b"", timeout=2))
    assert refusal.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


async def test_files_that_cannot_be_read_are_an_os_error(tmp_path: Path) -> None:
    async with serving() as served:
        server = GrpcServer(served.registry)
        with pytest.raises(OSError, match=r"key\.pem"):
            server.bind("127.0.0.1:0", TlsFiles(tmp_path / "chain.pem", tmp_path / "key.pem"))
