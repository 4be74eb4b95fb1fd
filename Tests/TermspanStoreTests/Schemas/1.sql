PRAGMA application_id = 1414746190;

CREATE TABLE machine (
    id INTEGER PRIMARY KEY,
    machine_id BLOB NOT NULL UNIQUE CHECK (length(machine_id) = 16),
    uuid BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16)
) STRICT;

CREATE TABLE boot (
    id INTEGER PRIMARY KEY,
    machine INTEGER NOT NULL REFERENCES machine,
    boot_id BLOB NOT NULL CHECK (length(boot_id) = 16),
    -- The latest moment at which the collector was known to have taken everything in.
    seen INTEGER NOT NULL DEFAULT 0,
    UNIQUE (machine, boot_id)
) STRICT;

CREATE TABLE clock_anchor (
    boot INTEGER NOT NULL REFERENCES boot,
    at INTEGER NOT NULL,
    wall INTEGER NOT NULL,
    PRIMARY KEY (boot, at)
) STRICT, WITHOUT ROWID;

-- An opaque number; what it is called is beside it, so that it can be forgotten or merged.
CREATE TABLE user (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16)
) STRICT;

CREATE TABLE user_identifier (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user INTEGER NOT NULL REFERENCES user,
    -- login, uid; later domain, sid
    kind TEXT NOT NULL,
    -- The machine that it holds on; null: everywhere.
    machine INTEGER REFERENCES machine,
    value TEXT NOT NULL,
    -- Wall time from which it was another's or nobody's; null: it holds.
    until INTEGER
) STRICT;
CREATE UNIQUE INDEX user_identifier_current ON user_identifier (kind, value, machine) WHERE until IS NULL;
CREATE INDEX user_identifier_user ON user_identifier (user);

CREATE TABLE session (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
    boot INTEGER NOT NULL REFERENCES boot,
    user INTEGER NOT NULL REFERENCES user,
    number INTEGER NOT NULL,
    stack TEXT NOT NULL,
    start INTEGER NOT NULL,
    start_wall INTEGER NOT NULL,
    end INTEGER CHECK (end >= start),
    end_wall INTEGER,
    end_reason INTEGER,
    revision INTEGER NOT NULL,
    CHECK ((end IS NULL) = (end_reason IS NULL) AND (end IS NULL) = (end_wall IS NULL))
) STRICT;
CREATE INDEX session_user ON session (user, start_wall);
CREATE INDEX session_start ON session (start_wall);
CREATE INDEX session_open ON session (boot) WHERE end IS NULL;
CREATE INDEX session_revision ON session (revision);

CREATE TABLE session_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES session,
    at INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    client_address TEXT,
    client_name TEXT,
    revision INTEGER NOT NULL,
    UNIQUE (session, at, kind)
) STRICT;

-- A name under a hash of its content: the same on every machine.
CREATE TABLE application (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE CHECK (length(key) = 16),
    executable TEXT,
    class TEXT,
    revision INTEGER NOT NULL
) STRICT;

CREATE TABLE focus_interval (
    session INTEGER NOT NULL REFERENCES session,
    start INTEGER NOT NULL,
    length INTEGER NOT NULL CHECK (length > 0),
    -- Null: no window had the focus.
    application INTEGER REFERENCES application,
    switches INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL,
    PRIMARY KEY (session, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE input_burst (
    session INTEGER NOT NULL REFERENCES session,
    start INTEGER NOT NULL,
    length INTEGER NOT NULL CHECK (length >= 0),
    origin INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (session, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE unknown_interval (
    session INTEGER NOT NULL REFERENCES session,
    start INTEGER NOT NULL,
    length INTEGER NOT NULL CHECK (length > 0),
    reason INTEGER NOT NULL,
    lost INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL,
    PRIMARY KEY (session, start)
) STRICT, WITHOUT ROWID;

-- Closed rows never change.
CREATE TRIGGER focus_interval_closed BEFORE UPDATE ON focus_interval BEGIN SELECT RAISE(ABORT, 'closed'); END;
CREATE TRIGGER input_burst_closed BEFORE UPDATE ON input_burst BEGIN SELECT RAISE(ABORT, 'closed'); END;
CREATE TRIGGER unknown_interval_closed BEFORE UPDATE ON unknown_interval BEGIN SELECT RAISE(ABORT, 'closed'); END;
CREATE TRIGGER session_event_closed BEFORE UPDATE ON session_event BEGIN SELECT RAISE(ABORT, 'closed'); END;
CREATE TRIGGER session_closed BEFORE UPDATE ON session WHEN OLD.end IS NOT NULL BEGIN SELECT RAISE(ABORT, 'closed'); END;

-- Where a restarted collector goes on; gone when the session is over.
CREATE TABLE lane_checkpoint (
    session INTEGER PRIMARY KEY REFERENCES session,
    generation INTEGER NOT NULL,
    attempted_at INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    state BLOB NOT NULL
) STRICT;

CREATE TABLE tracking (
    user INTEGER PRIMARY KEY REFERENCES user,
    tracked INTEGER NOT NULL CHECK (tracked IN (0, 1)),
    level INTEGER NOT NULL,
    since INTEGER NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    revision INTEGER NOT NULL
) STRICT;

CREATE TABLE setting (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    since INTEGER NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE policy_change (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    user INTEGER REFERENCES user,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    reason TEXT NOT NULL,
    revision INTEGER NOT NULL
) STRICT;
CREATE TRIGGER policy_change_closed BEFORE UPDATE ON policy_change BEGIN SELECT RAISE(ABORT, 'closed'); END;

-- Nanoseconds by quarter of an hour UTC (wall seconds / 900). Not filled by this version.
CREATE TABLE rollup (
    session INTEGER NOT NULL REFERENCES session,
    quarter INTEGER NOT NULL,
    category INTEGER NOT NULL,
    application INTEGER NOT NULL DEFAULT 0,
    length INTEGER NOT NULL,
    PRIMARY KEY (session, quarter, category, application)
) STRICT, WITHOUT ROWID;

-- What was erased, so that copies elsewhere learn of it: the first 16 bytes of the SHA-256 of a UUID's.
CREATE TABLE tombstone (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    key BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;

-- The number of the last transaction that wrote rows with a revision.
CREATE TABLE revision (
    value INTEGER NOT NULL
) STRICT;
INSERT INTO revision VALUES (0);
