"""Where the journals of links are, and what is listed from them: the same with and without a running daemon."""

from __future__ import annotations

from pathlib import Path


def link_directory(state_dir: Path, ident: str) -> Path:
    """What lakelink keeps about one link."""
    return state_dir / "links" / ident
