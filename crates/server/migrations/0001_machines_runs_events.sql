-- Times are milliseconds since the epoch. JSON columns hold the nouns of hostwright-model.
CREATE TABLE machines (
    name      TEXT PRIMARY KEY,
    spec      TEXT NOT NULL,             -- MachineSpec
    next_boot TEXT NOT NULL,             -- NextBoot
    facts     TEXT                       -- Facts of the latest run
) STRICT;

CREATE TABLE runs (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used twice: run ids are made of it
    id           TEXT NOT NULL UNIQUE,
    machine      TEXT NOT NULL REFERENCES machines (name) ON DELETE CASCADE,
    state        TEXT NOT NULL,          -- RunState
    token_hash   BLOB NOT NULL,          -- BLAKE3 of the run's token
    orders       TEXT NOT NULL,          -- what the agent is told, but for the attempt and the tools
    agent_start  TEXT,                   -- the word by which the latest start of the agent goes
    attempts     INTEGER NOT NULL DEFAULT 0,
    armed_at_ms   INTEGER NOT NULL,
    booted_at_ms  INTEGER,
    started_at_ms INTEGER,
    ended_at_ms   INTEGER
) STRICT;
CREATE INDEX runs_of_machine ON runs (machine, number);
CREATE UNIQUE INDEX run_of_token ON runs (token_hash);

CREATE TABLE events (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,        -- readers resume behind it
    run     TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    at_ms   INTEGER NOT NULL,
    body    TEXT NOT NULL,               -- EventBody
    UNIQUE (run, attempt, seq)
) STRICT;
CREATE INDEX events_of_run ON events (run, id);

CREATE TABLE leases (
    address TEXT PRIMARY KEY,
    lease   TEXT NOT NULL                -- netboot's Lease
) STRICT;

CREATE TABLE unknown_machines (
    mac          TEXT PRIMARY KEY,
    last_seen_ms INTEGER NOT NULL,
    asked_for    TEXT NOT NULL
) STRICT;
