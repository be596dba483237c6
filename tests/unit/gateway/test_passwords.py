"""Passwords: hashes of other systems are read as they are; one question costs what another costs."""

import asyncio
import threading

import pytest

from lakelink.config.secret import Secret
from lakelink.errors import Unreachable, Unsupported, UsageError
from lakelink.gateway.credentials import crypt, passwords
from lakelink.gateway.credentials.passwords import PasswordChecker
from lakelink.gateway.credentials.schemes import recognise, scheme_of
from lakelink.gateway.server.authority import Authority
from lakelink.model.account import Account, Proof

SETTINGS = {
    "yescrypt": "$y$j75$wiYyzFBBsQqWjiLUnRm1b0$",
    "sha512crypt": "$6$rounds=1000$saltsalt$",
    "sha256crypt": "$5$rounds=1000$saltsalt$",
    "bcrypt": "$2b$04$abcdefghijklmnopqrstuu",
}


def made(kind):
    hashed = crypt.crypt("correct horse", SETTINGS[kind])
    if not hashed:
        pytest.skip(f"the system's libcrypt knows no {kind}")
    return hashed


@pytest.mark.parametrize("kind", SETTINGS)
def test_hashes_of_every_kind_are_verified_as_they_are(kind):
    hashed = made(kind)
    assert recognise(hashed).name == kind
    assert crypt.matches("correct horse", hashed)
    assert not crypt.matches("correct hors", hashed)
    assert not crypt.matches("", hashed)


# From the specification of SHA-crypt (as OpenSSL computes it too) and the test vectors of crypt_blowfish.
@pytest.mark.parametrize(
    ("password", "hashed"),
    [
        ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
        (
            "Hello world!",
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        ),
        ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    ],
)
def test_published_vectors_are_verified(password, hashed):
    assert crypt.matches(password, hashed)
    assert not crypt.matches(password + "!", hashed)


def test_a_new_hash_is_strong_and_salted():
    one, other = crypt.hash_password(Secret("correct horse")), crypt.hash_password(Secret("correct horse"))
    assert one != other
    assert scheme_of(one).name in {"yescrypt", "sha512crypt"}
    assert crypt.matches("correct horse", one)


@pytest.mark.parametrize("password", ["", "a\0b", "x" * 600])
def test_what_cannot_be_a_password_is_refused(password):
    with pytest.raises(Unsupported):
        crypt.hash_password(Secret(password))
    assert not crypt.matches(password, SETTINGS["sha512crypt"])


@pytest.mark.parametrize(
    "text", ["", "!", "*", "!!", "$6$", "$9$x$y", "plain", "$y$j9T$short$x", "!$6$salt$" + "a" * 86]
)
def test_what_is_no_hash_is_refused_and_not_repeated(text):
    with pytest.raises(UsageError) as raised:
        scheme_of(text)
    assert len(text) < 4 or text not in raised.value.message


@pytest.mark.parametrize("text", ["$1$saltsalt$" + "a" * 22, "abJnggxhB/yWI"])
def test_weak_hashes_are_known_and_refused(text):
    assert recognise(text).is_weak
    with pytest.raises(UsageError, match="too weak"):
        scheme_of(text)


class Place:
    def __init__(self, *accounts):
        self._accounts = {account.name: account for account in accounts}

    async def find(self, name):
        return self._accounts.get(name)


@pytest.mark.parametrize("name", ["ann", "keys-only", "no-password", "nobody", ""])
def test_a_wrong_password_costs_one_hash_whoever_it_is_for(name, monkeypatch):
    hashed = crypt.hash_password(Secret("correct horse"))
    place = Place(
        Account(name="ann", password_hash=hashed),
        Account(name="keys-only", password_hash=hashed, proof=Proof.KEY),
        Account(name="no-password"),
    )
    passwords.nobody()
    computed = []
    really = crypt.crypt
    monkeypatch.setattr(crypt, "crypt", lambda *asked: computed.append(asked[1][:4]) or really(*asked))
    checker = PasswordChecker()
    assert asyncio.run(Authority([place], checker).check(name, "wrong", "192.0.2.1")) is None
    assert computed == [hashed[:4]]
    assert checker.checks == 1
    checker.close()


def test_the_right_password_lets_in_and_one_that_is_empty_never_does():
    hashed = crypt.hash_password(Secret("correct horse"))
    place = Place(Account(name="ann", password_hash=hashed), Account(name="bob"))
    checker = PasswordChecker()

    async def ask():
        authority = Authority([place], checker)
        return [
            await authority.check("ann", "correct horse", "192.0.2.1"),
            await authority.check("bob", "", "192.0.2.1"),
            await authority.check("ann", "", "192.0.2.1"),
        ]

    good, *bad = asyncio.run(ask())
    assert good.name == "ann"
    assert bad == [None, None]
    checker.close()


def test_checks_run_beside_the_loop_and_their_number_is_bounded(monkeypatch):
    held = threading.Event()
    monkeypatch.setattr(passwords, "_check", lambda *_: held.wait(20))
    monkeypatch.setattr(passwords, "WAITING", 3)

    async def flood():
        checker = PasswordChecker(threads=1)
        asked = [asyncio.create_task(checker.check("$", "x")) for _ in range(10)]
        refused, _ = await asyncio.wait(asked[4:])  # the loop turns while a check is under way
        assert len(refused) == 6
        assert all(isinstance(task.exception(), Unreachable) for task in refused)
        held.set()
        assert await asyncio.gather(*asked[:4]) == [True] * 4
        checker.close()

    asyncio.run(flood())
