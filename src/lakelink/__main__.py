"""The `lakelink` program."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line; `--version` is answered before the command-line library loads."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from lakelink import __version__

        sys.stdout.write(f"lakelink {__version__}\n")
        return
    from lakelink.cli.main import run

    code = run(sys.argv[1:])
    # The interpreter ends with collections over all that is left, a tenth of a short run; the system takes the memory back anyway.
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    main()
