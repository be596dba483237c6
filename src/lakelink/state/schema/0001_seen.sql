-- What both sides of a one-way pair looked like when they were last equal, a row per path.
CREATE TABLE seen (
    dir    NOT NULL,   -- text where it is UTF-8, else the bytes of the name
    name   NOT NULL,
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (dir, name)
) WITHOUT ROWID;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
