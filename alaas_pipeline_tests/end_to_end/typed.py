"""Commands as a person or CI types them: `alaas-pipeline` and `dagster` of this installation, in processes of their own."""

import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

BIN = Path(sys.executable).parent
START_S = 60.0


def environment(**changes: str | None) -> dict[str, str]:
    """This process's environment with the commands of this installation first; None takes a variable away."""
    found = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | changes
    return {name: value for name, value in found.items() if value is not None}


def shell(line: str, *, cwd: Path, check: bool = True, **variables: str | None) -> subprocess.CompletedProcess[str]:
    """Run a line of bash as CI runs it; with `check` it must end with 0."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not check or done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done


class TypedSandbox:
    """`alaas-pipeline sandbox` with the options that were typed; leaving it ends the process as SIGTERM does."""

    def __init__(self, *options: str, cwd: Path) -> None:
        self.first_line = ""
        self.rest = ""
        self.status: int | None = None
        self._errors = (cwd / f"sandbox-{time.monotonic_ns()}.stderr").open("w+")
        self._process = subprocess.Popen(
            [str(BIN / "alaas-pipeline"), "sandbox", *options],
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    @property
    def base_url(self) -> str:
        return self.first_line.removeprefix("ready ").strip()

    def stop(self) -> None:
        """End it and keep its exit status and all else it wrote to standard output."""
        if self.status is None:
            self._process.terminate()
            self.rest = self._process.communicate(timeout=20)[0]
            self.status = self._process.returncode

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if selector.select(START_S):
                self.first_line = self._process.stdout.readline()
        if not self.first_line:
            self.stop()
            raise AssertionError(f"The sandbox did not start: {self.errors()}")
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()
        self._errors.close()
