"""The real program in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRESS = re.compile(r"[a-z]+: [0-9,]+ (paths seen at the source|of [0-9,]+ files), ")
PATIENCE_S = 120.0  # for what a test waits for; reaching it is a failure, not a measurement
TIMEOUT_S = 300  # below pytest's own: the program's output is worth more than a traceback of the test


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def trouble(self) -> str:
        """Standard error without the lines of progress that a slow machine makes it print."""
        return "".join(line for line in self.err.splitlines(keepends=True) if not PROGRESS.match(line))

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


class Program:
    """`lakelink` with an environment of its own, and the embedded store where one is given."""

    def __init__(self, folder: Path, store: Any = None, prefix: str = "") -> None:
        self.folder = folder
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAKELINK_"))}
        self.env |= {
            "LAKELINK_STATE_DIR": str(folder / "state"),
            "HOME": str(folder),
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.lake = ""
        if store is not None:
            self.lake = f"s3://{store.bucket}/{prefix}"
            self.env |= {
                "AWS_ENDPOINT_URL_S3": store.endpoint,
                "AWS_ACCESS_KEY_ID": store.access_key,
                "AWS_SECRET_ACCESS_KEY": store.secret_key,
                "AWS_REGION": "us-east-1",
            }

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "lakelink", *map(str, arguments)]

    def __call__(self, *arguments: str | Path, stdin: bytes | None = None, **env: str) -> Ran:
        done = subprocess.run(
            self.command(*arguments),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            cwd=self.folder,
            env=self.env | env,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode())

    def start(self, *arguments: str | Path, **streams: Any) -> subprocess.Popen[bytes]:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | streams
        return subprocess.Popen(self.command(*arguments), cwd=self.folder, env=self.env, **streams)


def make_tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    root.mkdir(parents=True, exist_ok=True)
    return root
