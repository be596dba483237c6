"""Plans: what blocks them; applied once and again; taken back; cut short in the middle."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import asyncssh
import pytest

from lakelink.errors import Busy, NotFound, Refused, UsageError
from lakelink.gateway.accounts.store import AccountStore
from lakelink.gateway.server.hostkeys import HostKeys
from lakelink.gateway.takeover import apply as apply_module
from lakelink.gateway.takeover.apply import _alone, apply, roll_back
from lakelink.gateway.takeover.facts import (
    Facts,
    HomeFact,
    KeyFact,
    PasswordFact,
    Secrets,
    ServerFact,
    TopFolder,
    UserFact,
    UserSecret,
    Way,
    blocker,
    warning,
)
from lakelink.gateway.takeover.folder import FACTS, JOURNAL, PLAN, SECRETS, PlanFolder
from lakelink.gateway.takeover.keyfiles import fingerprint, host_key
from lakelink.gateway.takeover.plan import HOST_KEYS_HERE, Answers, Here, make_plan
from lakelink.gateway.takeover.plan_text import render
from lakelink.gateway.takeover.settings_text import settings_text
from lakelink.model.account import Account, Permission, Proof

NOW = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)
HASH = "$6$saltsalt$" + "a" * 86
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJfWQ1VGt6qSZy4dUGy8xXc0PBX1mC7bGTb3Y0m5VfOa partner"


@pytest.fixture
def old_keys():
    """Private host keys of an old server, by path."""
    made = {}
    for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256"):
        made[f"/etc/ssh/ssh_host_{kind}_key"] = (
            asyncssh.generate_private_key(kind).export_private_key("openssh").decode()
        )
    return made


def facts_of(old_keys, *users, **server):
    facts = Facts(source="/", scanned_at="then", users=list(users), server=ServerFact(ports=[22], **server))
    facts.host_keys = [host_key(path, text.encode(), None) for path, text in old_keys.items()]
    secrets = Secrets(host_keys=old_keys)
    for user in users:
        secrets.users[user.name] = UserSecret(hash=HASH, keys={str(key.number): KEY for key in user.keys})
    return facts, secrets


def user(name="acme", **changes):
    values = {
        "way": Way.SFTP, "uid": 2001, "gid": 2000, "tree": f"/srv/{name}", "password": PasswordFact(standing="usable", scheme="sha512crypt"),
        "keys": [KeyFact(number=0, fingerprint="SHA256:x", type="ssh-ed25519")],
    }  # fmt: skip
    return UserFact(name=name, **(values | changes))


class Desk:
    """A take-over directory and a gateway's state, both empty."""

    def __init__(self, tmp_path):
        self.folder = PlanFolder(tmp_path / "out")
        self.folder.make()
        self.store = AccountStore(tmp_path / "state")
        self.keys = HostKeys(tmp_path / "state")

    def plan(self, facts, secrets, **answers):
        here = Here(
            {account.name: account for account in self.store.list()}, [key.fingerprint for key in self.keys.list()]
        )
        plan = make_plan(facts, secrets, Answers(**answers), here, "now")
        for name, value in ((FACTS, facts), (SECRETS, secrets), (PLAN, plan)):
            self.folder.write(name, value)
        return plan

    def apply(self):
        return apply(self.folder, self.store, self.keys)

    def roll_back(self):
        return roll_back(self.folder, self.store, self.keys, NOW)

    def state(self):
        keys = [(key.fingerprint, key.has_certificate) for key in self.keys.list()]
        return list(self.store.list()), keys


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.store.close()


