"""What webhooks tell of, noted by the database itself in the transaction of each change, whatever made it.

Nothing is noted while the owner has no webhook. A project has no event at all, and a result is never rejected: nobody
reviews here, an answer with a label counts at once.
"""

EVENTS = (
    "dataset.created",
    "dataset.updated",
    "dataset.deleted",
    "export.completed",
    "export.failed",
    "task.completed",
    "result.submitted",
    "result.accepted",
    "result.rejected",
)

TABLES = (
    """CREATE TABLE IF NOT EXISTS webhooks (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, owner_name TEXT NOT NULL,
        target_url TEXT NOT NULL, events TEXT NOT NULL, is_active INTEGER NOT NULL, secret TEXT NOT NULL,
        created_at REAL NOT NULL, updated_at REAL NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, owner_name TEXT NOT NULL, payload TEXT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS webhook_deliveries (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, webhook_uid TEXT NOT NULL,
        owner_name TEXT NOT NULL, event_type TEXT NOT NULL, payload TEXT NOT NULL, response_status INTEGER,
        response_body TEXT, attempts INTEGER NOT NULL, next_retry_at REAL, status TEXT NOT NULL,
        created_at REAL NOT NULL, updated_at REAL NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS webhook_deliveries_due ON webhook_deliveries (next_retry_at)",
)


def _iso(column: str) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%fZ', {column}, 'unixepoch')"


def _dataset(row: str) -> str:
    return (
        f"json_object('uid', {row}.uid, 'name', {row}.name, 'slug', {row}.slug, 'data_type', {row}.data_type,"
        f" 'visibility', {row}.visibility, 'owner_name', {row}.owner_name,"
        f" 'status', CASE WHEN {row}.reads_left > 0 THEN 'creating' ELSE 'created' END,"
        f" 'item_count', CASE WHEN {row}.reads_left > 0 THEN 0 ELSE {row}.item_count END,"
        f" 'created_at', {_iso(f'{row}.created_at')}, 'updated_at', {_iso(f'{row}.updated_at')})"
    )


def _export(status: str) -> str:
    # These words differ from those of the API, as published. No link: it is signed when the export is read.
    return (
        f"json_object('uid', new.uid, 'name', new.name, 'status', '{status}', 'format', 'avala_json',"
        " 'total_task_count', new.total_task_count, 'exported_task_count', new.exported_task_count,"
        " 'download_url', NULL, 'projects', json(new.projects), 'datasets', json(new.datasets),"
        f" 'created_at', {_iso('new.created_at')}, 'updated_at', {_iso('new.updated_at')})"
    )


TASK = (
    "json_object('uid', new.uid, 'type', new.type, 'status', new.status, 'project', new.project_uid,"
    f" 'created_at', {_iso('new.created_at')}, 'updated_at', {_iso('new.updated_at')})"
)
RESULT = (
    "json_object('task', new.uid, 'project', new.project_uid, 'annotation', new.annotation_uid, 'result', new.result,"
    f" 'updated_at', {_iso('new.updated_at')})"
)
ANSWERED = "new.status = 'completed' AND old.status <> 'completed'"
READY = "old.reads_left > 0 AND new.reads_left = 0"

# Event -> what happens to which table, when it counts, whose it is, and what is told.
_RULES = {
    "dataset.created": ("INSERT ON datasets", "1", "new", _dataset("new")),
    "dataset.updated": ("UPDATE ON datasets", f"{READY} OR new.updated_at <> old.updated_at", "new", _dataset("new")),
    "dataset.deleted": ("DELETE ON datasets", "1", "old", _dataset("old")),
    "export.completed": (
        "UPDATE ON exports",
        "new.status = 'exported' AND old.status <> 'exported'",
        "new",
        _export("completed"),
    ),
    "export.failed": (
        "UPDATE ON exports",
        "new.status = 'failed' AND old.status <> 'failed'",
        "new",
        _export("failed"),
    ),
    "task.completed": ("UPDATE ON tasks", ANSWERED, "new", TASK),
    "result.submitted": ("UPDATE ON tasks", ANSWERED, "new", RESULT),
    "result.accepted": ("UPDATE ON tasks", f"{ANSWERED} AND new.result = 'labelled'", "new", RESULT),
}

_NAMES = {event: event.replace(".", "_") for event in _RULES}
# Made anew at each start: a state may hold those of an earlier version.
TRIGGERS = tuple(f"DROP TRIGGER IF EXISTS {name}" for name in _NAMES.values()) + tuple(
    f"CREATE TRIGGER {_NAMES[event]} AFTER {change} WHEN ({when})"
    f" AND EXISTS (SELECT 1 FROM webhooks WHERE owner_name = {row}.owner_name AND is_active)"
    f" BEGIN INSERT INTO events (event, owner_name, payload) VALUES ('{event}', {row}.owner_name, {payload}); END"
    for event, (change, when, row, payload) in _RULES.items()
)
