import logging
import shutil
from pathlib import Path

import pytest

from alaas_pipeline.ledger import Ledger, credits, losses
from alaas_pipeline.ledger.commit_log import Commit


def grant(ledger: Ledger, amount: int) -> None:
    with ledger.transaction() as tx:
        credits.grant_up_to(tx, "cats", amount)


def unreconciled(ledger: Ledger) -> list[losses.Loss]:
    with ledger.transaction() as tx:
        return losses.unreconciled(tx)


def number(ledger: Ledger) -> int:
    with ledger.transaction() as tx:
        return tx.value("SELECT number FROM commits")


@pytest.fixture
def old(ledger: Ledger, tmp_path: Path) -> Path:
    """A copy of the ledger's file at commit 1, when 10 credits were granted."""
    grant(ledger, 10)
    return Path(shutil.copy(ledger.path, tmp_path / "old"))


def test_commits_that_only_the_log_knows_are_told_once_and_kept(
    ledger: Ledger, old: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = number(ledger)
    grant(ledger, 20)
    grant(ledger, 30)
    shutil.copy(old, ledger.path)
    with caplog.at_level(logging.ERROR):
        (loss,) = unreconciled(Ledger(ledger.path))
        assert unreconciled(ledger) == [loss]
    assert (loss.first_commit, loss.last_commit) == (first + 1, first + 2)
    assert [line.split("Z ")[1] for line in loss.what] == [
        "cats: grant 10 credits (grant:cats:2)", "cats: grant 10 credits (grant:cats:3)"
    ]  # fmt: skip
    assert [record.message for record in caplog.records] == [
        f"The ledger lacks commits {first + 1} to {first + 2}, which its log knows: it was damaged, or restored from an older copy. "
        f"Run 'alaas-pipeline reconcile'. Lost: {'; '.join(loss.what)}"
    ]


def test_numbers_go_on_after_the_last_that_is_known(ledger: Ledger, old: Path) -> None:
    grant(ledger, 20)
    reached = number(ledger)
    shutil.copy(old, ledger.path)
    grant(ledger, 40)
    assert number(ledger) == ledger.log.last() == reached + 1
    with ledger.transaction() as tx:
        assert credits.credits(tx, "cats").granted == 40


def test_losses_stay_until_they_are_reconciled(ledger: Ledger, old: Path) -> None:
    for amount in (20, 30):
        grant(ledger, amount)
        shutil.copy(old, ledger.path)
    # The loss of the first is in a file that was itself lost; the log still knows all of it.
    (both,) = unreconciled(ledger)
    assert both.last_commit - both.first_commit == 1
    grant(ledger, 50)
    assert unreconciled(ledger) == [both]
    with ledger.transaction() as tx:
        losses.reconciled(tx)
    assert unreconciled(ledger) == []
    with ledger.transaction() as tx:
        assert tx.value("SELECT count(*) FROM losses WHERE reconciled_at IS NOT NULL") == 1


@pytest.mark.parametrize("again", [True, False], ids=["opened anew", "open already"])
def test_a_ledger_that_is_gone_is_a_loss_of_all(ledger: Ledger, old: Path, again: bool) -> None:
    reached = number(ledger)
    ledger.path.unlink()
    (loss,) = unreconciled(Ledger(ledger.path) if again else ledger)
    assert (loss.first_commit, loss.last_commit) == (1, reached)


def test_what_the_log_no_longer_knows_in_words_is_counted(ledger: Ledger) -> None:
    have = number(ledger)
    ledger.log.append(Commit(have + 7, "2026-11-22T10:00:00.000000Z", ()))
    (loss,) = unreconciled(ledger)
    assert (loss.first_commit, loss.last_commit, loss.what) == (have + 1, have + 7, ())
