"""Another directory takes the place of a link's root, on the word of the operator: `lakelink link resume NAME --accept-root`."""

from __future__ import annotations

import sqlite3

from lakelink.errors import StorageError
from lakelink.links.identity import RootGuard
from lakelink.state.database import transaction


async def accept_root(guard: RootGuard, db: sqlite3.Connection) -> None:
    """Afterwards the directory that is there now is the link's root, and nothing is agreed on: the next survey is a union of both sides, which deletes
    nothing. To be called while the link does not run, with the connection of its journal, which is opened anew afterwards. May be repeated.

    The base goes first: were the root accepted with it, what the new directory lacks would count as deleted.

    Raises:
        StorageError: the journal cannot be written; nothing was accepted.
        Halt: the directory cannot be seen or marked, or belongs to another link; nothing is agreed on all the same.
    """
    try:
        with transaction(db):
            db.execute("DELETE FROM base")
            db.execute("DELETE FROM held")
            db.execute("DELETE FROM meta WHERE key='surveyed_ns'")
    except sqlite3.Error as error:
        raise StorageError(f"the journal cannot be written: {error}", hint="Is the disk full?") from error
    await guard.accept()
