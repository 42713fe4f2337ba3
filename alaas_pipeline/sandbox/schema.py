"""Tables of the state file.

Rows carry an ever-growing ``seq`` beside their public uid: it is the order of creation, on which lists page.
Times are seconds since the epoch.
"""

SCHEMA = """
CREATE TABLE users (
    uid TEXT PRIMARY KEY, username TEXT NOT NULL UNIQUE, email TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL
);
CREATE TABLE organizations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    slug TEXT NOT NULL UNIQUE, created_at REAL NOT NULL
);
CREATE TABLE members (
    organization_uid TEXT NOT NULL, user_uid TEXT NOT NULL, role TEXT NOT NULL,
    PRIMARY KEY (organization_uid, user_uid)
);
CREATE TABLE api_keys (
    digest TEXT PRIMARY KEY, user_uid TEXT NOT NULL, plan TEXT NOT NULL, scopes TEXT,
    coworker INTEGER NOT NULL, staff INTEGER NOT NULL, expired INTEGER NOT NULL,
    from_settings INTEGER NOT NULL
);
CREATE TABLE uploads (
    uid TEXT PRIMARY KEY, user_uid TEXT NOT NULL, root TEXT NOT NULL, dataset_name TEXT NOT NULL,
    path TEXT NOT NULL, content_length INTEGER, batch_uid TEXT, method TEXT NOT NULL, part_size INTEGER,
    status TEXT NOT NULL, digest TEXT, created_at REAL NOT NULL
);
CREATE INDEX uploads_by_batch ON uploads (root, dataset_name, path, batch_uid);
CREATE INDEX uploads_open ON uploads (root, status);
CREATE TABLE upload_parts (
    upload_uid TEXT NOT NULL, part_number INTEGER NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    PRIMARY KEY (upload_uid, part_number)
);
CREATE TABLE blobs (
    digest TEXT PRIMARY KEY, size INTEGER NOT NULL, width INTEGER, height INTEGER, format TEXT,
    problem TEXT
);
CREATE TABLE objects (
    root TEXT NOT NULL, dataset_name TEXT NOT NULL, path TEXT NOT NULL, digest TEXT NOT NULL,
    stored_at REAL NOT NULL, PRIMARY KEY (root, dataset_name, path)
);
CREATE TABLE datasets (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    slug TEXT NOT NULL, owner_name TEXT NOT NULL, data_type TEXT NOT NULL, visibility TEXT NOT NULL,
    reads_left INTEGER NOT NULL, prefix TEXT NOT NULL, item_count INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, issues TEXT NOT NULL, metadata TEXT NOT NULL, created_at REAL NOT NULL,
    updated_at REAL NOT NULL, UNIQUE (owner_name, name), UNIQUE (owner_name, slug)
);
CREATE TABLE items (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, dataset_uid TEXT NOT NULL,
    key TEXT NOT NULL, digest TEXT NOT NULL, created_at REAL NOT NULL, UNIQUE (dataset_uid, key)
);
CREATE TABLE projects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    owner_name TEXT NOT NULL, task_type TEXT NOT NULL, status TEXT NOT NULL, visibility TEXT NOT NULL,
    short_description TEXT NOT NULL, template INTEGER NOT NULL, source_uid TEXT, dataset_uid TEXT,
    labels TEXT NOT NULL, batch_uid TEXT, approved_at REAL, worked_s REAL NOT NULL DEFAULT 0,
    running_since REAL, answered INTEGER NOT NULL DEFAULT 0, created_at REAL NOT NULL,
    updated_at REAL NOT NULL, UNIQUE (owner_name, name)
);
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, project_uid TEXT NOT NULL,
    item_uid TEXT NOT NULL, owner_name TEXT NOT NULL, type TEXT NOT NULL, status TEXT NOT NULL,
    result TEXT, label TEXT, refusal_reason TEXT, annotator TEXT, annotation_uid TEXT,
    created_at REAL NOT NULL, updated_at REAL NOT NULL
);
CREATE INDEX tasks_by_project ON tasks (project_uid, status);
CREATE INDEX tasks_by_item ON tasks (item_uid);
CREATE TABLE exports (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    owner_name TEXT NOT NULL, format TEXT NOT NULL, project_uid TEXT, dataset_uid TEXT NOT NULL,
    projects TEXT NOT NULL, datasets TEXT NOT NULL, filter_query_string TEXT, status TEXT NOT NULL,
    reads_left INTEGER NOT NULL, kind TEXT NOT NULL, total_task_count INTEGER,
    exported_task_count INTEGER, digest TEXT, created_at REAL NOT NULL, updated_at REAL NOT NULL
);
CREATE TABLE effects (
    n INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL, method TEXT NOT NULL,
    path TEXT NOT NULL, uid TEXT, name TEXT, status INTEGER NOT NULL, details TEXT NOT NULL
);
"""

# Tables that came later. A state that does not have them yet gets them: nothing in it needs to change.
ADDED = """
CREATE TABLE IF NOT EXISTS slices (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    slug TEXT NOT NULL, owner_name TEXT NOT NULL, visibility TEXT NOT NULL, datasets TEXT NOT NULL,
    created_at REAL NOT NULL, UNIQUE (owner_name, name), UNIQUE (owner_name, slug)
);
CREATE TABLE IF NOT EXISTS invitations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, organization_uid TEXT NOT NULL,
    email TEXT NOT NULL, role TEXT NOT NULL, invited_by TEXT NOT NULL, created_at REAL NOT NULL,
    UNIQUE (organization_uid, email)
);
CREATE TABLE IF NOT EXISTS rectangles (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, task_uid TEXT NOT NULL,
    label TEXT NOT NULL, x REAL NOT NULL, y REAL NOT NULL, width REAL NOT NULL, height REAL NOT NULL,
    image_width INTEGER NOT NULL, image_height INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS rectangles_by_task ON rectangles (task_uid);
"""
