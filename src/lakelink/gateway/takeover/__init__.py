"""Taking over an existing SFTP server: what it is, what becomes of it here, and the way back."""
