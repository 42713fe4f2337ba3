-- How many transactions have changed this ledger. The commit log beside the file counts along, so that a loss shows.
CREATE TABLE commits (
    id INTEGER PRIMARY KEY,
    number BIGINT NOT NULL
);
INSERT INTO commits VALUES (1, 0);

-- What each of them did, one line for each change that matters to money, effects or states.
CREATE TABLE history (
    number BIGINT NOT NULL,
    committed_at VARCHAR NOT NULL,
    what VARCHAR NOT NULL
);

-- Commits that the log knows and this file does not: after a damaged write-ahead file, or the restore of an old copy.
CREATE TABLE losses (
    first_commit BIGINT PRIMARY KEY,
    last_commit BIGINT NOT NULL,
    what VARCHAR NOT NULL,
    found_at VARCHAR NOT NULL,
    reconciled_at VARCHAR
);

-- Credits about to be spent, and what allowed it. Of the published tariffs, `low` and `high` are what the cheaper and the dearer would take.
CREATE TABLE gates (
    operation_id VARCHAR PRIMARY KEY,
    gate VARCHAR NOT NULL,
    pool VARCHAR NOT NULL,
    round VARCHAR,
    images BIGINT NOT NULL,
    low BIGINT NOT NULL,
    high BIGINT NOT NULL,
    reserved BIGINT NOT NULL,
    allowed_by VARCHAR NOT NULL,
    passed_at VARCHAR NOT NULL
);

-- New vectors for a whole pool: a price that somebody must accept first.
CREATE TABLE encoder_plans (
    pool VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    encoder VARCHAR NOT NULL,
    encoder_id VARCHAR NOT NULL,
    replaces VARCHAR NOT NULL,
    images BIGINT NOT NULL,
    credits BIGINT NOT NULL,
    state VARCHAR NOT NULL,
    planned_at VARCHAR NOT NULL,
    decided_by VARCHAR,
    decided_at VARCHAR,
    PRIMARY KEY (pool, digest)
);

-- The operation that paid for the vector, so that a lost one is refunded.
ALTER TABLE embeddings ADD COLUMN operation_id VARCHAR;

-- For which vectors near duplicates are marked: the encoder's id and their number.
ALTER TABLE pools ADD COLUMN near_duplicates_of VARCHAR;

-- Which remote service an effect is on; an effect on a whole pool has no round.
ALTER TABLE effects ADD COLUMN service VARCHAR DEFAULT 'avala';
ALTER TABLE effects ALTER COLUMN round DROP NOT NULL;

-- The terms that a yes was checked against.
ALTER TABLE decisions ADD COLUMN allowed_by VARCHAR;

-- Until when the platform asked us to stay away, and how often a person said "go on".
ALTER TABLE rounds ADD COLUMN wait_until VARCHAR;
ALTER TABLE rounds ADD COLUMN retries INTEGER DEFAULT 0;