def test_a_plan_is_applied_once_and_again_and_taken_back(desk, old_keys):
    desk.plan(*facts_of(old_keys, user(), user("beta")), home="s3://lake/p/{user}")
    done = desk.apply()
    assert (done.made, done.host_keys) == (["acme", "beta"], 2)
    account = desk.store.get("acme")
    assert (account.password_hash, account.keys, account.proof, account.uid) == (HASH, (KEY,), Proof.ANY, 2001)
    assert [key.fingerprint for key in desk.keys.list()] == [
        host_key("", text.encode(), None).fingerprint for text in old_keys.values()
    ]
    before = desk.state()

    again = desk.apply()
    assert (again.made, again.unchanged, again.host_keys) == ([], ["acme", "beta"], 0)
    assert desk.state() == before

    back = desk.roll_back()
    assert (sorted(back.removed), back.kept, back.host_keys) == (["acme", "beta"], [], "removed")
    assert desk.state() == ([], [])
    with pytest.raises(NotFound):
        desk.roll_back()


def test_what_was_here_before_comes_back(desk, old_keys):
    desk.keys.generate(["ed25519"])
    mine = Account(name="acme", comment="mine")
    desk.store.add([mine])
    before = desk.state()
    facts, secrets = facts_of(old_keys, user())

    plan = desk.plan(facts, secrets)
    assert {finding.ident for finding in plan.blockers} == {"user:acme:exists", HOST_KEYS_HERE}
    with pytest.raises(Refused, match="2 open questions"):
        desk.apply()
    assert desk.state() == before

    desk.plan(facts, secrets, accepted=["user:acme:exists", HOST_KEYS_HERE])
    assert desk.apply().replaced == ["acme"]
    assert desk.store.get("acme").uid == 2001
    back = desk.roll_back()
    assert (back.restored, back.host_keys) == (["acme"], "restored")
    assert desk.state() == before


def test_what_somebody_changed_since_is_kept_and_told(desk, old_keys):
    desk.plan(*facts_of(old_keys, user(), user("beta")))
    desk.apply()
    desk.store.change("acme", lambda account: replace(account, comment="changed by hand"))
    desk.keys.generate(["ed25519"])
    back = desk.roll_back()
    assert (back.removed, back.kept) == (["beta"], ["acme"])
    assert back.host_keys == "changed since, and kept"
    assert [account.comment for account in desk.store.list()] == ["changed by hand"]
    assert len(desk.keys.list()) == 3


def test_an_account_that_changed_after_the_plan_is_not_replaced(desk, old_keys):
    desk.store.add([Account(name="acme", comment="one")])
    desk.plan(*facts_of(old_keys, user()), accepted=["user:acme:exists"])
    desk.store.change("acme", lambda account: replace(account, comment="two"))
    with pytest.raises(Refused, match="no longer as it was"):
        desk.apply()
    assert desk.store.get("acme").comment == "two"
    assert desk.keys.list() == []


def test_a_scan_that_is_newer_than_the_plan_is_refused(desk, old_keys):
    desk.plan(*facts_of(old_keys, user()))
    facts, secrets = facts_of(old_keys, user(uid=5))
    desk.folder.write(FACTS, facts)
    desk.folder.write(SECRETS, secrets)
    with pytest.raises(Refused, match="newer than the plan"):
        desk.apply()


@pytest.mark.parametrize("victim", ["_store", "_set_keys", "_unpacked", "settings_text"])
def test_an_apply_that_is_cut_short_is_finished_by_the_next_or_taken_back(tmp_path, old_keys, monkeypatch, victim):
    for name, end in (("finished", "apply"), ("back", "roll_back")):
        (tmp_path / name).mkdir()
        desk = Desk(tmp_path / name)
        desk.keys.generate(["ed25519"])
        before = desk.state()
        desk.plan(*facts_of(old_keys, user()), accepted=[HOST_KEYS_HERE])
        with monkeypatch.context() as patch:

            def stop(*_args, **_options):
                raise KeyboardInterrupt

            patch.setattr(apply_module, victim, stop)
            with pytest.raises(KeyboardInterrupt):
                desk.apply()
        getattr(desk, end)()
        if end == "apply":
            assert [account.name for account in desk.store.list()] == ["acme"]
            assert [key.fingerprint for key in desk.keys.list()] == [
                host_key("", text.encode(), None).fingerprint for text in old_keys.values()
            ]
            desk.roll_back()
        assert desk.state() == before
        desk.store.close()


