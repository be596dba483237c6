"""What a site may put beside its own users and files: a service that knows more users, and what is to happen to files that have arrived."""

from __future__ import annotations

from lakelink.config.document import Document
from lakelink.gateway.base import IdentityService


def identity_service(_document: Document) -> IdentityService | None:
    """The service of `[gateway.identity]`; None = there is none."""
    return None
