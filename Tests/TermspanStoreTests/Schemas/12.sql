-- The name of the computer that it was imported of, sealed under the user's key; null: it was measured here.
ALTER TABLE session ADD COLUMN origin BLOB;
-- A later file may have more of a session that was imported.
DROP TRIGGER session_closed;
CREATE TRIGGER session_closed BEFORE UPDATE ON session WHEN OLD.end IS NOT NULL AND OLD.origin IS NULL
    BEGIN SELECT RAISE(ABORT, 'closed'); END;

-- Of a focus interval that was imported with its times, in nanoseconds: the input that they came of is not known.
CREATE TABLE told_times (
    session INTEGER NOT NULL REFERENCES session,
    start INTEGER NOT NULL,
    active INTEGER NOT NULL,
    passive INTEGER NOT NULL,
    inactive INTEGER NOT NULL,
    PRIMARY KEY (session, start)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER told_times_closed BEFORE UPDATE ON told_times BEGIN SELECT RAISE(ABORT, 'closed'); END;
