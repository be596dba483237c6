"""Include and exclude patterns in gitignore syntax (pathspec does the matching).

Lines apply in order and the last match wins; `!pattern` takes a path back in. Unlike git, a path may be taken back in below an excluded
directory: such a directory is looked into, and is made at the target only for what is taken back in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathspec import PathSpec


class Filter:
    """Decides which paths a run leaves out. Empty: none."""

    def __init__(self, lines: Iterable[str]) -> None:
        kept = [line for line in lines if line.strip() and not line.startswith("#")]
        self.lines = tuple(kept)
        self._spec = _spec(kept) if kept else None
        self._takes_back = any(line.startswith("!") for line in kept)

    def __bool__(self) -> bool:
        return bool(self.lines)

    def excludes(self, path: str, is_directory: bool) -> bool:
        """Whether the path itself is left out."""
        if not path or self._spec is None:
            return False
        return bool(self._spec.match_file(path + "/" if is_directory else path))

    def prunes(self, path: str, is_directory: bool) -> bool:
        """Whether a scan need not look at the path, nor at anything below it."""
        if is_directory and self._takes_back:
            return False
        return self.excludes(path, is_directory)

    def for_scan(self) -> Callable[[str, bool], bool] | None:
        """The function that `Location.scan` takes; None where nothing is left out."""
        return self.prunes if self.lines else None


def _spec(lines: Iterable[str]) -> PathSpec[Any]:
    """The library is loaded by runs that filter."""
    from pathspec import PathSpec

    return PathSpec.from_lines("gitignore", lines)
