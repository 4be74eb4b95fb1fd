-- Who decided, and who read what is others': each row under a digest of itself and of the row before. `user` is a user's UUID; null is
-- everybody, or nobody who is known. It outlives what is held about the user.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    action TEXT NOT NULL,
    user BLOB CHECK (length(user) = 16),
    value TEXT NOT NULL,
    digest TEXT NOT NULL CHECK (length(digest) = 64)
) STRICT;
CREATE TRIGGER audit_closed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'closed'); END;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'kept'); END;
