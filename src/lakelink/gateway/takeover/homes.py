"""What is in the trees of users: how much, and what an object store cannot hold."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator

from lakelink.gateway.takeover.facts import HomeFact, TopFolder
from lakelink.gateway.takeover.source import Node, Source
from lakelink.model.entry import Kind
from lakelink.model.path import display

MOST_EXAMPLES = 5
LONGEST_KEY_BYTES = 1024
LARGEST_OBJECT_BYTES = 5 << 40
MANY_ENTRIES = 100_000
WHAT = {
    "symlinks": "symbolic links",
    "leading-out": "symbolic links that lead out of the tree",
    "hard-links": "files with several names",
    "special": "FIFOs, sockets and devices",
    "not-utf8": "names that are not UTF-8",
    "too-long": f"names beyond {LONGEST_KEY_BYTES} bytes",
    "same-but-case": "names that differ only in case",
    "too-large": "files beyond 5 TiB",
    "crowded": f"directories with more than {MANY_ENTRIES:,} entries",
    "empty": "empty directories",
    "locked-in": "directories below the first level with rights of their own",
    "open": "files that are being written to",
}


def can(node: Node, uid: int, gids: Iterable[int]) -> tuple[bool, bool]:
    """Whether the modes let that user list and read, and make and remove entries in, a directory."""
    shift = 6 if node.uid == uid else 3 if node.gid in set(gids) else 0
    bits = (node.mode >> shift) & 7
    return bits & 5 == 5, bits & 3 == 3


class Census:
    """Counts one tree, node by node."""

    def __init__(self, tree: str, uid: int, gids: frozenset[int], prefix_bytes: int) -> None:
        self.home = HomeFact(tree=tree)
        self._uid, self._gids = uid, gids
        self._prefix_bytes = prefix_bytes
        self._entries: dict[str, int] = {}
        self._folded: set[int] = set()
        self._tops: dict[str, tuple[bool, bool]] = {}
        self._deep: list[tuple[str, bool, bool]] = []

    def top(self, node: Node) -> None:
        """The root of the tree."""
        self._entries[""] = 0
        self._tops[""] = can(node, self._uid, self._gids)

    def add(self, node: Node) -> None:
        parent, _, name = node.path.rpartition("/")
        self._entries[parent] = self._entries.get(parent, 0) + 1
        raw = node.path.encode("utf-8", "surrogateescape")
        if any("\udc80" <= char <= "\udcff" for char in name):
            self._found("not-utf8", node.path)
        self.home.longest_path_bytes = max(self.home.longest_path_bytes, len(raw))
        if len(raw) + self._prefix_bytes > LONGEST_KEY_BYTES:
            self._found("too-long", node.path)
        folded = hash(node.path.lower())  # paths are unique: two that fold to one differ in case alone
        if folded in self._folded:
            self._found("same-but-case", node.path)
        self._folded.add(folded)
        match node.kind:
            case Kind.FILE:
                self._file(node)
            case Kind.DIR:
                self._directory(node)
            case Kind.SYMLINK:
                self._found("symlinks", node.path)
                if leads_out(node.path, node.target):
                    self._found("leading-out", node.path)
            case _:
                self._found("special", node.path)

    def done(self) -> HomeFact:
        """The result; directories are judged only now, when all of their entries were seen."""
        for path, count in self._entries.items():
            if not count and path:
                self._found("empty", path)
            if count > MANY_ENTRIES:
                self._found("crowded", path or ".")
        for path, reads, writes in self._deep:
            if (reads, writes) != self._tops.get(path.split("/", 1)[0]):
                self._found("locked-in", path)
        self.home.folders = [
            TopFolder(path=path, can_read=r, can_write=w) for path, (r, w) in sorted(self._tops.items())
        ]
        return self.home

    def _file(self, node: Node) -> None:
        home = self.home
        home.files += 1
        home.size_bytes += node.size_bytes
        home.largest_bytes = max(home.largest_bytes, node.size_bytes)
        home.newest_ns = max(home.newest_ns, node.mtime_ns)
        if node.links > 1:
            self._found("hard-links", node.path)
        if node.size_bytes > LARGEST_OBJECT_BYTES:
            self._found("too-large", node.path)

    def _directory(self, node: Node) -> None:
        self.home.directories += 1
        self._entries.setdefault(node.path, 0)
        rights = can(node, self._uid, self._gids)
        if "/" in node.path:
            self._deep.append((node.path, *rights))
        else:
            self._tops[node.path] = rights

    def _found(self, what: str, path: str) -> None:
        self.home.counts[what] = self.home.counts.get(what, 0) + 1
        examples = self.home.examples.setdefault(what, [])
        if len(examples) < MOST_EXAMPLES:
            examples.append(display(path))


def leads_out(path: str, target: str) -> bool:
    """Whether a link at `path` points outside of the tree that it is in."""
    if target.startswith("/"):
        return True
    depth = path.count("/")
    for part in target.split("/"):
        depth += -1 if part == ".." else part not in {"", "."}
        if depth < 0:
            return True
    return False


def census(source: Source, tree: str, uid: int, gids: frozenset[int], prefix_bytes: int = 0) -> HomeFact:
    """Look at a tree.

    Raises:
        NotPermitted, StorageError, Unreachable: it cannot be read as a whole.
    """
    node = source.look(tree)
    if node is None or not stat.S_ISDIR(node.mode):
        return HomeFact(tree=tree, is_missing=True)
    counting = Census(tree, uid, gids, prefix_bytes)
    counting.top(node)
    for below in source.walk(tree):
        counting.add(below)
    return counting.done()


def written_to(source: Source) -> Iterator[str]:
    """Files that some process of the machine has open for writing; nothing where that cannot be asked."""
    said = source.ask(["sh", "-c", _OPEN_FILES])
    yield from (line for line in said.output.split("\n") if line.startswith("/"))


_OPEN_FILES = r"""
for fd in /proc/[0-9]*/fd/*; do
  flags=$(sed -n 's/^flags:[[:space:]]*//p' "${fd%/fd/*}/fdinfo/${fd##*/}" 2>/dev/null) || continue
  case "$flags" in *[12]) readlink -- "$fd" 2>/dev/null;; esac
done
:
"""
