"""The AWS side, as a checked specification and a Pulumi program."""
