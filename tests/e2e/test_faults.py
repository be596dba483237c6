"""What goes wrong outside, through the program: what it says, with which code it ends, and what is left."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import lakelink
from tests.e2e.program import PATIENCE_S, Program, make_tree
from tests.e2e.relay import relay_to

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts a file system")
MS_RDONLY, MS_REMOUNT = 1, 32  # linux/mount.h
MNT_DETACH = 2
NOBODY = 65534


@contextmanager
def mounted(at: Path, options: str = "", flags: int = 0) -> Iterator[Path]:
    """A tmpfs of its own; skips where mounting is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    at.mkdir(exist_ok=True)
    if libc.mount(b"none", os.fsencode(at), b"tmpfs", flags, options.encode()):
        pytest.skip(f"mounting is not allowed here: {os.strerror(ctypes.get_errno())}")
    try:
        yield at
    finally:
        libc.umount2(os.fsencode(at), MNT_DETACH)


def remount_read_only(at: Path) -> None:
    assert ctypes.CDLL(None).mount(b"none", os.fsencode(at), b"tmpfs", MS_REMOUNT | MS_RDONLY, b"") == 0


# Loads whatever a run needs, by first runs of its own: the interpreter and the libraries may lie where only root can read.
BECOME_ORDINARY = """
import contextlib, io, os, pathlib, sys, tempfile
from lakelink.__main__ import main
arguments, state = sys.argv[1:], os.environ["LAKELINK_STATE_DIR"]
with tempfile.TemporaryDirectory() as folder:
    pathlib.Path(folder, "source/blocked").mkdir(parents=True)
    pathlib.Path(folder, "target").mkdir()
    pathlib.Path(folder, "target/blocked").touch()
    os.environ["LAKELINK_STATE_DIR"] = folder + "/state"
    for more in ([], ["--no-posix"], ["--delete", "--json"]):
        sys.argv = ["lakelink", "sync", folder + "/source", folder + "/target", "-q", *more]
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main()
os.environ["LAKELINK_STATE_DIR"] = state
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.argv = ["lakelink", *arguments]
sys.exit(main())
"""


