"""A real sandbox in a process of its own, for tests."""

import os
import selectors
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal, Self

import httpx

START_S = 60.0
TEMPLATE_UID = "00000000-0000-4000-8000-000000000001"
LIDAR_TEMPLATE_UID = "00000000-0000-4000-8000-000000000002"
API_KEY = "avk_sandbox"
# Loading the system's certificates is slow, and nothing here speaks TLS.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class SandboxProcess:
    """Starts, stops, kills and restarts ``python -m alaas_pipeline.sandbox``.

    Tests want no rate limit in their way unless they ask for one, so the limits default to very high values
    here. It is a context manager: leaving it stops the server.
    """

    def __init__(self) -> None:
        self.base_url = ""
        self.state: Path | None = None
        self._settings: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, state: Path, **settings: Any) -> str:
        """Starts the server and waits until it answers.

        Args:
            state: state folder.
            **settings: fields of `alaas_pipeline.sandbox.Settings`, such as ``truth="subfolder"`` or
                ``pace=0``.

        Returns:
            The base URL, such as ``http://127.0.0.1:40123/api/v1``.

        Raises:
            RuntimeError: if it does not start; holds what it wrote to standard error.
        """
        self.state = state
        limits = {
            "requests_per_minute": 1_000_000,
            "burst_per_second": 1_000_000,
            "anonymous_per_minute": 1_000_000,
        }
        self._settings = limits | settings
        return self._launch()

    def restart(self, **changes: Any) -> str:
        """Starts again on the same state and, if it is free, the same port; ends the running server first.

        Args:
            **changes: settings that are different from now on.
        """
        self.stop()
        if "port" not in self._settings:
            self._settings["port"] = int(self.base_url.split(":")[2].split("/")[0])
        self._settings |= changes
        return self._launch()

    def stop(self) -> int | None:
        """Ends the server as SIGTERM does and returns its exit status (None if it was not running)."""
        if self._process is None:
            return None
        self._process.terminate()
        return self._reap()

    def kill(self) -> None:
        """Ends the server as SIGKILL does: nothing is flushed, nothing tidied up."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def effects(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The numbered log of accepted changes, of one kind if it is given."""
        rows = self._admin("GET", "effects")["effects"]
        return [row for row in rows if kind is None or row["kind"] == kind]

    def finish(self, project_uid: str) -> dict[str, Any]:
        """Lets the annotators finish a project at once."""
        return self._admin("POST", f"projects/{project_uid}/finish")

    def add_key(self, key: str, **what: Any) -> dict[str, Any]:
        """Registers a further key: username, plan, scopes, coworker, staff, expired."""
        return self._admin("POST", "keys", {"key": key, **what})

    def fault(self, **rule: Any) -> dict[str, Any]:
        """Adds a rule, such as ``path="/api/v1/exports/", do="cut", when="after"``; returns it with its number."""
        return self._admin("POST", "faults", rule)

    def faults(self) -> list[dict[str, Any]]:
        """Every rule, with the requests that it named (``seen``) and struck (``fired``)."""
        return self._admin("GET", "faults")["faults"]

    def clear_faults(self) -> None:
        """Forgets every rule."""
        self._admin("DELETE", "faults")

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """What arrived and wants a change, numbered, since the server was started."""
        return self._admin("GET", f"requests?since={since}")["requests"]

    def delete(self, kind: Literal["dataset", "project", "export"], uid: str) -> None:
        """Deletes something behind the client's back."""
        self._admin("DELETE", f"{kind}s/{uid}")

    def set_status(self, uid: str, status: str) -> dict[str, Any]:
        """Gives a project another status, as a person does; ``active`` approves one that waits for approval."""
        return self._admin("POST", f"projects/{uid}/status", {"status": status})

    def foreign_project(self, name: str, **what: Any) -> dict[str, Any]:
        """Makes a project that no client asked for: owner, dataset_uid."""
        return self._admin("POST", "projects", {"name": name, **what})

    def fail_export(self, uid: str) -> dict[str, Any]:
        """Ends an export as `failed`."""
        return self._admin("POST", f"exports/{uid}/fail")

    def admin_url(self, path: str) -> str:
        """An address below ``/_sandbox/``."""
        return self.base_url.removesuffix("/api/v1") + "/_sandbox/" + path

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = httpx.request(method, self.admin_url(path), json=body, verify=NO_TLS).raise_for_status()
        return answer.json() if answer.content else None

    def _launch(self) -> str:
        command = [sys.executable, "-m", "alaas_pipeline.sandbox", "--state", str(self.state)]
        for name, value in self._settings.items():
            option = "--" + name.replace("_", "-")
            if value is True:
                command.append(option)
            elif value is not False and value is not None:
                command.append(f"{option}={','.join(value) if isinstance(value, tuple) else value}")
        root = Path(__file__).resolve().parent.parent
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
        # A file, not a pipe: nobody reads it while the server runs, and a full pipe would stop it.
        errors = Path(f"{self.state}.stderr")
        errors.parent.mkdir(parents=True, exist_ok=True)
        with errors.open("wb") as stream:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stream, stdin=subprocess.DEVNULL, env=environment
            )
        line = self._first_line()
        if not line.startswith("ready "):
            self.kill()
            raise RuntimeError(f"The sandbox did not start: {errors.read_text(errors='replace').strip()}")
        self.base_url = line.removeprefix("ready ").strip()
        return self.base_url

    def _first_line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + START_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return ""
        return self._process.stdout.readline().decode()

    def _reap(self) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        status = process.wait(timeout=20)
        if process.stdout is not None:
            process.stdout.close()
        return status
