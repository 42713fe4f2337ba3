-- A landed export serves, waits for a person, or was refused; of those that serve, a round's newest counts.
ALTER TABLE landings ADD COLUMN state VARCHAR DEFAULT 'serves';
-- How it differs from the version that served when it came, as JSON, and why it waits for a person.
ALTER TABLE landings ADD COLUMN differs VARCHAR;
ALTER TABLE landings ADD COLUMN held_for VARCHAR;
ALTER TABLE landings ADD COLUMN decided_by VARCHAR;
ALTER TABLE landings ADD COLUMN decided_at VARCHAR;

-- What the labels of a pool may be called, and the landing that brought each name.
CREATE TABLE label_names (
    pool VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    round VARCHAR NOT NULL,
    accepted_by VARCHAR NOT NULL,
    accepted_at VARCHAR NOT NULL,
    PRIMARY KEY (pool, name)
);

-- Labels that were there before the pool's rounds. They are landed like those of a round, with the import's key in its place.
CREATE TABLE imports (
    import VARCHAR PRIMARY KEY,
    pool VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    -- The name of the file, or the uid of the dataset on the platform.
    origin VARCHAR NOT NULL,
    -- Images to measure models with: never picked, never trained on.
    test_set BOOLEAN NOT NULL,
    imported_by VARCHAR NOT NULL,
    imported_at VARCHAR NOT NULL
);

-- Which import labelled an image; an image is imported once.
CREATE TABLE imported_images (
    pool VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    import VARCHAR NOT NULL,
    test_set BOOLEAN NOT NULL,
    PRIMARY KEY (pool, digest)
);

-- What a team knows of its images, by their path in the source: which belong together, and any other columns as JSON.
CREATE TABLE image_facts (
    pool VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    image_group VARCHAR,
    facts VARCHAR NOT NULL,
    PRIMARY KEY (pool, path)
);
