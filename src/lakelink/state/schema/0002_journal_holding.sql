-- Of a lazy link: which files hold their bytes here, and when each was last used. An index only: the attributes of the files are the truth.
CREATE TABLE holding (
    path PRIMARY KEY,
    size INTEGER NOT NULL,
    accessed_ns INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX holding_accessed ON holding (accessed_ns);
-- Stubs made from a listing, whose object was not asked for its metadata yet.
CREATE TABLE undescribed (path PRIMARY KEY) WITHOUT ROWID;
