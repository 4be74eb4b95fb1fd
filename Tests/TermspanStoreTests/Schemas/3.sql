-- Who is not tracked, whatever is decided else. `kind` is login or uid; `domain` is a login's, '*' any.
CREATE TABLE do_not_track (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    domain TEXT NOT NULL,
    since INTEGER NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    revision INTEGER NOT NULL,
    UNIQUE (kind, value, domain)
) STRICT;
