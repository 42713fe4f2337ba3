import os
from pathlib import Path

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, commit_log, credits, losses
from alaas_pipeline.ledger.commit_log import Commit, CommitLog


def commit(number: int, *what: str) -> Commit:
    return Commit(number, "2026-11-22T10:00:00.000000Z", what or (f"line {number}",))


@pytest.fixture
def log(tmp_path: Path) -> CommitLog:
    return CommitLog(tmp_path / "ledger.duckdb.commits")


def grant(ledger: Ledger, amount: int) -> None:
    with ledger.transaction() as tx:
        credits.grant_up_to(tx, "cats", amount)


def test_without_a_file_nothing_was_committed(log: CommitLog) -> None:
    assert (log.last(), log.since(0)) == (0, [])


def test_what_was_logged_is_read_back(log: CommitLog) -> None:
    commits = [commit(1), commit(2, '猫: {"n": 7}\n', "two"), Commit(4, "t", ())]
    for one in commits:
        log.append(one)
    assert (log.last(), log.since(0), log.since(2), log.since(4)) == (4, commits, commits[2:], [])


@pytest.mark.parametrize("cut", [1, 5, 30, 60])
def test_a_torn_line_is_left_out_and_the_next_one_stands_by_itself(log: CommitLog, cut: int) -> None:
    for number in (1, 2):
        log.append(commit(number))
    os.truncate(log.path, log.path.stat().st_size - cut)
    assert log.last() == 1
    log.append(commit(3))
    assert [one.number for one in log.since(0)] == [1, 3]


@pytest.mark.parametrize(
    "garbage", [b"\xff\xfe\x00", b"[1, 2]", b"7", b"null", b'{"n": 9}', b'{"n": 9, "at": "x", "what": 3}', b"\0" * 5000]
)
def test_garbage_between_the_lines_is_left_out(log: CommitLog, garbage: bytes) -> None:
    log.append(commit(1))
    with log.path.open("ab") as file:
        file.write(b"\n" + garbage)
    assert log.last() == 1
    log.append(commit(2))
    assert (log.last(), log.since(0)) == (2, [commit(1), commit(2)])


def test_a_line_longer_than_the_tail_is_read_whole(log: CommitLog) -> None:
    long = commit(2, *(f"cats.r0001: void 5 credits (select:{number})" for number in range(500)))
    for one in (commit(1), long):
        log.append(one)
    assert (log.last(), log.since(1)) == (2, [long])


def test_a_long_log_is_shortened_to_its_newer_half(log: CommitLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_log, "MAX_BYTES", 2000)
    for number in range(1, 201):
        log.append(commit(number))
        assert log.path.stat().st_size < 2200
    kept = [one.number for one in log.since(0)]
    assert kept == list(range(kept[0], 201))
    assert 10 < len(kept) < 40
    assert [path.name for path in log.path.parent.iterdir()] == [log.path.name]


def test_a_line_that_does_not_fit_on_the_disk_is_an_error(log: CommitLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes a part of what is written and says so only the next time."""
    true_write = os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) < 30:
            raise OSError(28, "No space left on device")
        return true_write(handle, data[:-20])

    log.append(commit(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            log.append(commit(2))
    assert log.last() == 1
    log.append(commit(3))
    assert log.since(0) == [commit(1), commit(3)]


def test_the_log_counts_along_with_the_ledger(ledger: Ledger) -> None:
    before = ledger.log.last()
    for amount in (5, 7, 7, 9):  # the third changes nothing
        grant(ledger, amount)
    with ledger.transaction() as tx:
        assert tx.value("SELECT number FROM commits") == before + 3 == ledger.log.last()
        told = [line for one in ledger.log.since(before) for line in one.what]
        assert told == tx.column("SELECT what FROM history WHERE number > ? ORDER BY number", before)
    assert told == [f"cats: grant {amount} credits (grant:cats:{n})" for n, amount in enumerate((5, 2, 2), start=1)]


def test_a_block_that_raises_is_in_no_log(ledger: Ledger) -> None:
    before = ledger.log.last()

    def fail() -> None:
        with ledger.transaction() as tx:
            credits.grant_up_to(tx, "cats", 5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert ledger.log.last() == before


def test_a_log_that_is_missing_is_begun_anew(ledger: Ledger) -> None:
    grant(ledger, 5)
    ledger.log.path.unlink()
    grant(ledger, 6)
    with ledger.transaction() as tx:
        assert (ledger.log.last(), losses.unreconciled(tx)) == (tx.value("SELECT number FROM commits"), [])


def test_a_commit_that_was_killed_before_its_line_is_no_loss(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: CommitLog, commit: Commit) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(CommitLog, "append", killed)
        with pytest.raises(UserError, match=r"was changed, but .*\.commits beside it cannot be written: No space left"):
            grant(ledger, 5)
    grant(ledger, 6)
    with ledger.transaction() as tx:
        assert credits.credits(tx, "cats").granted == 6
        assert (ledger.log.last(), losses.unreconciled(tx)) == (tx.value("SELECT number FROM commits"), [])
