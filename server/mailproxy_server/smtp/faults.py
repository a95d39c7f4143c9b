"""Turns what the library and the system raise into a Reply or a Fault.

Pure. Details are ours and short: they reach callers, so no path, no credential and no
traceback goes into them.
"""

import errno
import os
import socket
import ssl

import aiosmtplib

from mailproxy_server.mail.transcript import Fault, FaultKind, Reply
from mailproxy_server.smtp.replies import make_reply

EXPECTED = (aiosmtplib.SMTPException, OSError)
"""What connecting may raise; anything else is a bug of ours. ssl's errors are OSErrors."""


def answer_of(error: BaseException) -> Reply | Fault:
    """Give the relay's reply that the exception carries, or the fault that it stands for."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        if 200 <= error.code < 600:
            return make_reply(error.code, error.message)
        return Fault(FaultKind.PROTOCOL, "the relay did not answer in SMTP")
    cause = _root(error)
    if isinstance(cause, ssl.SSLError):
        return Fault(FaultKind.TLS, describe(cause))
    if isinstance(error, TimeoutError):
        return Fault(FaultKind.TIMEOUT, "no answer in time")
    if isinstance(cause, aiosmtplib.SMTPServerDisconnected):
        return Fault(FaultKind.CLOSED, "the relay closed the connection")
    if isinstance(cause, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return Fault(FaultKind.CLOSED, describe(cause))
    return Fault(FaultKind.UNREACHABLE, describe(cause))


def tls_fault(error: BaseException) -> Fault:
    """Give the fault of a handshake that failed in whatever way."""
    return Fault(FaultKind.TLS, f"the TLS handshake failed: {describe(_root(error))}")


def describe(error: BaseException) -> str:
    """Say what happened in a few words of the system's."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate was not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS error").replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return "the host name does not resolve"
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno).lower()
    return _PLAIN.get(type(error), "the connection was lost")


_PLAIN: dict[type[BaseException], str] = {
    ConnectionResetError: "the relay reset the connection",
    ConnectionAbortedError: "the connection was given up",
    TimeoutError: "no answer in time",
}


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None and isinstance(error.__cause__, OSError):
        error = error.__cause__
    return error
