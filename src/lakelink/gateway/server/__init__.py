"""The SSH server of the gateway: who may connect, what is negotiated, which sessions live."""