def test_a_last_line_that_a_crash_cut_short_is_no_change(desk, old_keys):
    desk.plan(*facts_of(old_keys, user()))
    desk.apply()
    with (desk.folder.path / JOURNAL).open("ab") as journal:
        journal.write(b'{"did":"acc')
    assert desk.roll_back().removed == ["acme"]


def test_two_at_once_are_one_after_the_other(desk, old_keys):
    desk.plan(*facts_of(old_keys, user()))
    with _alone(desk.folder.path), pytest.raises(Busy):
        desk.apply()


def test_all_files_are_for_their_owner_alone_and_the_plan_has_no_secret(desk, old_keys):
    desk.plan(*facts_of(old_keys, user()))
    desk.apply()
    for path in desk.folder.path.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert not (desk.folder.path / ".host-keys").exists()
    shown = (desk.folder.path / PLAN).read_text() + (desk.folder.path / FACTS).read_text()
    assert HASH not in shown
    assert KEY.split()[1] not in shown
    desk.folder.path.chmod(0o755)
    with pytest.raises(UsageError, match="can be read by others"):
        desk.folder.make()


def test_folders_follow_the_rights_that_the_modes_gave(desk, old_keys):
    tops = [
        ("", True, False),
        ("drop", False, True),
        ("in", True, True),
        ("out", True, False),
        ("secret", False, False),
    ]
    home = HomeFact(tree="/srv/acme", folders=[TopFolder(path=path, can_read=r, can_write=w) for path, r, w in tops])
    plan = desk.plan(*facts_of(old_keys, user(home=home)), home="s3://lake/p")
    assert [(folder.path, folder.location, folder.permission) for folder in plan.users[0].folders] == [
        ("/", "s3://lake/p/acme", Permission.READ_ONLY),
        ("/drop", "s3://lake/p/acme/drop", Permission.WRITE_ONLY),
        ("/in", "s3://lake/p/acme/in", Permission.READ_WRITE),
    ]
    assert [finding.ident for finding in plan.blockers] == ["user:acme:folder:secret"]


def test_what_a_prefix_cannot_hold_blocks_only_what_moves(desk, old_keys):
    home = HomeFact(
        tree="/srv/acme",
        counts={"not-utf8": 2, "symlinks": 1, "locked-in": 1},
        folders=[TopFolder(path="", can_read=True, can_write=True)],
    )
    facts = facts_of(old_keys, user(home=home))
    assert {finding.ident for finding in desk.plan(*facts, home="s3://lake/p").blockers} == {
        "user:acme:not-utf8",
        "user:acme:locked-in",
    }
    assert {finding.ident for finding in desk.plan(*facts).blockers} == {"user:acme:locked-in"}


@pytest.mark.parametrize(
    ("target", "asks"),
    [
        ("s3://lake/partners", True),
        ("lake:partners", True),
        ("s3://lake", False),
        ("/srv/new/partners", False),
        ("", False),
    ],
)
def test_names_that_are_too_long_below_the_prefix_they_go_to_are_asked_about(desk, old_keys, target, asks):
    home = HomeFact(tree="/srv/acme", longest_path_bytes=1024 - len("/acme/") - 3)
    plan = desk.plan(*facts_of(old_keys, user(home=home)), home=target)
    assert [finding.ident for finding in plan.blockers] == (["user:acme:too-long"] if asks else [])


def test_an_address_has_to_be_on_the_list_of_the_user_and_on_that_of_everybody(desk, old_keys):
    facts = facts_of(
        old_keys, user(allow=["10.1.0.0/16"]), user("beta"), user("gamma", allow=["192.0.2.0/24"]), allow=["10.0.0.0/8"]
    )
    plan = desk.plan(*facts)
    assert [planned.allow for planned in plan.users] == [["10.1.0.0/16"], ["10.0.0.0/8"], ["127.0.0.1/32"]]
    assert [finding.ident for finding in plan.blockers] == ["user:gamma:allow"]


