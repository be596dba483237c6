-- The users of the gateway, password hashes included: the file is 0600.
CREATE TABLE account (
    name        TEXT PRIMARY KEY,
    account     BLOB NOT NULL,              -- JSON of the Account
    changed_ns  INTEGER NOT NULL,
    changes     INTEGER NOT NULL DEFAULT 1  -- counts up with each change of the row
) WITHOUT ROWID;
