CREATE TEMP TABLE user_key (user INTEGER PRIMARY KEY, key BLOB NOT NULL);
DROP VIEW temp.identifier;
-- What was told of a month, as AggregateTable has it, to who sees aggregates alone: told again, whatever is there by now.
CREATE TABLE aggregate (
    month TEXT PRIMARY KEY,
    lines TEXT NOT NULL,
    at INTEGER NOT NULL,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER aggregate_closed BEFORE UPDATE ON aggregate BEGIN SELECT RAISE(ABORT, 'closed'); END;

-- Which file of keys is this store's: the ID of its root key.
CREATE TABLE key_file (root BLOB NOT NULL CHECK (length(root) = 8)) STRICT;

-- Values are sealed under the user's key: see SealedValues. That one is nobody else's on the machine too is the writer's to see to.
CREATE TABLE user_identifier_sealed (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user INTEGER NOT NULL REFERENCES user,
    -- login, uid; later domain, sid
    kind TEXT NOT NULL,
    -- The machine that it holds on; null: everywhere.
    machine INTEGER REFERENCES machine,
    value BLOB NOT NULL,
    -- Wall time from which it was another's or nobody's; null: it holds.
    until INTEGER
) STRICT;
INSERT INTO user_identifier_sealed
    SELECT i.id, i.user, i.kind, i.machine, seal(i.kind, i.value, k.key), i.until FROM user_identifier i JOIN user_key k USING (user);
DROP TABLE user_identifier;
ALTER TABLE user_identifier_sealed RENAME TO user_identifier;
CREATE INDEX user_identifier_user ON user_identifier (user);

CREATE TABLE session_event_sealed (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES session,
    at INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    client_address BLOB,
    client_name BLOB,
    revision INTEGER NOT NULL,
    UNIQUE (session, at, kind)
) STRICT;
INSERT INTO session_event_sealed
    SELECT e.id, e.session, e.at, e.kind, seal('client_address', e.client_address, k.key), seal('client_name', e.client_name, k.key),
        e.revision
    FROM session_event e JOIN session s ON s.id = e.session LEFT JOIN user_key k ON k.user = s.user;
DROP TABLE session_event;
ALTER TABLE session_event_sealed RENAME TO session_event;
CREATE TRIGGER session_event_closed BEFORE UPDATE ON session_event BEGIN SELECT RAISE(ABORT, 'closed'); END;
DROP TABLE temp.user_key;
CREATE TEMP VIEW identifier AS
SELECT id, user, kind, machine, reveal(kind, value) AS value, until FROM main.user_identifier;
DROP TRIGGER policy_change_closed;
CREATE TRIGGER policy_change_closed BEFORE UPDATE ON policy_change BEGIN SELECT RAISE(ABORT, 'closed'); END;
