"""The demonstration's proof must be able to fail."""

import os
import shutil
import stat

import pytest

from lakelink.cli import demo_tree


@pytest.fixture
def pair(tmp_path):
    one = tmp_path / "one"
    (one / "sub").mkdir(parents=True)
    (one / "file").write_text("text", encoding="utf-8")
    (one / "link").symlink_to("file")
    other = tmp_path / "other"
    shutil.copytree(one, other, symlinks=True)
    shutil.copystat(one / "link", other / "link", follow_symlinks=False)
    return one, other


def test_equal_trees_have_no_differences(pair):
    assert demo_tree.differences(*pair) == []


@pytest.mark.parametrize("name", ["content", "mode", "time", "target", "missing", "extra", "kind", "directory", "root"])
def test_every_difference_is_found(pair, name):
    one, other = pair
    status = (other / "file").stat()
    match name:
        case "content":
            (other / "file").write_text("tent", encoding="utf-8")
            os.utime(other / "file", ns=(status.st_atime_ns, status.st_mtime_ns))
        case "mode":
            (other / "file").chmod(0o600 | stat.S_ISGID)
        case "time":
            os.utime(other / "file", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        case "target":
            (other / "link").unlink()
            (other / "link").symlink_to("elsewhere")
        case "missing":
            (other / "file").unlink()
        case "extra":
            (other / "new").touch()
        case "kind":
            (other / "file").unlink()
            (other / "file").mkdir()
        case "directory":
            os.utime(other / "sub", ns=(0, 0))
        case "root":
            other.chmod(0o700)
    assert demo_tree.differences(one, other) != []


def test_the_tree_has_the_oddities_that_it_claims(tmp_path):
    root = tmp_path / "tree"
    demo_tree.build(root)
    size = demo_tree.measure(root)
    assert size.files > 500
    assert size.links >= 3
    odd = root / "oddities"
    sparse = (odd / "sparse").stat()
    assert sparse.st_blocks * 512 < sparse.st_size
    assert (odd / "executable").stat().st_mode & 0o777 == 0o751
    assert (odd / "executable").stat().st_mtime_ns == demo_tree.STAMP_NS
    assert list((odd / "empty-directory").iterdir()) == []
    assert not (odd / "dangling-link").exists()
    changed, removed, added = demo_tree.edit(root)
    assert min(changed, removed, added) > 0
    after = demo_tree.measure(root)
    assert after.files == size.files - removed + added
