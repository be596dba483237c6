"""Homes, key files and logs of an old server."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest

from lakelink.gateway.takeover.homes import can, census, leads_out
from lakelink.gateway.takeover.keyfiles import authorized_keys, expand, host_key, unlocked
from lakelink.gateway.takeover.people import Person
from lakelink.gateway.takeover.source import Node, RootSource
from lakelink.gateway.takeover.traffic import read_logs
from lakelink.model.entry import Kind

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJfWQ1VGt6qSZy4dUGy8xXc0PBX1mC7bGTb3Y0m5VfOa partner"
ALICE = Person("alice", os.geteuid() or 2001, 2000, "", "/home/alice", "/bin/false", ("partners",), frozenset({2000}))


@pytest.fixture
def root(tmp_path):
    home = tmp_path / "home" / "alice"
    (home / ".ssh").mkdir(parents=True)
    for path in (tmp_path / "home", home, home / ".ssh"):
        path.chmod(0o755)
    return tmp_path


def test_a_tree_is_counted_with_all_that_a_prefix_cannot_hold(root):
    home = root / "home" / "alice"
    (home / "in").mkdir()
    (home / "in" / "a").write_text("12345")
    (home / "in" / "A").write_text("1")
    os.link(home / "in" / "a", home / "in" / "other")
    (home / "in" / "link").symlink_to("a")
    (home / "out").symlink_to("../../etc/passwd")
    os.mkfifo(home / "fifo")
    (home / "in" / "caf\udce9").write_text("")
    counted = census(RootSource(str(root)), "/home/alice", 1, frozenset())
    assert (counted.files, counted.directories, counted.size_bytes, counted.largest_bytes) == (4, 2, 11, 5)
    assert counted.counts == {
        "symlinks": 2, "leading-out": 1, "special": 1, "not-utf8": 1, "same-but-case": 1, "hard-links": 2, "empty": 1,
    }  # fmt: skip
    assert counted.examples["not-utf8"] == ["in/caf%E9"]
    assert census(RootSource(str(root)), "/nowhere", 1, frozenset()).is_missing


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "rights"),
    [
        (0o755, 7, 0, (True, True)), (0o755, 0, 0, (True, False)), (0o575, 7, 9, (True, False)), (0o070, 7, 9, (False, False)),
        (0o070, 0, 9, (True, True)), (0o733, 0, 0, (False, True)), (0o700, 0, 0, (False, False)), (0o744, 0, 0, (False, False)),
    ],
)  # fmt: skip
def test_rights_are_those_of_the_first_class_that_fits(mode, uid, gid, rights):
    node = Node("", Kind.DIR, stat.S_IFDIR | mode, uid, gid, 0, 0, 1, (0, 0))
    assert can(node, 7, {9}) == rights


@pytest.mark.parametrize(
    ("path", "target", "leads"),
    [
        ("a", "b", False),
        ("a", "/b", True),
        ("a", "..", True),
        ("d/a", "../b", False),
        ("d/a", "../../b", True),
        ("d/a", "x/../../../b", True),
    ],
)
def test_a_link_leads_out_or_not(path, target, leads):
    assert leads_out(path, target) is leads


def test_links_of_an_image_stay_in_the_image(root):
    (root / "etc").mkdir()
    (root / "etc" / "real").write_text("of the image")
    (root / "etc" / "passwd").symlink_to("/etc/real")
    (root / "etc" / "up").symlink_to("../../../../../../etc/real")
    (root / "loop").symlink_to("loop")
    source = RootSource(str(root))
    assert source.read("/etc/passwd") == b"of the image"
    assert source.read("/etc/up") == b"of the image"
    assert source.read("/etc/none") is None
    with pytest.raises(Exception, match="too many symbolic links"):
        source.read("/loop")


def test_keys_of_several_files_keep_their_options_and_what_cannot_be_kept_says_why(root):
    home = root / "home" / "alice"
    (home / ".ssh" / "authorized_keys").write_text(
        f'# comment\nfrom="10.0.0.0/8,!10.1.0.0/16",restrict {KEY}\ncommand="/usr/bin/rsync" {KEY}\nnonsense\n\n'
    )
    (root / "etc").mkdir()
    (root / "etc" / "alice").write_text(f"{KEY}\n")
    found = authorized_keys(
        RootSource(str(root)), ALICE, ["/etc/%u", ".ssh/authorized_keys", "%h/.ssh/none"], [], strict=False
    )
    facts = [line.fact for line in found]
    assert [fact.number for fact in facts] == [0, 1, 2, 3]
    assert facts[1].options == ['from="10.0.0.0/8,!10.1.0.0/16"', "restrict"]
    assert facts[1].sources == ["10.0.0.0/8", "!10.1.0.0/16"]
    assert "runs a program" in facts[2].refused
    assert facts[3].fingerprint == "not a key"
    assert facts[3].refused
    assert {fact.fingerprint for fact in facts[:3]} == {facts[0].fingerprint}


def test_a_key_file_that_others_can_write_to_did_not_count_before(root):
    file = root / "home" / "alice" / ".ssh" / "authorized_keys"
    file.write_text(KEY)
    file.chmod(0o664)
    (line,) = authorized_keys(RootSource(str(root)), ALICE, [".ssh/authorized_keys"], [], strict=True)
    assert line.fact.ignored == "StrictModes: /home/alice/.ssh/authorized_keys can be written to by others"
    file.chmod(0o600)
    (line,) = authorized_keys(RootSource(str(root)), ALICE, [".ssh/authorized_keys"], ["ssh-rsa"], strict=True)
    assert line.fact.ignored == "sshd takes no ssh-ed25519 keys"


def test_patterns_of_key_files_and_chroots_are_filled_in():
    assert expand("/x/%u/%%h/%h/%U", ALICE) == f"/x/alice/%h//home/alice/{ALICE.uid}"


@pytest.mark.parametrize(("kind", "form"), [("ed25519", "OPENSSH"), ("rsa", "PEM"), ("ecdsa", "PEM")])
def test_a_host_key_tells_its_fingerprint_and_a_protected_one_is_unlocked(tmp_path, kind, form):
    options = ["-m", "PEM"] if form == "PEM" else []
    for name, passphrase in (("plain", ""), ("locked", "open sesame")):
        command = ["ssh-keygen", "-q", "-t", kind, *options, "-N", passphrase, "-f", str(tmp_path / name)]
        try:
            subprocess.run(command, check=True)
        except FileNotFoundError:
            pytest.skip("openssh-client is not installed")
        listed = subprocess.run(
            ["ssh-keygen", "-l", "-f", str(tmp_path / f"{name}.pub")], capture_output=True, text=True, check=True
        )
        private, public = (tmp_path / name).read_bytes(), (tmp_path / f"{name}.pub").read_bytes()
        fact = host_key("/k", private, public)
        assert fact.fingerprint == listed.stdout.split()[1]
        assert fact.needs_passphrase is bool(passphrase)
        if not passphrase:
            assert host_key("/k", private, None) == fact
    with pytest.raises(ValueError, match="not the one"):
        unlocked((tmp_path / "locked").read_text(), "wrong")
    assert (
        host_key("/k", unlocked((tmp_path / "locked").read_text(), "open sesame").encode(), None).fingerprint
        == fact.fingerprint
    )


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"rubbish",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----",
        b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_what_is_no_host_key_is_told(text):
    with pytest.raises(ValueError):
        host_key("/k", text, None)


LOG = """\
Nov 28 04:00:00 old sshd[10]: Connection from 192.0.2.7 port 5000 on 10.0.0.1 port 22
Nov 28 04:00:00 old sshd[10]: Remote protocol version 2.0, remote software version WinSCP_release_5.9 [preauth]
Nov 28 04:00:01 old sshd[10]: Accepted publickey for alice from 192.0.2.7 port 5000 ssh2: ED25519 SHA256:abc
Nov 28 04:00:01 old sshd[10]: pam_unix(sshd:session): session opened for user alice(uid=2001) by (uid=0)
2026-11-28T04:00:02+00:00 old internal-sftp[11]: session opened for local user alice from [192.0.2.7]
2026-11-28T04:00:03+00:00 old internal-sftp[11]: close "/in/a b" bytes read 0 written 4711
2026-11-28T04:00:03+00:00 old sshd-session[12]: Accepted password for alice from 192.0.2.8 port 5001 ssh2
2026-11-28T04:00:04+00:00 old internal-sftp[13]: session opened for local user alice from [192.0.2.8]
2026-11-28T04:00:05+00:00 old internal-sftp[11]: session closed for local user alice from [192.0.2.7]
2026-11-28T04:00:06+00:00 old sshd[14]: Failed password for bob from 192.0.2.9 port 1 ssh2
2026-11-28T04:00:06+00:00 old sshd[14]: Failed password for invalid user root2 from 192.0.2.9 port 1 ssh2
2026-11-28T04:00:06+00:00 old cron[14]: session opened for user alice
"""


def test_the_logs_tell_who_comes_how_and_with_what():
    tally = read_logs(LOG.splitlines())
    alice = tally.users["alice"]
    assert (alice.logins, alice.methods, alice.addresses) == (
        2,
        {"publickey": 1, "password": 1},
        {"192.0.2.7": 1, "192.0.2.8": 1},
    )
    assert (alice.clients, alice.fingerprints) == (["WinSCP_release_5.9"], ["SHA256:abc"])
    assert (alice.largest_bytes, alice.most_at_once) == (4711, 2)
    assert tally.users["bob"].failures == 1
    assert set(tally.users) == {"alice", "bob"}
