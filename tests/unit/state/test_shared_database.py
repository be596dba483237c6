"""One database, several connections, several processes: as a daemon and its commands use a journal."""

import subprocess
import sys
from contextlib import closing

from lakelink.state.database import connect

OPEN_AND_CLOSE = (
    "import sys; from pathlib import Path; from lakelink.state.database import connect\n"
    "db = connect(Path(sys.argv[1]), 'journal'); db.execute('SELECT count(*) FROM meta').fetchall(); db.close()"
)


def test_a_second_connection_here_and_a_process_elsewhere_leave_the_first_connection_whole(tmp_path):
    path = tmp_path / "journal.sqlite"
    with closing(connect(path, "journal")) as first:
        for number in range(3):
            first.execute("INSERT INTO meta VALUES (?, 'x')", (f"before {number}",))
            connect(path, "journal").close()
            subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, path], check=True)
            assert (tmp_path / "journal.sqlite-wal").exists()  # not taken away from under the first
            first.execute("INSERT INTO meta VALUES (?, 'x')", (f"after {number}",))
        assert first.execute("SELECT count(*) FROM meta").fetchone() == (6,)
    with closing(connect(path, "journal")) as again:
        assert again.execute("SELECT count(*) FROM meta").fetchone() == (6,)


def test_the_file_is_private_from_the_start(tmp_path):
    path = tmp_path / "journal.sqlite"
    connect(path, "journal").close()
    assert path.stat().st_mode & 0o777 == 0o600
