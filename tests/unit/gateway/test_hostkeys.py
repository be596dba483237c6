"""Host keys: made once, taken over with order and types, never readable by others."""

import shutil
import stat
import subprocess

import asyncssh
import pytest

from lakelink.config.secret import Secret
from lakelink.errors import ConfigError, NotFound, Refused, StorageError, UsageError
from lakelink.gateway.server.hostkeys import HostKeys
from lakelink.gateway.server.options import server_options
from lakelink.gateway.server.policies import COMPATIBLE, MODERN

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="needs the OpenSSH client (apt: openssh-client)"
)


def keygen(path, *options):
    subprocess.run(["ssh-keygen", "-q", "-f", path, *options], check=True, stdin=subprocess.DEVNULL)
    return path


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ssh")
    keygen(folder / "ssh_host_ecdsa_key", "-t", "ecdsa", "-N", "")
    keygen(folder / "ssh_host_ed25519_key", "-t", "ed25519", "-N", "")
    keygen(folder / "ssh_host_rsa_key", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "")
    keygen(folder / "locked", "-t", "ed25519", "-N", "pass")
    keygen(folder / "ca", "-t", "ed25519", "-N", "")
    public = folder / "ssh_host_ed25519_key.pub"
    subprocess.run(
        ["ssh-keygen", "-q", "-h", "-s", folder / "ca", "-I", "x", "-n", "localhost", public],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return folder


def test_keys_are_made_once_and_only_their_owner_reads_them(tmp_path):
    keys = HostKeys(tmp_path)
    with pytest.raises(NotFound, match="no host key"):
        keys.load()
    assert keys.ensure()
    first = keys.list()
    assert not keys.ensure()
    assert keys.list() == first
    assert [key.type for key in first] == ["ssh-ed25519", "ssh-rsa"]
    assert {stat.S_IMODE(key.path.stat().st_mode) for key in first} == {0o600}
    assert asyncssh.import_public_key(first[0].public).get_fingerprint() == first[0].fingerprint


def test_keys_of_another_server_keep_their_order_and_types(tmp_path, old):
    keys = HostKeys(tmp_path)
    names = ("ssh_host_rsa_key", "ssh_host_ecdsa_key", "ssh_host_ed25519_key")
    for name in names:
        keys.take_over(old / name)
    listed = keys.list()
    assert [key.name for key in listed] == ["01-rsa", "02-ecdsa", "03-ed25519"]
    for name, key in zip(names, listed, strict=True):
        said = subprocess.run(["ssh-keygen", "-lf", old / f"{name}.pub"], capture_output=True, text=True, check=True)
        assert said.stdout.split()[1] == key.fingerprint
    assert listed[2].has_certificate
    assert [certificate is not None for _, certificate in keys.load()] == [False, False, True]
    with pytest.raises(Refused, match="already"):
        keys.take_over(old / names[0])


def test_a_passphrase_is_asked_for_and_the_stored_key_has_none(tmp_path, old):
    keys = HostKeys(tmp_path)
    with pytest.raises(UsageError, match="passphrase"):
        keys.take_over(old / "locked")
    with pytest.raises(UsageError, match="passphrase"):
        keys.take_over(old / "locked", Secret("wrong"))
    assert keys.take_over(old / "locked", Secret("pass")).type == "ssh-ed25519"
    assert len(keys.load()) == 1


def test_what_is_no_key_is_refused(tmp_path, old):
    with pytest.raises(UsageError, match="no private key"):
        HostKeys(tmp_path).take_over(old / "ca.pub")
    with pytest.raises(StorageError, match="cannot be read"):
        HostKeys(tmp_path).take_over(old / "nothing")
    with pytest.raises(UsageError, match="no kind"):
        HostKeys(tmp_path).generate(["dsa"])


def test_files_that_the_settings_name_are_used_and_never_changed(tmp_path, old):
    keys = HostKeys(tmp_path, [str(old / "ssh_host_rsa_key")])
    assert [key.type for key in keys.list()] == ["ssh-rsa"]
    assert not keys.ensure()
    for change in (keys.generate, lambda: keys.take_over(old / "locked")):
        with pytest.raises(Refused, match="settings name"):
            change()


def offered(options):
    return [name.decode() for name in options.server_host_keys]


def test_a_policy_decides_with_which_keys_the_server_signs(tmp_path, old):
    keys = HostKeys(tmp_path)
    for name in ("ssh_host_ecdsa_key", "ssh_host_rsa_key"):
        keys.take_over(old / name)
    assert offered(server_options(MODERN, keys.load(), 60, asyncssh.SSHServer)) == ["rsa-sha2-256", "rsa-sha2-512"]
    assert set(offered(server_options(COMPATIBLE, keys.load(), 60, asyncssh.SSHServer))) == {
        "ecdsa-sha2-nistp256",
        "rsa-sha2-256",
        "rsa-sha2-512",
        "ssh-rsa",
    }
    only_ecdsa = HostKeys(tmp_path, [str(old / "ssh_host_ecdsa_key")])
    with pytest.raises(ConfigError, match="no host key can be used"):
        server_options(MODERN, only_ecdsa.load(), 60, asyncssh.SSHServer)
