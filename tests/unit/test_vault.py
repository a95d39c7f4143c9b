import pytest
from mailproxy_server.accounts.vault import Vault, VaultError

KEY = bytes(range(32))


def test_what_was_sealed_opens_again() -> None:
    vault = Vault(KEY)
    assert vault.open("t/a/password", vault.seal("t/a/password", "pässwörd")) == "pässwörd"


def test_the_same_secret_is_never_sealed_alike() -> None:
    vault = Vault(KEY)
    assert vault.seal("c", "secret") != vault.seal("c", "secret")


def test_nothing_of_the_secret_is_in_the_sealed_bytes() -> None:
    assert b"secret" not in Vault(KEY).seal("c", "secret")


def test_another_key_is_told_by_its_name() -> None:
    sealed = Vault(KEY).seal("c", "secret")
    with pytest.raises(VaultError, match="MAILPROXY_SECRET_KEY differs"):
        Vault(bytes(32)).open("c", sealed)


def test_a_secret_moved_to_another_row_does_not_open() -> None:
    vault = Vault(KEY)
    with pytest.raises(VaultError):
        vault.open("t/b/password", vault.seal("t/a/password", "secret"))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x02" + bytes(40), b"\x01" + bytes(20)])
def test_bytes_that_were_never_sealed_are_an_error(sealed: bytes) -> None:
    with pytest.raises(VaultError):
        Vault(KEY).open("c", sealed)


def test_a_changed_byte_does_not_open() -> None:
    sealed = bytearray(Vault(KEY).seal("c", "secret"))
    sealed[-1] ^= 1
    with pytest.raises(VaultError):
        Vault(KEY).open("c", bytes(sealed))


@pytest.mark.parametrize("key", [b"", b"short", bytes(33)])
def test_a_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="needs 32"):
        Vault(key)


def test_the_key_is_in_no_repr() -> None:
    assert repr(Vault(KEY)) == "Vault()"
