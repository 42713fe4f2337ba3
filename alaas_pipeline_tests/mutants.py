"""Break one guard at a time in a copy of the project, and see the tests fail: `make mutants`.

A guard whose loss no test notices is not guarded. Each mutant names the guard, the line that carries it, and the tests that must fail.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EFFECTS = "alaas_pipeline_tests/avala/test_effects.py"
APPROVAL = "alaas_pipeline_tests/avala/test_effects_approval.py"
VERSIONS = "alaas_pipeline_tests/avala/test_effects_versions.py"


@dataclass(frozen=True)
class Mutant:
    guard: str
    file: str
    line: str
    broken: str
    tests: tuple[str, ...] = (EFFECTS,)


MUTANTS = (
    Mutant(
        "look before act", "avala/effects/acting.py",
        "found = self._look(look, patient=effect.sends > 0 and self._fresh(effect))", "found = None",
    ),
    Mutant("look after a doubtful answer", "avala/effects/acting.py", "found = self._look(look, patient=taken or error.may_have_taken_effect)", "found = None"),
    Mutant("patience with lists that lag", "avala/effects/acting.py", "while found is None and patient and", "while False and"),
    Mutant("count a send before it leaves", "avala/effects/acting.py", "            journal.sending(tx, effect)\n", "            pass\n"),
    Mutant("one process a round", "avala/effects/acting.py", 'with locked(self.locks / f"{round_key}.effects.lock"', 'with locked(self.locks / f"{id(self)}.lock"'),
    Mutant("ambiguity stops the round", "avala/effects/acting.py", 'rounds.advance(tx, effect.subject, "needs_person", message)', "pass"),
    Mutant(
        "the acceptance check", "avala/effects/approval.py",
        'if decision is None or decision.decision != "accepted" or decision.quote_digest != quote.digest:', "if decision is None:", (APPROVAL,),
    ),
    Mutant("approved only for the images sent", "avala/effects/approval.py", "if not pushed == quote.images == decision.images:", "if False:", (APPROVAL,)),
    Mutant("approve only from pending-approval", "avala/effects/approval.py", 'return None if project.status == "pending-approval" else', "return None if project.status else", (APPROVAL,)),
    Mutant("datasets compared as sets", "avala/look.py", "if found == wanted:", "if True:"),
    Mutant("no other version of the round", "avala/look.py", "    if others:\n", "    if False:\n", (VERSIONS,)),
    Mutant("several projects of one name", "avala/look.py", "if len(found) > 1:", "if False:"),
    Mutant(
        "reads are retried", "avala/transport.py", 'repeatable = passing if method == "GET" else nothing_happened',
        "repeatable = lambda error: False", ("alaas_pipeline_tests/avala/test_transport.py", EFFECTS),
    ),
    Mutant(
        "a POST is not retried blindly", "avala/transport.py", 'repeatable = passing if method == "GET" else nothing_happened',
        "repeatable = passing", ("alaas_pipeline_tests/avala/test_transport.py", EFFECTS),
    ),
    Mutant("another payload is refused", "ledger/journal.py", "if (found.payload_digest, found.remote_name) != (payload_digest, remote_name):", "if False:", ("alaas_pipeline_tests/ledger/test_journal.py",)),
    Mutant("limits of auto", "ledger/policy.py", "return used + wanted <= limit,", "return True,", ("alaas_pipeline_tests/ledger/test_policy.py",)),
    Mutant("a refund is given once", "ledger/credits.py", 'if "refund" in kinds:', 'if "never" in kinds:', ("alaas_pipeline_tests/ledger/test_credits.py",)),
    Mutant("the commit log", "ledger/database.py", "self.log.append(commit)", "pass", ("alaas_pipeline_tests/ledger/test_crashes.py", "alaas_pipeline_tests/ledger/test_backup.py")),
    Mutant("losses are looked for", "ledger/database.py", "        if known <= have:\n", "        if True:\n", ("alaas_pipeline_tests/ledger/test_crashes.py", "alaas_pipeline_tests/ledger/test_backup.py")),
)  # fmt: skip


def survives(mutant: Mutant, scratch: Path) -> bool:
    """Run the mutant's tests in a copy of the project; true when none of them fails."""
    for name in ("alaas_pipeline", "alaas_pipeline_tests"):
        shutil.copytree(ROOT / name, scratch / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "dagster.yaml", "workspace.yaml", "pools.yaml"):
        shutil.copy(ROOT / name, scratch)
    path = scratch / "alaas_pipeline" / mutant.file
    text = path.read_text()
    if mutant.line not in text:
        raise SystemExit(f"{mutant.guard}: {mutant.file} has no line {mutant.line!r} any more")
    path.write_text(text.replace(mutant.line, mutant.broken))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not faults", *mutant.tests]
    # An editable install must not shadow the copy.
    environment = os.environ | {"PYTHONPATH": str(scratch), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=scratch, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"{mutant.guard}: the tests did not run\n{done.stdout}\n{done.stderr}")
    if done.returncode == 1:
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        print(f"killed    {mutant.guard}: {failed[0].split('::')[-1][:90] if failed else '?'}", flush=True)
    return done.returncode == 0


def main() -> None:
    alive = []
    for mutant in MUTANTS:
        if len(sys.argv) > 1 and sys.argv[1] not in mutant.guard:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            if survives(mutant, Path(scratch)):
                alive.append(mutant.guard)
                print(f"SURVIVES  {mutant.guard}", flush=True)
    if alive:
        raise SystemExit(f"No test notices the loss of: {', '.join(alive)}")
    print(f"All {len(MUTANTS)} mutants were noticed.")


if __name__ == "__main__":
    main()
