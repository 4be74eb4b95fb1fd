-- What members of groups may: the rights of `role`, or to see members of the group `views`.
CREATE TABLE role (
    role TEXT NOT NULL,
    member TEXT NOT NULL,
    views TEXT NOT NULL,
    since INTEGER NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (role, member, views)
) STRICT, WITHOUT ROWID;

-- Groups of Termspan's own, by their members.
CREATE TABLE own_group (
    name TEXT NOT NULL,
    user INTEGER NOT NULL REFERENCES user,
    since INTEGER NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (name, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX own_group_user ON own_group (user);
