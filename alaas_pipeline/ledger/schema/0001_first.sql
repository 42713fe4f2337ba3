-- Times are ISO 8601 text in UTC; money is whole millionths; credits are whole credits.

CREATE TABLE pools (
    pool VARCHAR PRIMARY KEY,
    organization VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    -- The encoder as pools.yaml names it, and the id of its weights and preprocessing.
    encoder VARCHAR,
    encoder_id VARCHAR,
    -- What the pool was bound to when it first touched the platform; a change is refused.
    platform VARCHAR,
    base_url VARCHAR,
    account_uid VARCHAR,
    owner VARCHAR,
    bound_at VARCHAR,
    created_at VARCHAR NOT NULL
);

-- One row for each distinct content.
CREATE TABLE images (
    pool VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    -- The path under which the content was first seen: its name towards people.
    image_id VARCHAR NOT NULL,
    bytes BIGINT NOT NULL,
    state VARCHAR NOT NULL,
    reason VARCHAR,
    -- Why the platform would not take it; such an image is embedded but never picked.
    unfit_reason VARCHAR,
    format VARCHAR,
    mode VARCHAR,
    width BIGINT,
    height BIGINT,
    shown_width BIGINT,
    shown_height BIGINT,
    frames BIGINT,
    near_duplicate_of VARCHAR,
    added_at VARCHAR NOT NULL,
    PRIMARY KEY (pool, digest)
);

-- One row for each file in the source; digest is empty when the file could not be read at all.
CREATE TABLE image_files (
    pool VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    digest VARCHAR,
    bytes BIGINT NOT NULL,
    version VARCHAR NOT NULL,
    reason VARCHAR,
    seen_at VARCHAR NOT NULL,
    gone_at VARCHAR,
    PRIMARY KEY (pool, path)
);

CREATE TABLE embeddings (
    pool VARCHAR NOT NULL,
    encoder_id VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    -- The part file that holds the vector; empty when embedding failed.
    part VARCHAR,
    reason VARCHAR,
    embedded_at VARCHAR NOT NULL,
    PRIMARY KEY (pool, encoder_id, digest)
);

CREATE TABLE rounds (
    round VARCHAR PRIMARY KEY,
    pool VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    state VARCHAR NOT NULL,
    -- The pool's settings when the round was opened, as JSON: later edits of pools.yaml do not reach it.
    settings VARCHAR NOT NULL,
    note VARCHAR,
    opened_at VARCHAR NOT NULL,
    updated_at VARCHAR NOT NULL,
    -- What the platform last said of the round's project.
    project_status VARCHAR,
    tasks_total BIGINT,
    tasks_completed BIGINT,
    observed_at VARCHAR
);

CREATE TABLE selections (
    pool VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    round VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    gain DOUBLE NOT NULL,
    covers BIGINT NOT NULL,
    nearest VARCHAR,
    distance DOUBLE,
    reason VARCHAR NOT NULL,
    PRIMARY KEY (pool, digest)
);

CREATE TABLE selection_runs (
    round VARCHAR PRIMARY KEY,
    pool VARCHAR NOT NULL,
    strategy VARCHAR NOT NULL,
    encoder_id VARCHAR NOT NULL,
    metrics VARCHAR NOT NULL,
    selected_at VARCHAR NOT NULL
);

-- Double entry: each row moves credits from one account of the pool to another.
-- Accounts: granted (outside), spendable, reserved, spent.
CREATE TABLE credit_entries (
    operation_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    pool VARCHAR NOT NULL,
    round VARCHAR,
    from_account VARCHAR NOT NULL,
    to_account VARCHAR NOT NULL,
    credits BIGINT NOT NULL,
    note VARCHAR NOT NULL,
    entered_at VARCHAR NOT NULL,
    PRIMARY KEY (operation_id, kind)
);

CREATE TABLE quotes (
    round VARCHAR PRIMARY KEY,
    pool VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    manifest_digest VARCHAR NOT NULL,
    images BIGINT NOT NULL,
    price_micros BIGINT NOT NULL,
    total_micros BIGINT NOT NULL,
    currency VARCHAR NOT NULL,
    quoted_at VARCHAR NOT NULL
);

CREATE TABLE decisions (
    round VARCHAR PRIMARY KEY,
    quote_digest VARCHAR NOT NULL,
    decision VARCHAR NOT NULL,
    decided_by VARCHAR NOT NULL,
    images BIGINT NOT NULL,
    total_micros BIGINT NOT NULL,
    decided_at VARCHAR NOT NULL
);

-- The effect journal: an intent is written before anything is sent.
CREATE TABLE effects (
    operation_id VARCHAR PRIMARY KEY,
    pool VARCHAR NOT NULL,
    round VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    remote_name VARCHAR NOT NULL,
    payload_digest VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    remote_uid VARCHAR,
    sends INTEGER NOT NULL,
    message VARCHAR,
    intended_at VARCHAR NOT NULL,
    updated_at VARCHAR NOT NULL
);

-- Each image sent to the platform, under the flat name that labels are joined on.
CREATE TABLE pushed_images (
    round VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    file_name VARCHAR NOT NULL,
    uploaded_at VARCHAR,
    PRIMARY KEY (round, digest)
);

-- Landed exports and what they held: append-only, a later export is a new version.
CREATE TABLE landings (
    round VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    export_uid VARCHAR NOT NULL,
    export_digest VARCHAR NOT NULL,
    schema_digest VARCHAR NOT NULL,
    label_schema VARCHAR NOT NULL,
    file VARCHAR NOT NULL,
    records BIGINT NOT NULL,
    landed_at VARCHAR NOT NULL,
    PRIMARY KEY (round, version)
);

CREATE TABLE annotations (
    round VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    pool VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    outcome VARCHAR NOT NULL,
    labels VARCHAR NOT NULL,
    annotations VARCHAR NOT NULL,
    reason VARCHAR,
    PRIMARY KEY (round, version, digest)
);

CREATE TABLE quarantined_records (
    round VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    number INTEGER NOT NULL,
    reason VARCHAR NOT NULL,
    record VARCHAR NOT NULL,
    PRIMARY KEY (round, version, number)
);
