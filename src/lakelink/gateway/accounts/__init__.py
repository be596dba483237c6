"""The users of the gateway: in the state database and in the settings."""
