"""What stores differ in, as far as it was measured or is documented (reference: SeaweedFS 4.48 measured; Amazon S3 API reference)."""

from __future__ import annotations

from dataclasses import dataclass

from lakelink.testing.sim.objects import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of store."""

    name: str
    endpoint: str = "http://store.test:8333"
    order: Order = Order.BYTES
    conditions: bool = True  # False: they are ignored, not refused
    absent_status: int = 412  # If-Match on nothing
    racy_complete: bool = False  # CompleteMultipartUpload checks, waits, and writes without looking again
    implicit_markers: bool = False  # HEAD answers for prefixes that have keys below them
    marker_metadata: bool = True
    folds_slashes: bool = False  # two slashes are one, a backslash is a slash
    versioned: bool = False
    list_lag_s: float = 0.0  # a listing may be that old


AWS = Profile(name="aws", endpoint="https://s3.us-east-1.amazonaws.com", absent_status=404)
SEAWEEDFS = Profile(
    name="seaweedfs",
    order=Order.TREE,
    racy_complete=True,
    implicit_markers=True,
    marker_metadata=False,
    folds_slashes=True,
)
STALE_LIST = Profile(name="stale-list", list_lag_s=5.0)
NO_CONDITIONS = Profile(name="no-conditions", conditions=False)
VERSIONED = Profile(name="versioned", endpoint="https://s3.us-east-1.amazonaws.com", absent_status=404, versioned=True)
PROFILES = {profile.name: profile for profile in (AWS, SEAWEEDFS, STALE_LIST, NO_CONDITIONS, VERSIONED)}
