"""SFTP version 3 without a transport: bytes in, bytes out."""
