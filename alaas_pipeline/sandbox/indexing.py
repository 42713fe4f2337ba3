"""How stored files become the items of a dataset."""

import json
import sqlite3
import time

from alaas_pipeline.sandbox.routes.fields import SUFFIXES
from alaas_pipeline.sandbox.state import new_uid


def problem_with(path: str, data_type: str, problem: str | None) -> str | None:
    """Why a stored file does not become an item; None if it does.

    Args:
        path: its path in the dataset.
        data_type: type of the dataset.
        problem: what is wrong with its content, if that is an image's.
    """
    if "." + path.rpartition(".")[2].lower() not in SUFFIXES[data_type]:
        return f"not a file that is indexed as {data_type}"
    return problem if data_type == "image" else None


def index_late(con: sqlite3.Connection, dataset_uid: str | None, path: str, digest: str) -> None:
    """Adds a file that arrived after its dataset was made; does nothing if there is no such dataset.

    Args:
        con: the transaction that stores the file.
        dataset_uid: uid of the dataset that the file was announced for.
        path: its path in the dataset.
        digest: SHA-256 of its content, which is recorded already.
    """
    dataset = con.execute("SELECT * FROM datasets WHERE uid = ?", (dataset_uid,)).fetchone()
    if dataset is None:
        return
    now = time.time()
    blob = con.execute("SELECT size, problem FROM blobs WHERE digest = ?", (digest,)).fetchone()
    wrong = problem_with(path, dataset["data_type"], blob["problem"])
    if wrong is None:
        con.execute(
            "INSERT INTO items (uid, dataset_uid, key, digest, created_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (dataset_uid, key) DO UPDATE SET digest = excluded.digest",
            (new_uid(), dataset_uid, path, digest, now),
        )
    issues = json.loads(dataset["issues"]) + ([] if wrong is None else [f"{path}: {wrong}"])
    count, size = con.execute(
        "SELECT count(*), coalesce(sum(b.size), 0) FROM items i JOIN blobs b ON b.digest = i.digest"
        " WHERE i.dataset_uid = ?",
        (dataset_uid,),
    ).fetchone()
    con.execute(
        "UPDATE datasets SET item_count = ?, size_bytes = ?, issues = ?, updated_at = ? WHERE uid = ?",
        (count, size, json.dumps(issues), now, dataset_uid),
    )
