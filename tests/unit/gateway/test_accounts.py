"""Users: in the store and in the settings."""

import asyncio
import dataclasses
import stat

import asyncssh
import pytest

from lakelink.config.document import parse_document
from lakelink.errors import ConfigError, NotFound, Refused, StorageError, UsageError
from lakelink.gateway.accounts.declared import DeclaredAccounts
from lakelink.gateway.accounts.folders import folder_text, parse_folder
from lakelink.gateway.accounts.store import FILE, AccountStore
from lakelink.model.account import Account, Folder, Permission, Proof

LINE = asyncssh.generate_private_key("ssh-ed25519").export_public_key("openssh").decode().strip()
HASH = "$6$rounds=1000$saltsalt$" + "a" * 86
ANN = Account(
    name="ann",
    folders=(Folder(path="/", location="/srv/ann"), Folder(path="/in", location="s3://b/p", quota_bytes=5)),
    password_hash=HASH,
    keys=(f'from="10.0.0.0/8" {LINE}',),
    proof=Proof.BOTH,
    allow=("192.0.2.0/24",),
    max_sessions=2,
)


@pytest.fixture
def store(tmp_path):
    store = AccountStore(tmp_path)
    yield store
    store.close()


def test_what_is_stored_is_found_by_every_process(store, tmp_path):
    store.add([ANN, Account(name="bob")])
    other = AccountStore(tmp_path)
    assert asyncio.run(other.find("ann")) == ANN
    assert asyncio.run(other.find("carol")) is None
    assert asyncio.run(other.find("a\udcffb")) is None
    assert [account.name for account in other.list()] == ["ann", "bob"]
    other.close()
    assert stat.S_IMODE((tmp_path / "gateway" / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "gateway").stat().st_mode) == 0o700


def test_several_are_added_all_or_none(store):
    store.add([ANN])
    with pytest.raises(Refused, match="ann already"):
        store.add([Account(name="bob"), ANN])
    with pytest.raises(UsageError):
        store.add([Account(name="bob"), Account(name="no/slashes")])
    assert [account.name for account in store.list()] == ["ann"]
    store.put([dataclasses.replace(ANN, comment="again"), Account(name="bob")])
    assert store.get("ann").comment == "again"


def test_a_change_is_stored_or_nothing_is(store):
    store.add([ANN])
    assert store.change("ann", lambda account: dataclasses.replace(account, max_sessions=3)).max_sessions == 3
    with pytest.raises(UsageError):
        store.change("ann", lambda account: dataclasses.replace(account, allow=("10.0.0.1/8",)))
    assert store.get("ann") == dataclasses.replace(ANN, max_sessions=3)
    with pytest.raises(NotFound, match="no user 'anne'") as raised:
        store.change("anne", lambda account: account)
    assert "ann" in raised.value.hint


def test_removal_is_of_all_or_none(store):
    store.add([ANN, Account(name="bob")])
    with pytest.raises(NotFound):
        store.remove(["ann", "carol"])
    assert store.remove(["ann", "bob"]) == [ANN, Account(name="bob")]
    assert store.list() == []


def test_a_damaged_database_is_an_error_and_no_open_door(tmp_path):
    AccountStore(tmp_path).close()
    (tmp_path / "gateway" / FILE).write_bytes(b"x" * 8192)
    with pytest.raises(StorageError):
        AccountStore(tmp_path)


@pytest.mark.parametrize("name", ["", " ", "a b", "a/b", "a:b", "-a", ".a", "a\nb", "a\0", "x" * 200, "a\u202eb"])
def test_names_that_logs_and_commands_cannot_hold_are_refused(store, name):
    with pytest.raises(UsageError, match="cannot be called"):
        store.add([Account(name=name)])


@pytest.mark.parametrize("name", ["ann", "ann.b", "müller", "CORP\\ann", "ann@example.com", "a-b_c+d$"])
def test_names_of_other_systems_are_taken(store, name):
    store.add([Account(name=name)])
    assert store.get(name).name == name


