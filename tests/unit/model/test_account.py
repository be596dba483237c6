"""A user of the gateway as a value: what holds for one of whom nothing was said."""

from lakelink.model.account import Account, Folder, Permission, Proof


def test_an_account_without_settings_can_prove_nothing_and_sees_nothing():
    account = Account(name="acme")
    assert account.folders == ()
    assert account.password_hash == ""
    assert account.keys == ()
    assert account.proof is Proof.ANY
    assert account.is_enabled


def test_a_folder_may_be_read_and_written_unless_it_says_otherwise():
    folder = Folder(path="/", location="s3://lake/partners/acme")
    assert folder.permission is Permission.READ_WRITE
    assert {permission.value for permission in Permission} == {"read-write", "read-only", "write-only"}
