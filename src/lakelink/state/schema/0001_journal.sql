-- The journal of one link: observations and intents, never work. Names are text where they are UTF-8, else the bytes of the name.

-- What each side looked like when both were last equal.
CREATE TABLE base (
    path     NOT NULL PRIMARY KEY,
    kind     INTEGER NOT NULL,       -- Kind
    f_size   INTEGER NOT NULL, f_ino INTEGER NOT NULL, f_mtime INTEGER NOT NULL,   -- files: the version
    f_mode   INTEGER NOT NULL, f_uid INTEGER NOT NULL, f_gid INTEGER NOT NULL,
    l_size   INTEGER NOT NULL, l_time INTEGER NOT NULL, l_etag TEXT NOT NULL, l_version TEXT NOT NULL,  -- lake: the version; no ETag = implicit directory
    l_mode   INTEGER NOT NULL, l_uid INTEGER NOT NULL, l_gid INTEGER NOT NULL, l_mtime INTEGER NOT NULL,  -- -1: the object has none
    digest   BLOB NOT NULL,          -- algorithm:bytes, empty where it is not known
    target   BLOB                    -- of a symlink
) WITHOUT ROWID;
CREATE INDEX base_by_inode ON base (f_ino);

-- What was about to be done: committed before the effect, removed with its result. On start each one is settled by looking.
CREATE TABLE intent (
    path     NOT NULL PRIMARY KEY,
    verb     TEXT NOT NULL,
    detail   BLOB NOT NULL,          -- JSON: what the verb needs to be settled (upload id, conflict name, origin of a rename …)
    begun_ns INTEGER NOT NULL
) WITHOUT ROWID;

-- Paths that have to be looked at, noted before a queue message is given back or an overflow is forgotten.
CREATE TABLE dirty (
    path     NOT NULL, side TEXT NOT NULL,   -- files, lake
    subtree  INTEGER NOT NULL, since_ns INTEGER NOT NULL,
    PRIMARY KEY (path, side)
) WITHOUT ROWID;

CREATE TABLE held (
    path NOT NULL PRIMARY KEY, side TEXT NOT NULL, event TEXT NOT NULL, since_ns INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE problem (
    path NOT NULL PRIMARY KEY, code TEXT NOT NULL, message TEXT NOT NULL, hint TEXT NOT NULL,
    since_ns INTEGER NOT NULL, attempts INTEGER NOT NULL, again_ns INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE conflict (
    id       INTEGER PRIMARY KEY,
    path     NOT NULL,
    reason   TEXT NOT NULL,
    files    TEXT NOT NULL, lake TEXT NOT NULL,      -- what each side held, in words
    copy     NOT NULL,                               -- where the other version is: a conflict copy's path, or '' (trash, or it stands)
    rule     TEXT NOT NULL, since_ns INTEGER NOT NULL,
    resolved_ns INTEGER NOT NULL DEFAULT 0, resolution TEXT NOT NULL DEFAULT ''
);
CREATE INDEX conflict_open ON conflict (resolved_ns, path);

CREATE TABLE task (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, paths BLOB NOT NULL, state TEXT NOT NULL, report TEXT NOT NULL,
    created_ns INTEGER NOT NULL, started_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL,
    total INTEGER NOT NULL, succeeded INTEGER NOT NULL, failed INTEGER NOT NULL, message TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, time_ns INTEGER NOT NULL, code TEXT NOT NULL, path, message TEXT NOT NULL
);

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;   -- link ident, root identity, host, last survey …
