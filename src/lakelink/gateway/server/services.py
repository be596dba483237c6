"""What a site may put beside its own users and files: a service that knows more users, and what is to happen to files that have arrived."""

from __future__ import annotations

from lakelink.config.document import Document
from lakelink.config.gateway_identity import read_identity
from lakelink.gateway.base import IdentityService
from lakelink.gateway.identity_http import HttpIdentity
from lakelink.ports.clock import SystemClock


def identity_service(document: Document) -> IdentityService | None:
    """The service of `[gateway.identity]`; None = there is none.

    Raises:
        ConfigError, UsageError: the section is wrong.
    """
    identity = read_identity(document)
    return HttpIdentity(identity, document, SystemClock()) if identity else None
