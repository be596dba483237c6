-- The links of this state directory: what they are, not how they stand.
CREATE TABLE link (
    ident      TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    files      TEXT NOT NULL,      -- canonical URLs: what may not overlap
    lake       TEXT NOT NULL,
    spec       BLOB NOT NULL,      -- JSON of the LinkSpec
    removed_ns INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
