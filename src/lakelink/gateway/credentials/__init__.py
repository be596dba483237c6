"""How users prove who they are: password hashes of crypt(3), and lines of authorized_keys."""
