"""Accounts and what their relays said, in the words of the contract. Pure."""

from google.protobuf.duration_pb2 import Duration
from mailproxy.v1 import account_pb2, delivery_pb2

from mailproxy_server.accounts.account import Account, Oauth
from mailproxy_server.accounts.keyed import DkimKey, Endpoint
from mailproxy_server.content.dkim_keys import dns_text
from mailproxy_server.mail.transcript import Exchange, Fault, FaultKind, Reply, Stage
from mailproxy_server.policy.retry import RetryPolicy
from mailproxy_server.rpc.account_health import limit_to_wire
from mailproxy_server.smtp.verify import Verified

_TLS = {
    "starttls": account_pb2.TLS_MODE_STARTTLS,
    "implicit": account_pb2.TLS_MODE_IMPLICIT,
    "none": account_pb2.TLS_MODE_NONE,
}
_BEHAVIORS = {
    "defer": account_pb2.LIMIT_BEHAVIOR_DEFER,
    "reject": account_pb2.LIMIT_BEHAVIOR_REJECT,
}

_AUTHS = {
    "none": account_pb2.ENDPOINT_AUTH_NONE,
    "bearer": account_pb2.ENDPOINT_AUTH_BEARER,
    "basic": account_pb2.ENDPOINT_AUTH_BASIC,
    "header": account_pb2.ENDPOINT_AUTH_HEADER,
}
_ALGORITHMS = {
    "rsa": account_pb2.DKIM_ALGORITHM_RSA_SHA256,
    "ed25519": account_pb2.DKIM_ALGORITHM_ED25519_SHA256,
}


def to_wire(account: Account) -> account_pb2.Account:
    """Give an account as callers see it: without its secrets."""
    wire = account_pb2.Account(
        account_id=account.account_id,
        host=account.host,
        port=account.port,
        tls=_TLS[account.tls],
        tls_insecure_skip_verify=account.tls_insecure_skip_verify,
        tls_ca_certificates=account.tls_ca_certificates,
        username=account.username,
        has_password=account.has_password,
        ehlo_name=account.ehlo_name,
        max_connections=account.max_connections,
        max_recipients_per_transaction=account.max_recipients_per_transaction,
        max_messages_per_connection=account.max_messages_per_connection,
        disable_pipelining=not account.pipelining,
        is_default=account.is_default,
        idle_ttl=_duration(account.idle_ttl_seconds),
        limits=[limit_to_wire(limit) for limit in account.limits],
        limit_behavior=_BEHAVIORS[account.limit_behavior],
        rate_group=account.rate_group,
        retry=_retry(account.retry),
        fallback_account_ids=account.fallback_account_ids,
        failover_patience=_duration(account.failover_patience_seconds),
        capture=account.capture,
        oauth=_oauth(account.oauth) if account.oauth else None,
        attachment_endpoints=[_endpoint(one) for one in account.attachment_endpoints],
        dkim_keys=[_dkim_key(one) for one in account.dkim_keys],
        dkim_unsigned_headers=account.dkim_unsigned_headers,
        etag=account.etag,
    )
    wire.create_time.FromDatetime(account.created_at)
    wire.update_time.FromDatetime(account.updated_at)
    return wire


def _retry(policy: RetryPolicy) -> account_pb2.RetryPolicy:
    return account_pb2.RetryPolicy(
        first_delay=_duration(policy.first),
        factor=policy.factor,
        max_delay=_duration(policy.cap),
        jitter=policy.jitter,
        max_attempts=policy.max_attempts or 0,
        max_age=_duration(policy.max_age),
    )


def _oauth(oauth: Oauth) -> account_pb2.OauthGrant:
    return account_pb2.OauthGrant(
        token_url=oauth.token_url,
        client_id=oauth.client_id,
        scope=oauth.scope,
        has_client_secret=oauth.has_client_secret,
        has_refresh_token=oauth.has_refresh_token,
    )


def _endpoint(endpoint: Endpoint) -> account_pb2.AttachmentEndpoint:
    return account_pb2.AttachmentEndpoint(
        name=endpoint.name,
        url=endpoint.url,
        auth=_AUTHS[endpoint.auth],
        username=endpoint.username,
        header_name=endpoint.header_name,
        has_secret=endpoint.has_secret,
    )


