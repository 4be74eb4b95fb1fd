-- What was removed by its age since the last receipt, by the tables that it was in: one row, or none where nothing was.
CREATE TABLE expired (
    since INTEGER NOT NULL,
    session INTEGER NOT NULL DEFAULT 0,
    focus_interval INTEGER NOT NULL DEFAULT 0,
    input_burst INTEGER NOT NULL DEFAULT 0,
    unknown_interval INTEGER NOT NULL DEFAULT 0,
    session_event INTEGER NOT NULL DEFAULT 0,
    fact INTEGER NOT NULL DEFAULT 0
) STRICT;