def test_an_expired_password_is_left_out_unless_it_is_accepted(desk, old_keys):
    expired = user(password=PasswordFact(standing="expired", scheme="sha512crypt"))
    expired.findings = [warning("user:acme:expired", "it has expired", accepting="it works again")]
    facts = facts_of(old_keys, expired)
    assert not desk.plan(*facts).users[0].takes_password
    assert desk.plan(*facts, accepted=["user:acme:expired"]).users[0].takes_password


def test_answers_have_to_be_to_questions(desk, old_keys):
    facts, secrets = facts_of(old_keys, user())
    facts.findings = [blocker("hard", "this cannot be"), blocker("soft", "this may be", accepting="it is left out")]
    with pytest.raises(UsageError, match="no finding nothing"):
        desk.plan(facts, secrets, accepted=["nothing"])
    with pytest.raises(UsageError, match="cannot be accepted"):
        desk.plan(facts, secrets, accepted=["hard"])
    with pytest.raises(UsageError, match="no user nobody"):
        desk.plan(facts, secrets, left_out=["nobody"])
    plan = desk.plan(facts, secrets, accepted=["soft"])
    assert [finding.ident for finding in plan.blockers] == ["hard"]
    text = render(plan, facts)
    assert "blocked by 1 question" in text
    assert "[`hard`]" in text
    assert "this may be: it is left out [`soft`]" in text


def test_a_user_that_is_left_out_takes_its_questions_along(desk, old_keys):
    odd = user("odd")
    odd.findings = [blocker("user:odd:hash", "its hash is strange")]
    plan = desk.plan(*facts_of(old_keys, user(), odd), left_out=["odd"])
    assert not plan.blockers
    assert plan.not_taken == {"odd": "left out, as you said"}


def test_the_settings_of_the_old_server_are_settings_of_a_gateway(old_keys, tmp_path):
    from lakelink.config.document import parse_document
    from lakelink.config.gateway import read_gateway

    facts, _ = facts_of(
        old_keys,
        user(),
        allow=["10.0.0.0/8"],
        never_banned=["192.0.2.0/24"],
        banner='Say "friend"\nand enter.\n',
        listen=["10.0.0.1:22", "[2001:db8::1]:22"],
    )
    facts.server.settings = {
        "logingracetime": ["30"],
        "maxauthtries": ["3"],
        "maxsessions": ["5"],
        "maxstartups": ["10:30:60"],
    }
    settings = read_gateway(parse_document(settings_text(facts), tmp_path / "gateway.toml"), {})
    assert [(address.host, address.port) for address in settings.listen] == [("10.0.0.1", 22), ("2001:db8::1", 22)]
    assert (settings.allow, settings.never_ban, settings.banner) == (
        ("10.0.0.0/8",),
        ("192.0.2.0/24",),
        'Say "friend"\nand enter.\n',
    )
    assert (
        settings.limits.login_timeout_s,
        settings.limits.max_attempts,
        settings.limits.max_channels,
        settings.limits.half_open_full,
    ) == (30, 3, 5, 60)


def test_a_fingerprint_is_that_of_the_library(old_keys):
    for text in old_keys.values():
        key = asyncssh.import_private_key(text)
        assert fingerprint(key.public_data) == key.get_fingerprint()


def test_plan_files_are_json_that_others_can_read(desk, old_keys):
    desk.plan(*facts_of(old_keys, user()))
    document = json.loads((desk.folder.path / PLAN).read_text())
    assert document["users"][0]["folders"][0] == {
        "path": "/",
        "location": "/srv/acme",
        "permission": "read-write",
        "quota_bytes": 0,
    }
