"""What every part of the program needs: the specification, the owner in the tree, and how names and tags are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from lakelink.infra import names
from lakelink.infra.spec import LakeSpec


@dataclass(frozen=True, slots=True)
class Scope:
    """Names, tags and options of the children of one component."""

    owner: pulumi.Resource
    name: str
    spec: LakeSpec

    def named(self, part: str) -> str:
        """The logical name of a part, unique in the stack."""
        return f"{self.name}-{part}"

    def tags(self, part: str) -> dict[str, str]:
        """The tags of a part."""
        return names.tags(self.spec, part)

    def under(self, *, after: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        """A child of this component, made after the resources named."""
        return pulumi.ResourceOptions(parent=self.owner, depends_on=list(after))

    def look(self) -> pulumi.InvokeOptions:
        """A lookup with this component's provider, hence in the specification's region."""
        return pulumi.InvokeOptions(parent=self.owner)
