"""lakelink keeps file systems, SFTP drops and databases in step with an S3 data lake.

import lakelink
result = lakelink.sync("/srv/data", "s3://lake/data", delete=True)
print(result.transferred_files, result.failed)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["LakelinkError", "SyncOptions", "SyncResult", "__version__", "sync", "sync_async"]

if TYPE_CHECKING:
    from lakelink.api.sync import sync, sync_async
    from lakelink.errors import LakelinkError
    from lakelink.model.task import SyncOptions, SyncResult

_HOMES = {
    "sync": "lakelink.api.sync",
    "sync_async": "lakelink.api.sync",
    "LakelinkError": "lakelink.errors",
    "SyncOptions": "lakelink.model.task",
    "SyncResult": "lakelink.model.task",
}


def __getattr__(name: str) -> Any:
    """Public names are loaded when first used: `import lakelink` costs nothing."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lakelink' has no attribute {name!r}")