@contextmanager
def ordinary() -> Iterator[tuple[Path, Program]]:
    """A folder and the program of somebody who is not root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = Program(folder)
        program.env["PYTHONPATH"] = os.pathsep.join([f"{folder}/code", *filter(None, sys.path)])
        if os.geteuid() == 0:
            # Its own data files are read when they are wanted.
            shutil.copytree(Path(lakelink.__file__).parent, folder / "code/lakelink")
            give_away(folder / "code")
            os.chown(folder, NOBODY, NOBODY)
            program.command = lambda *arguments: [sys.executable, "-c", BECOME_ORDINARY, *map(str, arguments)]
        yield folder, program


def give_away(root: Path) -> None:
    if os.geteuid() == 0:
        for directory, _, names in os.walk(root):
            for path in (directory, *(os.path.join(directory, name) for name in names)):  # noqa: PTH118
                os.chown(path, NOBODY, NOBODY)


def test_what_an_ordinary_user_may_not_read_is_reported_and_never_deleted_at_the_target():
    with ordinary() as (folder, program):
        source = make_tree(folder / "source", {"fine": "1", "secret": "2", "closed/inside": "3", "gone": "4"})
        give_away(source)
        assert program("sync", source, folder / "target", "-q").code == 0
        (source / "fine").write_text("changed", encoding="utf-8")
        (source / "secret").write_text("changed", encoding="utf-8")
        (source / "gone").unlink()
        (source / "secret").chmod(0)
        (source / "closed").chmod(0)
        try:
            done = program("sync", source, folder / "target", "--delete", "--json")
        finally:
            (source / "closed").chmod(0o700)
        assert done.code == 1
        assert {(f["path"], f["code"]) for f in done.json["failed"]} == {("closed", "LL301"), ("secret", "LL301")}
        assert all(f["hint"] for f in done.json["failed"])
        target = folder / "target"
        texts = {str(p.relative_to(target)): p.read_text(encoding="utf-8") for p in target.rglob("*") if p.is_file()}
        assert texts == {"fine": "changed", "secret": "2", "closed/inside": "3"}


def test_a_target_that_may_not_be_written_is_reported_path_by_path():
    with ordinary() as (folder, program):
        source = make_tree(folder / "source", {"open/a": "1", "closed/b": "2"})
        target = make_tree(folder / "target", {"open/old": "0", "closed/old": "0"})
        give_away(source)
        give_away(target)
        (target / "closed").chmod(0o555)
        if os.geteuid() == 0:
            os.chown(target / "closed", 0, 0)
        done = program("sync", source, target, "--json", "--no-posix")
        assert (done.code, bool(done.out)) == (1, True), done.err
        assert [(f["path"], f["code"]) for f in done.json["failed"]] == [("closed/b", "LL301")]
        assert (target / "open/a").read_text(encoding="utf-8") == "1"


@needs_root
def test_a_full_disk_fails_what_did_not_fit_and_the_next_run_finishes(program, tmp_path):
    source = make_tree(tmp_path / "source", {f"small{n}": "x" * 1000 for n in range(20)})
    (source / "big").write_bytes(os.urandom(6 << 20))
    with mounted(tmp_path / "full", "size=4m") as disk:
        done = program("sync", source, disk / "target", "--json")
        assert done.code == 1
        assert {(f["path"], f["code"]) for f in done.json["failed"]} == {("big", "LL403")}
        names = sorted(os.listdir(disk / "target"))  # noqa: PTH208
        assert names == sorted(f"small{n}" for n in range(20))
        (source / "big").write_bytes(b"fits now")
        assert program("sync", source, disk / "target", "-q").code == 0
        assert subprocess.run(["diff", "-r", source, disk / "target"], check=False).returncode == 0


@needs_root
def test_a_read_only_target_is_told_and_stays_as_it_is(program, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "new", "b": "b"})
    with mounted(tmp_path / "disk") as disk:
        make_tree(disk, {"a": "old!", "extra": "x"})
        remount_read_only(disk)
        done = program("sync", source, disk, "--delete")
        assert done.code in {1, 4}
        assert "LL301" in done.err
        assert {p.name: p.read_text(encoding="utf-8") for p in disk.iterdir()} == {"a": "old!", "extra": "x"}


@pytest.mark.parametrize("where", ["local", "lake"])
def test_files_and_directories_change_places(on_lake, tmp_path, where):
    source = make_tree(tmp_path / "source", {"was-file/inside": "1", "was-directory": "2", "link-now": "3"})
    target = tmp_path / "target" if where == "local" else on_lake.lake
    before = make_tree(
        tmp_path / "before", {"was-file": "a", "was-directory/deep/inside": "b", "link-now": "c", "z": "d"}
    )
    assert on_lake("sync", before, target, "-q").code == 0
    (source / "link-now").unlink()
    (source / "link-now").symlink_to("was-directory")
    careful = on_lake("sync", source, target, "--json")
    assert careful.code == 1
    assert [(f["path"], f["code"]) for f in careful.json["failed"]] == [("was-directory", "LL407")]
    assert on_lake("sync", source, target, "--delete", "--max-delete", "100%", "-q").code == 0
    assert on_lake("verify", source, target, "--no-posix").code == 0
    again = on_lake("sync", source, target, "--delete", "--json").json
    assert (again["transferred_files"], again["deleted"], again["failed"]) == (0, 0, [])


def test_a_hundred_thousand_entries_in_one_directory(program, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    here = os.open(source, os.O_RDONLY)
    for number in range(100_000):
        os.close(os.open(f"entry-{number:06d}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=here))
    os.close(here)
    first = program("sync", source, tmp_path / "target", "--json").json
    assert (first["transferred_files"], first["failed"]) == (100_000, [])
    (source / "entry-050000").unlink()
    (source / "entry-0new").touch()
    again = program("sync", source, tmp_path / "target", "--delete", "--json").json
    assert (again["transferred_files"], again["deleted"], again["unchanged"]) == (1, 1, 99_999)


def test_connections_that_break_cost_time_and_nothing_else(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {f"f{n:02}": "x" * 30_000 for n in range(40)})
    (source / "large").write_bytes(os.urandom(12 << 20))
    with relay_to(on_lake.env["AWS_ENDPOINT_URL_S3"]) as relay:
        through = {"AWS_ENDPOINT_URL_S3": relay.endpoint}
        relay.break_after = [
            70_000,
            400,
            0,
        ]  # the last one is the first to go: no request is shorter than the first two
        up = on_lake("sync", source, on_lake.lake, "--json", **through)
        assert up.trouble == ""
        assert relay.broken >= 2
        relay.break_after, relay.broken = [3_000_000, 400, 0], 0
        down = on_lake("sync", on_lake.lake, tmp_path / "back", "--json", **through)
        assert (down.code, down.json["failed"]) == (0, [])
        assert relay.broken >= 2
    assert subprocess.run(["diff", "-r", source, tmp_path / "back"], check=False).returncode == 0


@pytest.mark.parametrize("size_bytes", [100, 200_000, 3 << 20, 12 << 20])
def test_a_file_that_is_overwritten_all_the_time_is_never_stored_torn(on_lake, tmp_path, size_bytes):
    source = make_tree(tmp_path / "source", {"calm": "calm"})
    writer = subprocess.Popen(
        [sys.executable, "-c", OVERWRITE, source / "busy", str(size_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert writer.stdout.readline() == b"begun\n"
        for _ in range(2):
            done = on_lake("sync", source, on_lake.lake, "--json")
            failed = [(f["path"], f["code"]) for f in done.json["failed"]]
            assert failed in ([], [("busy", "LL401")])
            stored = subprocess.run(
                on_lake.command("cat", f"{on_lake.lake}/busy"), env=on_lake.env, capture_output=True, check=False
            )
            if stored.returncode == 0:  # one fill byte throughout: whole and of one version
                assert len(stored.stdout) == size_bytes
                assert len(set(stored.stdout)) == 1
            else:
                assert failed
    finally:
        writer.stdin.close()
        writer.wait(PATIENCE_S)
        writer.stdout.close()
    last = on_lake("sync", source, on_lake.lake, "--json")
    assert (last.code, last.json["failed"]) == (0, [])
    assert on_lake("cat", f"{on_lake.lake}/calm").out == "calm"


OVERWRITE = """
import itertools, os, select, sys, time
path, size = sys.argv[1], int(sys.argv[2])
for number in itertools.count():
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    at = 0
    while at < size:
        at += os.pwrite(fd, bytes([number % 256]) * min(65536, size - at), at)
    os.close(fd)
    if not number: print("begun", flush=True)
    if select.select([sys.stdin], [], [], 0.02)[0]: break
