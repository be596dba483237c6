"""Logins of every kind, and every refusal, by OpenSSH, asyncssh and paramiko."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading

import asyncssh
import paramiko
import pytest

from lakelink.gateway.server import login
from lakelink.model.account import Proof
from tests.integration.gateway.server_scene import HASH, KEYS, LINE, PASSWORD, account, server


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """What is refused is answered at once: there are many refusals here, and how late they are is shown elsewhere."""
    monkeypatch.setattr(login, "NO_BEFORE_S", 0.01)


needs_openssh = pytest.mark.skipif(
    shutil.which("sftp") is None, reason="needs the OpenSSH client (apt: openssh-client)"
)


@needs_openssh
def test_openssh_logs_in_with_a_key_and_with_a_password_and_scp_copies(tmp_path):
    (tmp_path / "file").write_text("hello")

    async def story():
        async with server(tmp_path, [account()]) as scene:
            code, said = await scene.run(
                "sftp", *scene.openssh("-b", "-", "-P", str(scene.port)), "ann@127.0.0.1", stdin=b"put file\nls -l\n"
            )
            assert code == 0, said
            asking = ("-oPubkeyAuthentication=no", "-oPreferredAuthentications=password", "-P", str(scene.port))
            code, said = await scene.run(
                "sftp", *scene.openssh(*asking), "ann@127.0.0.1", stdin=b"ls\n", **scene.askpass(PASSWORD)
            )
            assert code == 0
            assert "file" in said
            code, said = await scene.run(
                "scp", *scene.openssh("-P", str(scene.port)), f"{tmp_path}/file", "ann@127.0.0.1:/copy"
            )
            assert code == 0, said
            return scene.audit("login")

    logins = asyncio.run(in_folder(tmp_path, story()))
    assert [(line["method"], line["result"]) for line in logins] == [
        ("key", "done"),
        ("password", "done"),
        ("key", "done"),
    ]
    assert {line["user"] for line in logins} == {"ann"}
    assert all(line["client"].startswith("SSH-2.0-OpenSSH") for line in logins)


async def in_folder(folder, story):
    """`put file` is relative to the directory of the program."""
    import contextlib

    with contextlib.chdir(folder):
        return await story


@needs_openssh
def test_openssh_is_given_nothing_but_sftp(tmp_path):
    async def story():
        async with server(tmp_path, [account()]) as scene:
            port = ("-p", str(scene.port))
            results = {}
            for name, arguments in {
                "exec": ("true",),
                "shell": (),
                "pty": ("-tt",),
                "subsystem": ("-s", "netconf"),
            }.items():
                options = [each for each in arguments if each.startswith("-t")]
                rest = [each for each in arguments if not each.startswith("-t")]
                results[name] = await scene.run("ssh", *scene.openssh(*port), *options, "ann@127.0.0.1", *rest)
            remote = ("-N", "-R", "0:127.0.0.1:1", "-oExitOnForwardFailure=yes")
            results["remote"] = await scene.run("ssh", *scene.openssh(*port, *remote), "ann@127.0.0.1")
            return results

    for name, (code, said) in asyncio.run(story()).items():
        assert code != 0, (name, said)
        assert "failed" in said or "PTY" in said or "closed" in said, (name, said)


def test_forwardings_agents_and_other_channels_are_refused(tmp_path):
    async def story():
        async with server(tmp_path, [account()]) as scene, scene.connect() as client:
            with pytest.raises(asyncssh.ChannelOpenError):
                await client.open_connection("127.0.0.1", scene.port)
            with pytest.raises(asyncssh.ChannelListenError):
                await client.forward_remote_port("", 0, "127.0.0.1", 1)
            with pytest.raises(asyncssh.ChannelOpenError):
                await client.open_unix_connection("/var/run/x")
            with pytest.raises(asyncssh.ChannelOpenError):
                await client.run("true")
            with pytest.raises(asyncssh.ChannelOpenError):
                await client.create_session(asyncssh.SSHClientSession, term_type="xterm")
            async with client.start_sftp_client() as sftp:
                assert await sftp.listdir("/") == [".", ".."] or await sftp.listdir("/") == []

    asyncio.run(story())


@needs_openssh
def test_the_key_alone_does_not_let_in_who_needs_the_password_too(tmp_path):
    async def story():
        async with server(tmp_path, [account(proof=Proof.BOTH)]) as scene:
            once = ("-oNumberOfPasswordPrompts=1", "-oPreferredAuthentications=publickey,password")
            both = scene.openssh("-P", str(scene.port), *once)
            good = await scene.run("sftp", *both, "ann@127.0.0.1", stdin=b"ls\n", **scene.askpass(PASSWORD))
            bad = await scene.run("sftp", *both, "ann@127.0.0.1", stdin=b"ls\n", **scene.askpass("wrong"))
            only_key = await scene.run("sftp", *both, "-b", "-", "ann@127.0.0.1", stdin=b"ls\n")
            only_password = await scene.run(
                "sftp", *both, "-oPubkeyAuthentication=no", "ann@127.0.0.1", stdin=b"ls\n", **scene.askpass(PASSWORD)
            )
            return good, [bad, only_key, only_password], scene.audit("login")

    (code, said), refused, lines = asyncio.run(story())
    assert code == 0, said
    assert all(code != 0 and "Permission denied" in said for code, said in refused), refused
    assert [line["method"] for line in lines if line["result"] == "done"] == ["key+password"]


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"is_enabled": False}, {}),
        ({"expires_ns": 1}, {}),
        ({"allow": ("192.0.2.0/24",)}, {}),
        ({"proof": Proof.PASSWORD}, {}),
        ({"proof": Proof.KEY}, {"client_keys": None, "password": PASSWORD}),
        ({"password_hash": ""}, {"client_keys": None, "password": ""}),
        ({"password_hash": ""}, {"client_keys": None, "password": PASSWORD}),
        ({"is_enabled": False}, {"client_keys": None, "password": PASSWORD}),
        ({"allow": ("192.0.2.0/24",)}, {"client_keys": None, "password": PASSWORD}),
        ({}, {"client_keys": None, "password": "wrong"}),
        ({}, {"client_keys": [KEYS["other"]]}),
        ({"keys": (f'from="192.0.2.0/24" {LINE}',)}, {}),
        ({"keys": (f'from="!127.0.0.1,*" {LINE}',)}, {}),
        ({"keys": (f'expiry-time="20200101" {LINE}',)}, {}),
        ({"keys": (f"cert-authority {LINE}",)}, {}),
        ({"keys": ()}, {}),
    ],
)
def test_who_has_not_the_right_key_or_password_from_the_right_place_is_refused(tmp_path, changes, options):
    async def story():
        async with server(tmp_path, [account(**changes)]) as scene:
            error = await scene.refused(**options)
            nobody = await scene.refused("nobody", **options)
            await scene.audited("login", result="failed", user="nobody")
            return error, nobody, scene.shared.sessions

    error, nobody, sessions = asyncio.run(story())
    assert isinstance(error, asyncssh.PermissionDenied)
    assert str(error).replace("ann", "nobody") == str(nobody)
    assert sessions == []


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"proof": Proof.KEY}, {}),
        ({"proof": Proof.PASSWORD}, {"client_keys": None, "password": PASSWORD}),
        ({"allow": ("127.0.0.0/8",)}, {}),
        ({"keys": (f'from="127.0.0.0/8,10.*",restrict,expiry-time="20900101" {LINE}',)}, {}),
        ({"keys": (f'command="internal-sftp" {LINE}',)}, {}),
        ({}, {"client_keys": None, "password": PASSWORD, "preferred_auth": "keyboard-interactive"}),
        ({}, {"client_keys": [KEYS["other"]], "password": PASSWORD}),
    ],
)
def test_who_has_them_is_let_in(tmp_path, changes, options):
    async def story():
        async with (
            server(tmp_path, [account(**changes)]) as scene,
            scene.connect(**options) as client,
            client.start_sftp_client() as sftp,
        ):
            await sftp.mkdir("/d")
            return await sftp.listdir("/")

    assert "d" in asyncio.run(story())


def test_paramiko_logs_in_by_key_and_by_password(tmp_path):
    async def story():
        async with server(tmp_path, [account()]) as scene:
            return await asyncio.to_thread(by_paramiko, scene.port, tmp_path)

    assert asyncio.run(story()) == ["hello", "hello"]


def by_paramiko(port, folder):
    (folder / "id").write_bytes(KEYS["user"].export_private_key("openssh"))
    found = []
    for options in ({"pkey": paramiko.Ed25519Key.from_private_key_file(str(folder / "id"))}, {"password": PASSWORD}):
        transport = paramiko.Transport(("127.0.0.1", port))
        try:
            transport.connect(username="ann", **options)
            sftp = paramiko.SFTPClient.from_transport(transport)
            with sftp.open("/x", "w") as file:
                file.write("hello")
            with sftp.open("/x") as file:
                found.append(file.read().decode())
        finally:
            transport.close()
            for thread in threading.enumerate():
                if isinstance(thread, paramiko.Transport):
                    thread.join(10)
    return found


def certificate(ca, principals, **options):
    return ca.generate_user_certificate(KEYS["user"], "id", principals=principals, **options)


@pytest.mark.parametrize(
    ("principals", "options", "line_options", "good"),
    [
        (["ann"], {}, "cert-authority", True),
        (["partner"], {}, 'cert-authority,principals="partner,x"', True),
        (["ann"], {"force_command": "internal-sftp"}, "cert-authority", True),
        (["bob"], {}, "cert-authority", False),
        ([], {}, "cert-authority", False),
        (["ann"], {}, 'cert-authority,principals="partner"', False),
        (["ann"], {"valid_before": 100}, "cert-authority", False),
        (["ann"], {"source_address": ["192.0.2.0/24"]}, "cert-authority", False),
        (["ann"], {}, 'cert-authority,from="192.0.2.1"', False),
        (["ann"], {}, "restrict", False),
    ],
)
def test_certificates_of_an_authority_of_the_user(tmp_path, principals, options, line_options, good):
    ca = asyncssh.generate_private_key("ssh-ed25519")
    line = f"{line_options} {ca.export_public_key('openssh').decode().strip()}"
    key = (KEYS["user"], certificate(ca, principals, **options))

    async def story():
        async with server(tmp_path, [account(keys=(line,), password_hash="")]) as scene:
            if not good:
                return await scene.refused(client_keys=[key])
            async with scene.connect(client_keys=[key]) as client, client.start_sftp_client() as sftp:
                return await sftp.listdir("/")

    assert isinstance(asyncio.run(story()), list if good else asyncssh.PermissionDenied)


def test_a_certificate_that_forces_a_program_gets_no_session(tmp_path):
    ca = asyncssh.generate_private_key("ssh-ed25519")
    line = f"cert-authority {ca.export_public_key('openssh').decode().strip()}"
    key = (KEYS["user"], certificate(ca, ["ann"], force_command="/bin/date"))

    async def story():
        async with server(tmp_path, [account(keys=(line,))]) as scene, scene.connect(client_keys=[key]) as client:
            with pytest.raises((asyncssh.ChannelOpenError, asyncssh.SFTPError)):
                async with client.start_sftp_client():
                    pass

    asyncio.run(story())


def test_a_signature_that_the_policy_does_not_take_is_worth_nothing(tmp_path):
    rsa = asyncssh.generate_private_key("ssh-rsa")
    line = rsa.export_public_key("openssh").decode().strip()

    async def story(policy):
        async with server(tmp_path, [account(keys=(line,), password_hash="")], f'policy = "{policy}"') as scene:
            async with scene.connect(client_keys=[rsa]):  # rsa-sha2-256
                pass
            try:
                async with scene.connect(client_keys=[rsa], signature_algs=["ssh-rsa"], server_host_key_algs="default"):
                    return True
            except asyncssh.PermissionDenied:
                return False

    assert asyncio.run(story("compatible"))
    assert not asyncio.run(story("modern"))


def test_a_changed_account_holds_from_the_next_login_on(tmp_path):
    async def story():
        async with server(tmp_path, [account()]) as scene:
            async with scene.connect():
                pass
            await asyncio.to_thread(change, tmp_path)
            return await scene.refused()

    def change(folder):
        from lakelink.gateway.accounts.store import AccountStore

        store = AccountStore(folder / "state")
        store.remove(["ann"])
        store.close()

    assert isinstance(asyncio.run(story()), asyncssh.PermissionDenied)


def test_the_banner_is_shown_and_the_user_may_not_change(tmp_path):
    class Client(asyncssh.SSHClient):
        banner = ""

        def auth_banner_received(self, msg, lang):
            Client.banner = msg

    async def story():
        async with (
            server(tmp_path, [account()], 'banner = "Partners only"') as scene,
            scene.connect(client_factory=Client),
        ):
            pass

    asyncio.run(story())
    assert Client.banner == "Partners only"


def test_hashes_written_elsewhere_let_in(tmp_path):
    made = subprocess.run(
        ["openssl", "passwd", "-6", "-salt", "abcdefgh", PASSWORD], capture_output=True, text=True, check=True
    )
    assert HASH.startswith("$6$")

    async def story():
        async with (
            server(tmp_path, [account(password_hash=made.stdout.strip(), keys=())]) as scene,
            scene.connect(client_keys=None, password=PASSWORD),
        ):
            return True

    assert asyncio.run(story())
