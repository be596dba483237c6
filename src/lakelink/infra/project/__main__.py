# ruff: noqa: INP001  # run as a script by Pulumi, from a copy of this directory
"""The Pulumi project: builds what the specification file of the stack describes."""

import pulumi

from lakelink.infra.load import load
from lakelink.infra.program import deploy

deploy(load(pulumi.Config().get("specification")).spec)
