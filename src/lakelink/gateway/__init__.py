"""The SFTP gateway: users whose homes are locations."""
