"""Runs a command and writes its peak resident set to a file, in KiB: `python peak.py FILE COMMAND…`, standard input and output passed on.

A process of its own, since the kernel counts into a child's peak what its parent held when it was made, and pytest holds a lot.
"""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    process = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
    _, status, usage = os.wait4(process, 0)
    Path(sys.argv[1]).write_text(str(usage.ru_maxrss), encoding="ascii")
    sys.exit(os.waitstatus_to_exitcode(status))
