import GRDB
import TermspanCore

/// The schema, as migrations that are never edited once released. `Docs/adr/0003-store.md` says why it is as it is.
enum Schema {
    /// "TSPN", in the file's header (PRAGMA application_id).
    static let applicationID: Int32 = 0x5453_504E

    /// What a file is looked at by that nobody writes.
    static var versions: DatabaseMigrator { migrator(nil) }

    static func migrator(_ values: SealedValues?) -> DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { db in
            try db.execute(sql: version1)
        }
        migrator.registerMigration("2") { db in
            try db.execute(sql: version2)
        }
        migrator.registerMigration("3") { db in
            try db.execute(sql: version3)
            try listUntracked(db)
        }
        migrator.registerMigration("4") { db in
            try db.execute(sql: version4)
        }
        migrator.registerMigration("5") { db in
            try db.execute(sql: version5)
        }
        migrator.registerMigration("6") { db in
            guard let values else { throw StoreError(.keys, "migrate", "there are no keys") }
            try sealValues(db, values)
        }
        migrator.registerMigration("7") { db in
            try db.execute(sql: version7)
        }
        migrator.registerMigration("8") { db in
            try db.execute(sql: version8)
        }
        migrator.registerMigration("9") { db in
            try db.execute(sql: version9)
        }
        migrator.registerMigration("10") { db in
            try db.execute(sql: version10)
        }
        migrator.registerMigration(importVersion) { db in
            try db.execute(sql: imports)
        }
        return migrator
    }

    /// Whoever was untracked before there was a list is on it.
    private static func listUntracked(_ db: Database) throws {
        for entry in DoNotTrackList.untracked(try Policy.decisions(db)) { _ = try entry.insert(db, revision: 0) }
    }

    /// Has a key made for each user, and what names users or where they connect from sealed under it.
    private static func sealValues(_ db: Database, _ values: SealedValues) throws {
        try db.execute(sql: "CREATE TEMP TABLE user_key (user INTEGER PRIMARY KEY, key BLOB NOT NULL)")
        let users = try Row.fetchAll(
            db,
            sql: """
                SELECT l.user, l.value, i.value FROM user_identifier l JOIN user_identifier i ON i.user = l.user AND i.kind = 'uid'
                WHERE l.kind = 'login' GROUP BY l.user
                """)
        for row in users {
            let user = UserIdentity(login: row[1], uid: UInt32(row[2] as String) ?? .max)
            let key = try values.keys.keys(of: user).first ?? values.keys.makeKey(of: user)
            try db.execute(sql: "INSERT INTO user_key VALUES (?, ?)", arguments: [row[0] as Int64, DatabaseBytes(key.bytes)])
        }
        try values.keys.sync()
        // A table that a view is of can't be given another one's name.
        try db.execute(sql: "DROP VIEW temp.identifier; \(version6) \(SealedValues.view)")
        // What was recorded of the Do Not Track list speaks of the users whom it names from now on.
        let user = try StoreWriter.naming(db)
        try db.execute(sql: "DROP TRIGGER policy_change_closed")
        for row in try Row.fetchAll(db, sql: "SELECT id, value FROM policy_change WHERE key LIKE 'do-not-track-%' AND user IS NULL") {
            guard let subject = DoNotTrackList.Subject(row[1] as String), let user = user(subject) else { continue }
            try db.execute(
                sql: "UPDATE policy_change SET user = ?, value = ? WHERE id = ?", arguments: [user, subject.columns.kind, row[0] as Int64])
        }
        try db.execute(
            sql: """
                CREATE TRIGGER policy_change_closed BEFORE UPDATE ON policy_change BEGIN SELECT RAISE(ABORT, 'closed'); END
                """)
        try db.execute(sql: "INSERT INTO key_file VALUES (?)", arguments: [DatabaseBytes(values.keys.rootID.bytes)])
        // What was there as text is still in the file's bytes.
        if !users.isEmpty { try db.execute(sql: "PRAGMA user_version = \(StoreWriter.holdsErased)") }
    }

    private static let importVersion = "12"

    /// What was measured elsewhere: Docs/adr/0029-import.md.
    private static let imports = """
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
        """

    /// Reports are worked out from the intervals: Docs/adr/0024-reports.md.
    private static let version10 = "DROP TABLE rollup;"

    private static let version9 = """
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
        """

    private static let version8 = """
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
        """

    private static let version7 = """
        -- Who answers for what has more collected than before.
        ALTER TABLE tracking ADD COLUMN responsible TEXT NOT NULL DEFAULT '';
        ALTER TABLE setting ADD COLUMN responsible TEXT NOT NULL DEFAULT '';
        ALTER TABLE policy_change ADD COLUMN responsible TEXT NOT NULL DEFAULT '';
        """

    private static let version6 = """
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
        """

    private static let version5 = """
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
        """

    private static let version4 = """
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
        """

    private static let version3 = """
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
        """

    private static let version2 = """
        -- How long the machine had slept by the last sleep that is recorded, in nanoseconds; null while that is not known.
        ALTER TABLE boot ADD COLUMN asleep INTEGER;
        """

    /// Moments are nanoseconds of boot time beside a boot, wall times nanoseconds since 1970. Keys that leave the machine are blobs of 16 bytes.
    /// `revision` is the number of the transaction that wrote the row, which only grows.
    private static let version1 = """
        PRAGMA application_id = \(applicationID);

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
        """
}