"""


def test_a_missing_right_names_the_path_and_the_rest_goes_on(on_lake, tmp_path):
    """A store that answers 403 for one key, in front of the real one."""
    source = make_tree(tmp_path / "source", {"allowed": "1", "forbidden": "2", "later": "3"})
    with refusing(on_lake.env["AWS_ENDPOINT_URL_S3"], b"/forbidden ") as endpoint:
        done = on_lake(
            "sync", source, on_lake.lake, "--json", "--report", tmp_path / "report", AWS_ENDPOINT_URL_S3=endpoint
        )
    assert done.code == 1
    assert [(f["path"], f["code"]) for f in done.json["failed"]] == [("forbidden", "LL301")]
    assert "s3:PutObject" in done.json["failed"][0]["hint"] + done.json["failed"][0]["message"]
    assert done.json["transferred_files"] == 2
    lines = [json.loads(line) for line in (tmp_path / "report").read_text(encoding="utf-8").splitlines()]
    assert {line["path"]: line["action"] for line in lines if line["path"] in {"allowed", "forbidden", "later"}} == {
        "allowed": "create", "forbidden": "failed", "later": "create",
    }  # fmt: skip


@contextmanager
def refusing(store_endpoint: str, what: bytes) -> Iterator[str]:
    """A proxy for PUT, GET and HEAD with bodies of known length that answers 403 where the request line holds `what`."""
    import http.client
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from urllib.parse import urlsplit

    where = urlsplit(store_endpoint)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if what in self.raw_requestline:
                self._answer(403, [], b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
                return
            connection = http.client.HTTPConnection(where.hostname, where.port, timeout=PATIENCE_S)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
            kept = [(n, v) for n, v in answer.getheaders() if n.lower() not in {"transfer-encoding", "connection"}]
            self._answer(answer.status, kept, data)
            connection.close()

        def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() != "content-length" or self.command == "HEAD":
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
