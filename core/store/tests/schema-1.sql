-- The truth of one server: what was accepted, where it is going, what it became, and the proof of it.
-- Times are milliseconds since 1970, UTC. Addresses that are keys are in lower case. The statements keep to what both
-- SQLite and PostgreSQL run, so that the schema can move when one machine is outgrown.

CREATE TABLE IF NOT EXISTS meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Domains whose mailboxes live here. class: certified | ordinary.
CREATE TABLE IF NOT EXISTS domains (
    name    TEXT PRIMARY KEY,
    class   TEXT NOT NULL,
    created BIGINT NOT NULL
);

-- One login with its folders. state: active | disabled. used: octets of all its items.
CREATE TABLE IF NOT EXISTS accounts (
    address    TEXT PRIMARY KEY,
    domain     TEXT NOT NULL REFERENCES domains(name),
    credential TEXT NOT NULL,
    state      TEXT NOT NULL,
    quota      BIGINT NOT NULL,
    used       BIGINT NOT NULL DEFAULT 0,
    created    BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS account_settings (
    account TEXT NOT NULL REFERENCES accounts(address) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (account, name)
);

-- Immutable content: `ranges` is a list of [file, offset, length] in the segment files.
CREATE TABLE IF NOT EXISTS messages (
    id      INTEGER PRIMARY KEY,
    size    BIGINT NOT NULL,
    ranges  TEXT NOT NULL,
    created BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS message_files (
    message BIGINT NOT NULL REFERENCES messages(id) ON DELETE CASCADE,
    file    BIGINT NOT NULL,
    PRIMARY KEY (message, file)
);
CREATE INDEX IF NOT EXISTS message_files_by_file ON message_files(file);

-- IMAP folders and the messages filed in them.
CREATE TABLE IF NOT EXISTS folders (
    id           INTEGER PRIMARY KEY,
    account      TEXT NOT NULL REFERENCES accounts(address) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    uid_validity BIGINT NOT NULL,
    uid_next     BIGINT NOT NULL DEFAULT 1,
    mod_seq      BIGINT NOT NULL DEFAULT 1,
    special_use  TEXT,
    subscribed   INTEGER NOT NULL DEFAULT 1,
    recent_from  BIGINT NOT NULL DEFAULT 1,
    UNIQUE (account, name)
);
CREATE TABLE IF NOT EXISTS items (
    folder        BIGINT NOT NULL REFERENCES folders(id) ON DELETE CASCADE,
    uid           BIGINT NOT NULL,
    message       BIGINT NOT NULL REFERENCES messages(id),
    size          BIGINT NOT NULL,
    flags         TEXT NOT NULL,
    internal_date BIGINT NOT NULL,
    mod_seq       BIGINT NOT NULL,
    PRIMARY KEY (folder, uid)
);
CREATE INDEX IF NOT EXISTS items_by_message ON items(message);
CREATE INDEX IF NOT EXISTS items_by_change ON items(folder, mod_seq);

-- The queue. phase: reception (a chain must still run) | delivery. `arrival` is JSON: how the message came.
CREATE TABLE IF NOT EXISTS entries (
    id           TEXT PRIMARY KEY,
    message      BIGINT NOT NULL REFERENCES messages(id),
    reverse_path TEXT NOT NULL,
    phase        TEXT NOT NULL,
    arrival      TEXT NOT NULL,
    created      BIGINT NOT NULL,
    expires      BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_by_message ON entries(message);
-- state: pending | held. A recipient that is settled leaves the table; an entry without recipients leaves too.
CREATE TABLE IF NOT EXISTS recipients (
    id       INTEGER PRIMARY KEY,
    entry    TEXT NOT NULL REFERENCES entries(id) ON DELETE CASCADE,
    address  TEXT NOT NULL,
    state    TEXT NOT NULL,
    due      BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    reply    TEXT,
    UNIQUE (entry, address)
);
CREATE INDEX IF NOT EXISTS recipients_by_due ON recipients(state, due);

-- What plugins keep. `version` changes with every write and is never used twice for a key.
CREATE TABLE IF NOT EXISTS plugin_state (
    plugin  TEXT NOT NULL,
    key     TEXT NOT NULL,
    value   BLOB NOT NULL,
    version BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (plugin, key)
);
CREATE INDEX IF NOT EXISTS plugin_state_by_expiry ON plugin_state(expires);
CREATE TABLE IF NOT EXISTS timers (
    plugin   TEXT NOT NULL,
    key      TEXT NOT NULL,
    at       BIGINT NOT NULL,
    payload  BLOB NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (plugin, key)
);
CREATE INDEX IF NOT EXISTS timers_by_instant ON timers(at);

-- One row for every step that a chain ran: what was decided, by which plugin, at what cost.
CREATE TABLE IF NOT EXISTS steps (
    id      INTEGER PRIMARY KEY,
    passage TEXT NOT NULL,
    at      BIGINT NOT NULL,
    record  TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS steps_by_passage ON steps(passage);
CREATE INDEX IF NOT EXISTS steps_by_instant ON steps(at);

-- The message log (stream 1) and the log of what happens at the doors (stream 2): append-only, each record's hash covers
-- the one before it in its stream. `record` is JSON, hashed octet for octet; `at` repeats its instant.
CREATE TABLE IF NOT EXISTS evidence (
    stream   INTEGER NOT NULL,
    sequence BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    record   TEXT NOT NULL,
    hash     BLOB NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX IF NOT EXISTS evidence_by_instant ON evidence(stream, at, sequence);
-- What a record is found by. field: 1 id of a message, 2 sender, 3 recipient, 4 kind, 5 provider, 6 peer.
CREATE TABLE IF NOT EXISTS evidence_terms (
    stream   INTEGER NOT NULL,
    field    INTEGER NOT NULL,
    value    TEXT NOT NULL,
    at       BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (stream, field, value, at, sequence)
) WITHOUT ROWID;
-- Sealed files, one row for each for ever: records `first` to `last`, of the period `since` to `until`. `before` is the
-- hash before the first record, `head` that of the last one. stamp: the authority's answer as it came. removed: when
-- the file and its records were past their time and left; then `head` is where the chain begins.
CREATE TABLE IF NOT EXISTS evidence_files (
    id       INTEGER PRIMARY KEY,
    stream   INTEGER NOT NULL,
    first    BIGINT NOT NULL,
    last     BIGINT NOT NULL,
    name     TEXT NOT NULL UNIQUE,
    size     BIGINT NOT NULL,
    sha256   BLOB NOT NULL,
    before   BLOB NOT NULL,
    head     BLOB NOT NULL,
    since    BIGINT NOT NULL,
    until    BIGINT NOT NULL,
    sealed   BIGINT NOT NULL,
    stamp    BLOB,
    stamped  BIGINT,
    attempts BIGINT NOT NULL DEFAULT 0,
    due      BIGINT NOT NULL DEFAULT 0,
    problem  TEXT,
    copied   BIGINT,
    removed  BIGINT,
    UNIQUE (stream, first)
);

-- Messages kept from their recipients.
CREATE TABLE IF NOT EXISTS quarantine (
    id         TEXT PRIMARY KEY,
    message    BIGINT NOT NULL REFERENCES messages(id),
    envelope   TEXT NOT NULL,
    plugin     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    created    BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS quarantine_by_message ON quarantine(message);
