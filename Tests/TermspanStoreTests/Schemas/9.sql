-- What was known of the machine and of users, and from when to when it held. Of one kind and subject one holds at a time. Without a row it is not known.
CREATE TABLE fact (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    machine INTEGER NOT NULL REFERENCES machine,
    -- Null: the machine's own.
    user INTEGER REFERENCES user,
    kind TEXT NOT NULL,
    -- A user's is sealed under the user's key: see SealedValues.
    value ANY NOT NULL CHECK (typeof(value) = iif(user IS NULL, 'text', 'blob')),
    since INTEGER NOT NULL,
    -- Null: it holds.
    until INTEGER CHECK (until > since),
    revision INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX fact_current ON fact (machine, coalesce(user, 0), kind) WHERE until IS NULL;
CREATE INDEX fact_user ON fact (user);
CREATE TRIGGER fact_closed BEFORE UPDATE ON fact WHEN OLD.until IS NOT NULL BEGIN SELECT RAISE(ABORT, 'closed'); END;
