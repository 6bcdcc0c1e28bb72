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

-- One mailbox with its folders. state: active | disabled. used: octets of all its items. kind: individual | multi-user |
-- application. offer: the name of the one that it was made by. daily_sends: recipients a day at most, 0 without limit.
-- next_number: the progressive number of its next message. warned: the percentage of its quota that its holder was
-- last told of.
CREATE TABLE IF NOT EXISTS accounts (
    address     TEXT PRIMARY KEY,
    domain      TEXT NOT NULL REFERENCES domains(name),
    state       TEXT NOT NULL,
    quota       BIGINT NOT NULL,
    used        BIGINT NOT NULL DEFAULT 0,
    created     BIGINT NOT NULL,
    kind        TEXT NOT NULL DEFAULT 'individual',
    offer       TEXT,
    daily_sends BIGINT NOT NULL DEFAULT 0,
    next_number BIGINT NOT NULL DEFAULT 1,
    warned      INTEGER NOT NULL DEFAULT 0
);
-- Who may log in to a mailbox. role: holder (one for each mailbox, whose login is its address) | operator. initial: 1
-- until the person has changed the credential that he was given. state: active | disabled.
CREATE TABLE IF NOT EXISTS users (
    login              TEXT PRIMARY KEY,
    account            TEXT NOT NULL REFERENCES accounts(address) ON DELETE CASCADE,
    role               TEXT NOT NULL,
    credential         TEXT NOT NULL,
    initial            INTEGER NOT NULL DEFAULT 0,
    credential_expires BIGINT,
    state              TEXT NOT NULL,
    created            BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS users_by_account ON users(account);
-- Messages of multi-user mailboxes that somebody (login) has in charge since an instant or, where `completed` is set, had
-- in charge until he completed them.
CREATE TABLE IF NOT EXISTS charges (
    account   TEXT NOT NULL REFERENCES accounts(address) ON DELETE CASCADE,
    number    BIGINT NOT NULL,
    login     TEXT NOT NULL,
    since     BIGINT NOT NULL,
    completed BIGINT,
    PRIMARY KEY (account, number)
);
-- What was done with the messages of multi-user mailboxes: append-only, bounded by age.
CREATE TABLE IF NOT EXISTS message_history (
    id      INTEGER PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts(address) ON DELETE CASCADE,
    number  BIGINT NOT NULL,
    login   TEXT NOT NULL,
    action  TEXT NOT NULL,
    at      BIGINT NOT NULL,
    detail  TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS message_history_by_number ON message_history(account, number, id);
CREATE INDEX IF NOT EXISTS message_history_by_instant ON message_history(at);
-- The progressive numbers of messages of multi-user mailboxes by their Message-ID: which one a reply answers.
CREATE TABLE IF NOT EXISTS message_names (
    account TEXT NOT NULL REFERENCES accounts(address) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    number  BIGINT NOT NULL,
    message BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (account, name)
) WITHOUT ROWID;
-- Recipients that a mailbox with a limit sent to on a day of the legal time (its first instant).
CREATE TABLE IF NOT EXISTS daily_sends (
    account TEXT NOT NULL REFERENCES accounts(address) ON DELETE CASCADE,
    day     BIGINT NOT NULL,
    count   BIGINT NOT NULL,
    PRIMARY KEY (account, day)
);
CREATE TABLE IF NOT EXISTS account_settings (
    account TEXT NOT NULL REFERENCES accounts(address) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (account, name)
);

-- Accounts that nobody may log in to until an operator opens them again; they receive mail as before.
CREATE TABLE IF NOT EXISTS suspensions (
    account TEXT PRIMARY KEY REFERENCES accounts(address) ON DELETE CASCADE,
    reason  TEXT NOT NULL,
    since   BIGINT NOT NULL
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

-- IMAP folders and the messages filed in them. number: progressive in its mailbox, never used again; copies share it.
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
CREATE INDEX IF NOT EXISTS folders_by_validity ON folders(uid_validity);
CREATE TABLE IF NOT EXISTS items (
    folder        BIGINT NOT NULL REFERENCES folders(id) ON DELETE CASCADE,
    uid           BIGINT NOT NULL,
    message       BIGINT NOT NULL REFERENCES messages(id),
    size          BIGINT NOT NULL,
    flags         TEXT NOT NULL,
    internal_date BIGINT NOT NULL,
    mod_seq       BIGINT NOT NULL,
    number        BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (folder, uid)
);
CREATE INDEX IF NOT EXISTS items_by_message ON items(message);
CREATE INDEX IF NOT EXISTS items_by_change ON items(folder, mod_seq);

-- Messages that a user moved into or out of the folder for unwanted mail, until the plugins have been told.
CREATE TABLE IF NOT EXISTS refiled (
    id         INTEGER PRIMARY KEY,
    account    TEXT NOT NULL REFERENCES accounts(address) ON DELETE CASCADE,
    message    BIGINT NOT NULL REFERENCES messages(id),
    from_place TEXT NOT NULL,
    to_place   TEXT NOT NULL,
    created    BIGINT NOT NULL,
    due        BIGINT NOT NULL,
    attempts   BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS refiled_by_due ON refiled(due);
CREATE INDEX IF NOT EXISTS refiled_by_message ON refiled(message);
CREATE INDEX IF NOT EXISTS refiled_by_account ON refiled(account);

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

-- What plugins keep. `version` changes with every write and is never used twice for a key. The value stands last: what is
-- behind it is found by reading through it, and it may have 64 KiB.
CREATE TABLE IF NOT EXISTS plugin_state (
    plugin  TEXT NOT NULL,
    key     TEXT NOT NULL,
    version BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    value   BLOB NOT NULL,
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

-- What plugins ask of targets outside. state: waiting (to be asked when it is due) | held (an operator must decide) |
-- ended (how it ended waits for the plugin's `answer` step, run when due) | known (only remembered, so that the key is no
-- second request). `parameters` is a JSON list of [name, value]; `message` is the content until the request ends.
-- `attempts` counts in the present state.
CREATE TABLE IF NOT EXISTS outbox (
    plugin     TEXT NOT NULL,
    target     TEXT NOT NULL,
    key        TEXT NOT NULL,
    state      TEXT NOT NULL,
    parameters TEXT NOT NULL,
    message    BIGINT REFERENCES messages(id),
    created    BIGINT NOT NULL,
    due        BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    attempts   BIGINT NOT NULL DEFAULT 0,
    status     TEXT,
    code       BIGINT,
    reply      TEXT,
    body       BLOB,
    ended      BIGINT,
    PRIMARY KEY (plugin, target, key)
);
CREATE INDEX IF NOT EXISTS outbox_by_due ON outbox(state, target, due);
CREATE INDEX IF NOT EXISTS outbox_by_plugin ON outbox(plugin, state);
CREATE INDEX IF NOT EXISTS outbox_by_message ON outbox(message);
-- Who bought mailboxes, and under which terms. renews: months that are added by themselves at the expiry; 0: none.
-- mailboxes: at most so many; 0: not bounded by the contract.
CREATE TABLE IF NOT EXISTS customers (
    id        TEXT PRIMARY KEY,
    name      TEXT NOT NULL,
    holder    TEXT NOT NULL,
    contact   TEXT NOT NULL,
    begins    BIGINT NOT NULL,
    expires   BIGINT,
    renews    INTEGER NOT NULL DEFAULT 0,
    mailboxes BIGINT NOT NULL DEFAULT 0,
    created   BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS customer_domains (
    domain   TEXT PRIMARY KEY REFERENCES domains(name) ON DELETE CASCADE,
    customer TEXT NOT NULL REFERENCES customers(id)
);
CREATE INDEX IF NOT EXISTS customer_domains_by_customer ON customer_domains(customer);
-- What a login may administer. role: platform-administrator | role-manager | registration-officer. customer: whose
-- domains a registration officer administers; '' for the other two.
CREATE TABLE IF NOT EXISTS roles (
    login    TEXT NOT NULL,
    role     TEXT NOT NULL,
    customer TEXT NOT NULL,
    granted  BIGINT NOT NULL,
    PRIMARY KEY (login, role, customer)
);
-- What keeps a customer, a domain or a mailbox (kind) from being used. what: suspended | ceasing. A cessation closes the
-- service at `closes`; from `deletes` on its data is deleted.
CREATE TABLE IF NOT EXISTS holds (
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    what    TEXT NOT NULL,
    reason  TEXT NOT NULL,
    since   BIGINT NOT NULL,
    closes  BIGINT NOT NULL,
    deletes BIGINT,
    PRIMARY KEY (kind, name, what)
);
CREATE INDEX IF NOT EXISTS holds_by_deletion ON holds(deletes);
-- Mobile telephones of users (E.164), and the last code that was sent to each: of it only the digest.
CREATE TABLE IF NOT EXISTS mobiles (
    login  TEXT PRIMARY KEY REFERENCES users(login) ON DELETE CASCADE,
    mobile TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS recovery_codes (
    login    TEXT PRIMARY KEY REFERENCES users(login) ON DELETE CASCADE,
    digest   BLOB NOT NULL,
    asked    BIGINT NOT NULL,
    expires  BIGINT NOT NULL,
    attempts BIGINT NOT NULL
);
-- When codes were sent to a telephone, for a day: how often is bounded.
CREATE TABLE IF NOT EXISTS recovery_sent (
    login TEXT NOT NULL REFERENCES users(login) ON DELETE CASCADE,
    at    BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS recovery_sent_by_login ON recovery_sent(login, at);
-- Addresses that somebody had: whoever got one of them next would get what is meant for another.
CREATE TABLE IF NOT EXISTS retired_addresses (
    address TEXT PRIMARY KEY,
    at      BIGINT NOT NULL
);
-- Messages brought from elsewhere, by the name that they had there, so that none is brought twice.
CREATE TABLE IF NOT EXISTS imported (
    account TEXT NOT NULL REFERENCES accounts(address) ON DELETE CASCADE,
    folder  TEXT NOT NULL,
    name    TEXT NOT NULL,
    uid     BIGINT NOT NULL,
    PRIMARY KEY (account, folder, name)
) WITHOUT ROWID;

-- One row for every step that a chain ran: what was decided, by which plugin, at what cost.
CREATE TABLE IF NOT EXISTS steps (
    id      INTEGER PRIMARY KEY,
    passage TEXT NOT NULL,
    at      BIGINT NOT NULL,
    record  TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS steps_by_passage ON steps(passage);
CREATE INDEX IF NOT EXISTS steps_by_instant ON steps(at);

-- The message log (stream 1), the log of what happens at the doors (stream 2) and that of administration (stream 3): append-only, each record's hash covers
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

-- Copies of messages kept for a mailbox beside its folders. `id` begins with the instant in hexadecimal, so that its
-- order is that of time; direction: received | sent; `properties` is JSON. It goes with its mailbox, in the commit that
-- removes that.
CREATE TABLE IF NOT EXISTS archive_usage (
    mailbox TEXT PRIMARY KEY,
    used    BIGINT NOT NULL,
    copies  BIGINT NOT NULL
);
-- As IMAP shows them: one for each month and direction. `left_seq`: the change with which a copy last left.
CREATE TABLE IF NOT EXISTS archive_folders (
    id           INTEGER PRIMARY KEY,
    mailbox      TEXT NOT NULL,
    name         TEXT NOT NULL,
    uid_validity BIGINT NOT NULL,
    uid_next     BIGINT NOT NULL,
    mod_seq      BIGINT NOT NULL,
    left_seq     BIGINT NOT NULL DEFAULT 0,
    subscribed   INTEGER NOT NULL DEFAULT 1,
    copies       BIGINT NOT NULL,
    size         BIGINT NOT NULL,
    UNIQUE (mailbox, name)
);
CREATE TABLE IF NOT EXISTS archive (
    mailbox    TEXT NOT NULL,
    id         TEXT NOT NULL,
    key        TEXT NOT NULL,
    direction  TEXT NOT NULL,
    message    BIGINT NOT NULL REFERENCES messages(id),
    size       BIGINT NOT NULL,
    sha256     BLOB NOT NULL,
    kept       BIGINT NOT NULL,
    properties TEXT NOT NULL,
    folder     BIGINT NOT NULL REFERENCES archive_folders(id),
    uid        BIGINT NOT NULL,
    mod_seq    BIGINT NOT NULL,
    PRIMARY KEY (mailbox, id),
    UNIQUE (mailbox, key),
    UNIQUE (folder, uid)
);
CREATE INDEX IF NOT EXISTS archive_by_message ON archive(message);
CREATE INDEX IF NOT EXISTS archive_by_change ON archive(folder, mod_seq);
