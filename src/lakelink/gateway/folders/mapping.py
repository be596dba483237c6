"""Which folder decides about a path: the one with the longest path that contains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakelink.errors import ConfigError
from lakelink.gateway.folders.paths import ROOT, below, joined
from lakelink.model.account import Folder


@dataclass(frozen=True, slots=True)
class Spot:
    """A virtual path and what it is in the folder that decides about it. Without a folder: a directory that only leads to folders."""

    path: str
    folder: Folder | None
    relative: str

    @property
    def is_mount(self) -> bool:
        """Whether it is the top of a folder."""
        return self.folder is not None and not self.relative


class Mapping:
    """The folders of one account."""

    def __init__(self, folders: Sequence[Folder]) -> None:
        for folder in folders:
            if folder.path != joined(ROOT, folder.path) or not folder.path.startswith("/"):
                raise ConfigError(
                    f"the folder {folder.path!r} is not absolute and normal", hint="Write it like /outgoing/2026."
                )
        if len({folder.path for folder in folders}) != len(folders):
            raise ConfigError("two folders have the same path", hint="Each virtual path is mapped once.")
        self._folders = sorted(folders, key=lambda folder: len(folder.path), reverse=True)

    def find(self, path: str) -> Spot | None:
        """Where a normal path is; None = nothing can be there."""
        for folder in self._folders:
            relative = below(folder.path, path)
            if relative is not None:
                return Spot(path, folder, relative)
        return Spot(path, None, "") if path == ROOT or self.names_in(path) else None

    def names_in(self, path: str) -> list[str]:
        """Names directly in the directory that folders are, or lead through."""
        found = (below(path, folder.path) for folder in self._folders)
        return sorted({relative.split("/")[0] for relative in found if relative})

    def holds_folders(self, path: str) -> bool:
        """Whether a folder is at the path or anywhere below it: then the path itself cannot go."""
        return any(below(path, folder.path) is not None for folder in self._folders)
