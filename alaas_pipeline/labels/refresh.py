"""A later export of a landed round: people may correct labels on Avala after a round has landed."""

import logging
from dataclasses import dataclass

from alaas_pipeline.avala.effects import AvalaEffects
from alaas_pipeline.avala.heed import heeding
from alaas_pipeline.avala.observe import observe_another
from alaas_pipeline.errors import UserError
from alaas_pipeline.labels import diff
from alaas_pipeline.labels.diff import Diff
from alaas_pipeline.labels.fetch import Fetched, fetch
from alaas_pipeline.ledger import Ledger, Transaction, label_names, landing, rounds
from alaas_pipeline.ledger.landing import Version
from alaas_pipeline.ledger.rounds import Round
from alaas_pipeline.store import Store

log = logging.getLogger(__name__)

_PAUSE_S = 2.0


@dataclass(frozen=True)
class Refreshed:
    """What a later export brought: the version it was written as, and a few sentences for people."""

    version: Version
    told: str


def refresh(ledger: Ledger, store: Store, effects: AvalaEffects, round_key: str, wait_s: float = 600.0) -> Refreshed:
    """Ask for another export of a landed round and write it as a new version of its labels. The round stays landed.

    What only grows serves at once; what loses or changes a label, or brings a new name, waits for a person while the old version
    serves on. An export that was asked for and not written yet, by a process that died, is gone on with.

    Args:
        ledger: the ledger.
        store: where the file is kept.
        effects: the round's platform.
        round_key: the round.
        wait_s: how long to wait for the export, in seconds.

    Raises:
        UserError: the round has not landed, or the export failed, is not ready in time or is of an unknown structure.
    """
    asked = effects.refresh_export(round_key)
    timing = effects.client.transport.timing
    deadline = timing.monotonic() + wait_s
    with heeding(ledger, round_key):
        while (export := observe_another(ledger, effects.client, round_key, asked.uid)) is None:
            left = deadline - timing.monotonic()
            if left <= 0:
                raise UserError(
                    f"Avala has been making the export {asked.uid} of {round_key} for {wait_s:g} s. Nothing is lost; go on with it later: "
                    f"alaas-pipeline refresh-labels {round_key}"
                )
            timing.sleep(min(_PAUSE_S, left))
        with ledger.transaction() as tx:
            current = rounds.get(tx, round_key)
        fetched = fetch(ledger, store, effects.client, current, export)
    with ledger.transaction() as tx:
        done = _write(tx, current, fetched)
    log.info("%s", done.told)
    return done


def _write(tx: Transaction, current: Round, fetched: Fetched) -> Refreshed:
    key, content = current.key, fetched.content
    known = landing.versions(tx, key)
    if before := [one for one in known if one.export_uid == fetched.export_uid]:
        # Another process wrote it meanwhile.
        return Refreshed(before[-1], f"{key}: this export is version {before[-1].version} of its labels already.")
    for one in known:
        # What waits already is not held a second time.
        if one.state == "held" and not _against(tx, key, one.version, fetched).changes:
            return _same(tx, current, fetched, one)
    serves = landing.serving(tx, key)
    assert serves is not None, "a landed round has labels"
    changed = _against(tx, key, serves, fetched)
    names = label_names.compare(
        label_names.accepted(tx, current.pool, current.settings.classes), content.schema, declared=content.declared
    )
    if not changed.changes and not names.new:
        return _same(tx, current, fetched, next(one for one in known if one.version == serves))
    reasons = [] if changed.only_grows else [str(changed)]
    reasons += [f"names of labels that nobody accepted ({names})"] if names.new else []
    held_for = "; ".join(reasons) or None
    differs = {"version": serves, **changed.to_json(), "names": str(names)}
    number = fetched.record(tx, current, state="held" if held_for else "serves", held_for=held_for, differs=differs)
    version = next(one for one in landing.versions(tx, key) if one.version == number)
    if held_for:
        told = (
            f"{key}: version {number} of its labels waits for a person; version {serves} serves on.\n  {held_for}\n"
            f"  To let it serve: alaas-pipeline accept-labels {key} --version {number}\n"
            f"  To keep the old: alaas-pipeline refuse-labels {key} --version {number}"
        )
    else:
        told = f"{key}: version {number} of its labels serves from now on.\n  {changed}"
    return Refreshed(version, told)


def _against(tx: Transaction, round_key: str, version: int, fetched: Fetched) -> Diff:
    return diff.compare(landing.outcomes(tx, round_key, version), fetched.outcomes, fetched.shown)


def _same(tx: Transaction, current: Round, fetched: Fetched, one: Version) -> Refreshed:
    fetched.record(tx, current, state="same", differs={"version": one.version})
    state = "serves" if one.state == "serves" else "waits for a person"
    return Refreshed(one, f"{current.key}: nothing changed; version {one.version} of its labels {state}.")
