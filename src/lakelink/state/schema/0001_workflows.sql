-- What is to be done about files that arrived, and what was done. One row for each upload and workflow.
CREATE TABLE job (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow    TEXT NOT NULL,
    state       TEXT NOT NULL,              -- due, done, failed
    step        TEXT NOT NULL DEFAULT '',   -- the last one that was done
    attempts    INTEGER NOT NULL DEFAULT 0, -- of the step that comes next
    due_ns      INTEGER NOT NULL,
    stored_ns   INTEGER NOT NULL,
    changed_ns  INTEGER NOT NULL,
    user        TEXT NOT NULL,
    path        BLOB NOT NULL,              -- virtual, bytes
    upload      BLOB NOT NULL,              -- JSON, see docs/FORMAT.md
    message     TEXT NOT NULL DEFAULT ''
);
CREATE INDEX job_due ON job (due_ns) WHERE state = 'due';
CREATE INDEX job_state ON job (state, id);
