"""The Dagster UI with the instance and workspace that this project ships, and the sandbox beside it."""

import contextlib
import logging
import os
import subprocess
import sys

from alaas_pipeline.config import load_settings
from alaas_pipeline.demo.run import POOL
from alaas_pipeline.demo.sandbox_process import end, local_sandbox
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home, get_home, prepare_dagster_home, shipped_file

log = logging.getLogger(__name__)


def run_ui(port: int) -> None:
    """Serve the UI until it is stopped. A broken pools.yaml does not keep it away: the UI shows the message."""
    home = get_home()
    os.environ["ALAAS_HOME"] = str(home.root)
    prepare_dagster_home(home)
    with contextlib.ExitStack() as stack:
        if pools := _sandbox_pools():
            stack.enter_context(local_sandbox(home, "--truth", _truth(home, pools), "--requests-per-minute", "3000"))
        command = [
            sys.executable,
            "-m",
            "dagster",
            "dev",
            "--workspace",
            str(shipped_file("workspace.yaml")),
            "--port",
            str(port),
            "--host",
            "127.0.0.1",
        ]
        log.info("the UI will be at http://127.0.0.1:%d (Ctrl-C stops it)", port)
        process = subprocess.Popen(command, cwd=home.root, start_new_session=True)
        try:
            process.wait()
        except KeyboardInterrupt:
            log.info("stopping")
        finally:
            end(process)


def _sandbox_pools() -> set[str]:
    try:
        return {pool.key for pool in load_settings().pools if pool.platform == "sandbox"}
    except UserError as error:
        log.warning("%s", error)
        return set()


def _truth(home: Home, pools: set[str]) -> str:
    """The known classes of the demo's photographs while the demo's pool is declared, else the names of sub-folders."""
    truth = home.demo / "truth.csv"
    return str(truth) if POOL in pools and truth.is_file() else "subfolder"
