import os
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, credits, database, losses
from alaas_pipeline.ledger.backup import Restored, backup, restore


def grant(ledger: Ledger, amount: int) -> None:
    with ledger.transaction() as tx:
        credits.grant_up_to(tx, "cats", amount)


def granted(ledger: Ledger) -> int:
    with ledger.transaction() as tx:
        return credits.credits(tx, "cats").granted


def number(ledger: Ledger) -> int:
    with ledger.transaction() as tx:
        return tx.value("SELECT number FROM commits")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the locks and the notes of who held them."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and ".lock" not in path.name}


def test_a_copy_put_back_at_once_loses_nothing(ledger: Ledger, tmp_path: Path) -> None:
    grant(ledger, 10)
    copy = backup(ledger, tmp_path / "copies")
    assert copy.name.startswith("ledger-2")
    assert list(contents(copy.parent)) == [copy.name]
    reached = number(ledger)
    done = restore(ledger, copy)
    assert (done.commits, done.known) == (reached, reached)
    assert granted(ledger) == 10
    with ledger.transaction() as tx:
        assert losses.unreconciled(tx) == []
    assert copy.exists()


def test_a_stale_copy_is_told_with_what_was_lost_and_the_present_one_is_kept(ledger: Ledger, tmp_path: Path) -> None:
    grant(ledger, 10)
    copy = backup(ledger, tmp_path / "copies")
    at = number(ledger)
    for amount in (20, 30):
        grant(ledger, amount)
    done = restore(ledger, copy)
    assert done.put_away is not None
    assert done == Restored(at, at + 2, done.put_away)
    with ledger.transaction() as tx:
        (loss,) = losses.unreconciled(tx)
        assert credits.credits(tx, "cats").granted == 10
    assert (loss.first_commit, loss.last_commit) == (at + 1, at + 2)
    assert ["grant 10 credits (grant:cats:2)" in loss.what[0], "(grant:cats:3)" in loss.what[1]] == [True, True]
    # The log goes on behind what was lost.
    grant(ledger, 40)
    assert number(ledger) == ledger.log.last() == at + 3
    assert [commit.number for commit in ledger.log.since(at)] == [at + 1, at + 2, at + 3]
    assert done.put_away.name.startswith("ledger.duckdb.before-restore-")
    assert granted(Ledger(Path(shutil.copy(done.put_away, tmp_path / "kept.duckdb")))) == 30


def test_a_ledger_in_use_sees_the_restored_one_in_its_next_transaction(ledger: Ledger, tmp_path: Path) -> None:
    copy = backup(ledger, tmp_path / "copies")
    grant(ledger, 10)
    restore(Ledger(ledger.path), copy)
    assert granted(ledger) == 0


def test_after_a_total_loss_a_copy_brings_it_back(ledger: Ledger, tmp_path: Path) -> None:
    grant(ledger, 10)
    copy = backup(ledger, tmp_path / "copies")
    elsewhere = Ledger(tmp_path / "new home" / "ledger.duckdb")
    done = restore(elsewhere, copy)
    assert done == Restored(number(ledger), 0, None)
    assert granted(elsewhere) == 10


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A copy with many grants."""
    ledger = Ledger(tmp_path_factory.mktemp("sound") / "ledger.duckdb")
    with ledger.transaction() as tx:
        for amount in range(1, 100):
            credits.grant_up_to(tx, "cats", amount)
    return backup(ledger, ledger.path.parent).read_bytes()


def flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 8]) + data[position + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"not a ledger",
        lambda data: os.urandom(50_000),
        lambda data: data[:5000],
        lambda data: data[: len(data) // 2],
        lambda data: flip(data, 100),
        # The block that holds the credits' notes.
        lambda data: flip(data, data.index(b"grant:cats:31")),
    ],
)
def test_a_damaged_copy_is_refused_and_nothing_is_changed(
    ledger: Ledger, tmp_path: Path, sound: bytes, damage: Callable[[bytes], bytes]
) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(damage(sound))
    before = contents(tmp_path)
    with pytest.raises(UserError, match=r"The copy is not a ledger that can be used: \w+"):
        restore(ledger, copy)
    assert contents(tmp_path) == before


def test_another_database_is_no_ledger(ledger: Ledger, tmp_path: Path) -> None:
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as connection:
        connection.execute("CREATE TABLE people (name VARCHAR)")
    with pytest.raises(UserError, match="it is a database without a ledger in it"):
        restore(ledger, other)
    with pytest.raises(UserError, match=r"There is no file .*nowhere\. Copies are made with: alaas-pipeline backup"):
        restore(ledger, tmp_path / "nowhere")
    assert not list(tmp_path.glob("*before-restore*"))


def test_an_older_copy_is_brought_to_the_newest_schema(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant(ledger, 10)
    copy = backup(ledger, tmp_path / "copies")
    known = database._migrations()
    later = [*known, (known[-1][0] + 1, "more.sql", "CREATE TABLE more (x INTEGER); INSERT INTO more VALUES (1)")]
    monkeypatch.setattr(database, "_migrations", lambda: later)
    before = copy.read_bytes()
    restore(ledger, copy)
    with Ledger(ledger.path).transaction() as tx:
        assert tx.column("SELECT x FROM more") == [1]
        assert credits.credits(tx, "cats").granted == 10
    assert copy.read_bytes() == before


def test_a_newer_copy_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    copy = backup(ledger, tmp_path / "copies")
    with duckdb.connect(str(copy)) as connection:
        connection.execute("INSERT INTO schema_versions VALUES (99, 'x', 'y', 'z')")
    with pytest.raises(UserError, match=r"schema version 99, newer than this program knows\. Upgrade alaas-pipeline"):
        restore(ledger, copy)
    assert granted(ledger) == 0


def test_without_a_ledger_there_is_nothing_to_copy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no ledger at .* so there is nothing to copy"):
        backup(Ledger(tmp_path / "ledger.duckdb"), tmp_path / "copies")
    assert list(tmp_path.iterdir()) == []
