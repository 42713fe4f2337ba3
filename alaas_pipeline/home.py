"""Where things are: the one folder of state, the checkout, and the environment file.

`ALAAS_HOME` holds all state. Without it the folder is `.alaas/` in the checkout this package runs from or, for an
installed package, in the working directory.
"""

import os
import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from dotenv import load_dotenv

from alaas_pipeline.errors import UserError


@dataclass(frozen=True)
class Home:
    """The folder of state and what stands where in it."""

    root: Path

    @property
    def ledger(self) -> Path:
        """The DuckDB file that holds pools, rounds, credits and effects."""
        return self.root / "ledger.duckdb"

    @property
    def files(self) -> Path:
        """Vectors, contact sheets, exports, training sets and reports."""
        return self.root / "files"

    @property
    def models(self) -> Path:
        """Encoders made on this machine."""
        return self.root / "models"

    @property
    def sandbox(self) -> Path:
        """State of the local Avala sandbox."""
        return self.root / "sandbox"

    @property
    def demo(self) -> Path:
        """Photographs of the demo."""
        return self.root / "demo"

    @property
    def locks(self) -> Path:
        """Lock files: work that only one process may do at a time."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def dagster(self) -> Path:
        """The `DAGSTER_HOME` of the demo, the UI and CI."""
        return self.root / "dagster"


def checkout() -> Path | None:
    """Return the checkout this package runs from, or None for an installed package."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "workspace.yaml").is_file() and (root / "pyproject.toml").is_file() else None


def load_env() -> None:
    """Read `.env` of the checkout, else of the working directory; the real environment wins."""
    load_dotenv((checkout() or Path.cwd()) / ".env", override=False)


def absolute_from_env(variable: str) -> Path | None:
    """Return the path in an environment variable.

    Raises:
        UserError: the path is relative; web server, daemon and runs start in different folders.
    """
    value = os.environ.get(variable)
    if not value:
        return None
    path = Path(value).expanduser()
    if not path.is_absolute():
        raise UserError(
            f"{variable} is the relative path '{value}'. Give an absolute path, for example {Path.cwd() / value}."
        )
    return path


def get_home() -> Home:
    """Return the folder of state (it need not exist yet).

    Raises:
        UserError: `ALAAS_HOME` is a relative path.
    """
    load_env()
    return Home(absolute_from_env("ALAAS_HOME") or (checkout() or Path.cwd()) / ".alaas")


def shipped_file(name: str) -> Path:
    """Return `dagster.yaml`, `workspace.yaml` or `pools.yaml`: the checkout's own, else the wheel's copy."""
    root = checkout()
    return root / name if root else Path(str(resources.files("alaas_pipeline"))) / "shipped" / name


def prepare_dagster_home(home: Home) -> Path:
    """Make the `DAGSTER_HOME` under `home` and put the current `dagster.yaml` into it.

    A `DAGSTER_HOME` that is set already is left as it is and returned.
    """
    given = absolute_from_env("DAGSTER_HOME")
    if given:
        given.mkdir(parents=True, exist_ok=True)
        return given
    home.dagster.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(shipped_file("dagster.yaml"), home.dagster / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    return home.dagster
