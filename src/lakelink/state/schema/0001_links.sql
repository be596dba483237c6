-- The links of this state directory: what they are, not how they stand.
CREATE TABLE link (
    ident        TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    files        TEXT NOT NULL,               -- canonical URLs, as they were when the link was made: what never changes
    lake         TEXT NOT NULL,
    spec         BLOB NOT NULL,               -- JSON of the LinkSpec
    withdrawn_ns INTEGER NOT NULL DEFAULT 0,  -- its section is no longer in the settings: it rests
    removed_ns   INTEGER NOT NULL DEFAULT 0   -- its ident is never given again
) WITHOUT ROWID;
CREATE UNIQUE INDEX link_name ON link (name) WHERE removed_ns = 0;
