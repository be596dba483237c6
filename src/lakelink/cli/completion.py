"""`lakelink completion`: a script that a shell reads."""

from __future__ import annotations

import sys
from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print a completion script for a shell.

    For example:

    ```
    lakelink completion bash > ~/.local/share/bash-completion/completions/lakelink
    lakelink completion fish > ~/.config/fish/completions/lakelink.fish
    ```

    Args:
        shell: bash, zsh or fish.
    """
    from lakelink.cli.main import build

    sys.stdout.write(build([]).generate_completion(shell=shell))
    return 0