@pytest.mark.parametrize(
    "changes",
    [
        {"password_hash": "plain"},
        {"keys": ("nonsense",)},
        {"keys": (LINE,) * 101},
        {"allow": ("10.0.0.1/8",)},
        {"allow": ("example.com",)},
        {"folders": (Folder(path="in", location="/srv"),)},
        {"folders": (Folder(path="/a/../b", location="/srv"),)},
        {"folders": (Folder(path="//a", location="/srv"),)},
        {"folders": (Folder(path="/", location="/a"), Folder(path="/", location="/b"))},
        {"folders": (Folder(path="/", location="/a", quota_bytes=-1),)},
        {"max_sessions": -1},
        {"file_mode": 0o4755},
        {"proof": Proof.KEY, "keys": ()},
    ],
)
def test_what_makes_no_sense_is_refused(store, changes):
    with pytest.raises(UsageError):
        store.add([dataclasses.replace(ANN, **changes)])
    assert store.list() == []


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("/=/srv/a", Folder(path="/", location="/srv/a")),
        ("/out/=/srv/out:read-only", Folder(path="/out", location="/srv/out", permission=Permission.READ_ONLY)),
        ("/in=s3://b/p:write-only:quota=1GiB", Folder(path="/in", location="s3://b/p", permission=Permission.WRITE_ONLY, quota_bytes=1 << 30)),
        ("/in=onsite:sub", Folder(path="/in", location="onsite:sub")),
        ("/in=/srv/a=b", Folder(path="/in", location="/srv/a=b")),
    ],
)  # fmt: skip
def test_folders_are_read_and_written_in_one_form(text, folder):
    assert parse_folder(text) == folder
    assert parse_folder(folder_text(folder)) == folder


@pytest.mark.parametrize("text", ["", "/in", "in=/srv", "/in=", "/in=/srv:quota=much"])
def test_what_is_no_folder_is_refused(text):
    with pytest.raises(UsageError):
        parse_folder(text)


def declared(tmp_path, text):
    return DeclaredAccounts(parse_document(text, tmp_path / "lakelink.toml"))


def test_the_settings_declare_users_with_files_for_what_is_secret(tmp_path):
    (tmp_path / "hash").write_text(HASH + "\n")
    (tmp_path / "hash").chmod(0o600)
    (tmp_path / "keys").write_text(f"# of ann\n{LINE}\n")
    accounts = declared(
        tmp_path,
        f"""
        [gateway.users.ann]
        home = "/srv/ann"
        folders = ["/out=/srv/out:read-only"]
        keys = ['restrict {LINE}']
        key_files = ["{tmp_path}/keys"]
        password_file = "{tmp_path}/hash"
        proof = "key+password"
        allow = ["192.0.2.0/24"]
        expires = "20300101Z"
        bandwidth = "1MiB/s"
        file_mode = "0640"

        [gateway.users."bob.b"]
        home = "s3://lake/bob"
        enabled = false
        """,
    )
    ann, bob = accounts.list()
    assert asyncio.run(accounts.find("ann")) == ann
    assert [(folder.path, folder.permission.value) for folder in ann.folders] == [
        ("/", "read-write"),
        ("/out", "read-only"),
    ]
    assert ann.keys == (f"restrict {LINE}", LINE)
    assert (ann.password_hash, ann.proof, ann.file_mode, ann.bandwidth_bytes_per_s) == (
        HASH,
        Proof.BOTH,
        0o640,
        1 << 20,
    )
    assert (bob.name, bob.is_enabled) == ("bob.b", False)
    assert accounts.get("carol") is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('home = "x:"', "x"),
        ("hme = 1", "unknown setting"),
        ('keys = ["nonsense"]', "not a public key"),
        ('key_files = ["/nothing/there"]', "cannot be read"),
        ('password_file = "/nothing/there"', "cannot be read"),
        ('password_file = "OPEN"', "can be read by others"),
        ('password_file = "PLAIN"', "no known kind"),
        ('allow = ["10.0.0.1/8"]', "no network"),
        ('file_mode = "rw"', "octal"),
        ('proof = "both"', "has to be one of"),
        ('expires = "tomorrow"', "no time"),
        ('folders = ["out"]', "no folder"),
    ],
)
def test_a_wrong_section_names_its_line(tmp_path, text, sentence):
    for name, mode in (("OPEN", 0o644), ("PLAIN", 0o600)):
        (tmp_path / name).write_text("secret")
        (tmp_path / name).chmod(mode)
        text = text.replace(name, str(tmp_path / name))
    with pytest.raises(ConfigError, match=sentence) as raised:
        declared(tmp_path, f"[gateway.users.ann]\n{text}\n")
    assert "lakelink.toml:" in raised.value.message


def test_users_that_are_no_table_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="has to be a table"):
        declared(tmp_path, "[gateway]\nusers = 1")