def _dkim_key(key: DkimKey) -> account_pb2.DkimKey:
    return account_pb2.DkimKey(
        domain=key.domain,
        selector=key.selector,
        algorithm=_ALGORITHMS[key.algorithm],
        dns_name=key.place,
        dns_text=dns_text(key.algorithm, key.public_key),
    )


def _duration(seconds: float) -> Duration:
    value = Duration()
    value.FromNanoseconds(round(seconds * 1e9))
    return value


def verified(account: Account, found: Verified) -> account_pb2.VerifyAccountResponse:
    """Give what a connection to the account's relay came to."""
    response = account_pb2.VerifyAccountResponse(
        ok=found.ok,
        exchanges=[_exchange(one) for one in found.exchanges],
        capabilities=found.capabilities,
        tls_version=found.tls_version,
    )
    if not found.ok:
        response.reason = _reason(found)
        response.problem = _problem(account, found, response.reason)
    return response


def unreadable(words: str) -> account_pb2.VerifyAccountResponse:
    """Give the answer for an account whose secrets do not open."""
    return account_pb2.VerifyAccountResponse(
        ok=False, reason=delivery_pb2.FAILURE_REASON_RELAY_AUTH, problem=words
    )


def _exchange(exchange: Exchange) -> delivery_pb2.SmtpExchange:
    wire = delivery_pb2.SmtpExchange(
        stage=exchange.stage, command=exchange.command, elapsed_ms=exchange.elapsed_ms
    )
    answer = exchange.answer
    if isinstance(answer, Reply):
        wire.reply.CopyFrom(
            delivery_pb2.SmtpReply(
                code=answer.code,
                enhanced_code=answer.enhanced,
                text=answer.text,
                stage=exchange.stage,
                text_truncated=answer.truncated,
            )
        )
    else:
        wire.fault = _fault(answer)
    return wire


def _fault(fault: Fault) -> str:
    return f"{fault.kind}: {fault.detail}" if fault.detail else str(fault.kind)


def _reason(found: Verified) -> delivery_pb2.FailureReason.ValueType:
    kind = found.problem.kind if isinstance(found.problem, Fault) else None
    if kind is FaultKind.TLS or found.stage is Stage.STARTTLS:
        return delivery_pb2.FAILURE_REASON_RELAY_TLS
    if kind is FaultKind.AUTH or (found.stage is Stage.AUTH and kind is None):
        return delivery_pb2.FAILURE_REASON_RELAY_AUTH
    return delivery_pb2.FAILURE_REASON_RELAY_UNREACHABLE


_REMEDIES = {
    delivery_pb2.FAILURE_REASON_RELAY_TLS: (
        "TLS failed",
        "check the TLS mode and port; for a private authority give tls_ca_certificates",
    ),
    delivery_pb2.FAILURE_REASON_RELAY_AUTH: (
        "the relay did not accept the credentials",
        "set them anew with `mailproxy account set {id} --username ... --password-stdin`",
    ),
    delivery_pb2.FAILURE_REASON_RELAY_UNREACHABLE: (
        "no usable connection",
        "check host and port, and that this machine may connect to them",
    ),
}
_OAUTH_REMEDY = (
    "check the application's rights and the user, or set the secret anew with "
    "`mailproxy account set {id} --oauth-secret-stdin`"
)


def _problem(
    account: Account, found: Verified, reason: delivery_pb2.FailureReason.ValueType
) -> str:
    what, remedy = _REMEDIES[reason]
    if account.oauth and reason == delivery_pb2.FAILURE_REASON_RELAY_AUTH:
        remedy = _OAUTH_REMEDY
    answer = found.problem
    if isinstance(answer, Reply):
        said = " ".join(part for part in (str(answer.code), answer.enhanced, answer.text) if part)
    else:
        said = _fault(answer) if answer is not None else ""
    where = f"{account.host}:{account.port}"
    return f"{what} ({where}: {said}); {remedy.format(id=account.account_id)}"
