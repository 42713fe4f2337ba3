"""Which images of a round were sent to the platform, under which flat file name."""

from alaas_pipeline.ledger.database import Row, Transaction, now


def plan(tx: Transaction, round_key: str, names: dict[str, str]) -> None:
    """Write the file name of each image to be sent (digest -> name); what is planned already stays."""
    known = set(tx.column("SELECT digest FROM pushed_images WHERE round = ?", round_key))
    tx.insert(
        "pushed_images",
        [
            {"round": round_key, "digest": d, "file_name": n, "uploaded_at": None}
            for d, n in names.items()
            if d not in known
        ],
    )


def forget(tx: Transaction, round_key: str) -> None:
    """Note that nothing of the round is stored on the platform any more."""
    tx.run("UPDATE pushed_images SET uploaded_at = NULL WHERE round = ?", round_key)


def planned(tx: Transaction, round_key: str) -> list[Row]:
    """Return digest, file name and time of upload (None while not sent), in order of name."""
    return tx.rows(
        "SELECT digest, file_name, uploaded_at FROM pushed_images WHERE round = ? ORDER BY file_name", round_key
    )


def uploaded(tx: Transaction, round_key: str, digests: list[str]) -> None:
    """Note that these images are stored on the platform."""
    if digests:
        with tx.given([{"digest": digest} for digest in digests]):
            tx.run(
                "UPDATE pushed_images SET uploaded_at = ? WHERE round = ? AND uploaded_at IS NULL "
                "AND digest IN (SELECT digest FROM given)",
                now(), round_key,
            )  # fmt: skip
