"""A pipeline that tells a controller outside of each request and commit that it is about to make, and waits for its word."""

import json
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import httpx
import numpy as np
import pytest
from PIL import Image

from alaas_pipeline.alaas import embed, scan
from alaas_pipeline.automation.jobs import STRETCHES, job_name
from alaas_pipeline.automation.sensors import MAX_ATTEMPTS
from alaas_pipeline.automation.steps import Step, Wait
from alaas_pipeline.definitions import build_defs
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, images, pools, rounds
from alaas_pipeline.ledger.commit_log import Commit, CommitLog
from alaas_pipeline.ledger.status import status
from alaas_pipeline.resources import Encoders
from alaas_pipeline_tests.end_to_end.world import World, failure

POOL = "pets"
CHUNK = 5
READING = ("GET", "HEAD")
LONGEST_WAIT_S = 60.0
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Gate:
    """The way to the controller. One thread at a time tells something, and all wait until the controller says go."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._answers = channel.makefile("rb")
        self._lock = threading.Lock()

    def tell(self, **message: Any) -> None:
        with self._lock:
            self._channel.sendall(json.dumps(message).encode() + b"\n")
            if not self._answers.readline():
                sys.exit("the controller is gone")


def watch_commits(gate: Gate) -> None:
    """Stop before each commit that changes something, between it and its log line, and after that."""
    plain, append, here = Ledger._commit, CommitLog.append, threading.local()

    def watched(self: Ledger, connection: duckdb.DuckDBPyConnection, commit: Commit | None) -> None:
        if commit is None:
            plain(self, connection, commit)
            return
        kind = _caller()
        gate.tell(say="commit", place="before", kind=kind)
        here.commits = kind
        try:
            plain(self, connection, commit)
        finally:
            here.commits = None
        gate.tell(say="commit", place="logged", kind=kind)

    def appended(self: CommitLog, commit: Commit) -> None:
        if kind := getattr(here, "commits", None):
            gate.tell(say="commit", place="made", kind=kind)
        append(self, commit)

    Ledger._commit, CommitLog.append = watched, appended


def _caller() -> str:
    """The function of the package whose transaction this is."""
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("alaas_pipeline.") and module != "alaas_pipeline.ledger.database":
            return f"{module.removeprefix('alaas_pipeline.')}.{frame.f_code.co_name}"
        frame = frame.f_back
    return "unknown"


def watch_requests(gate: Gate) -> None:
    """Stop before each request that changes something, when it is on the wire, and when the answer is in."""
    handle, numbers = httpx.HTTPTransport.handle_request, iter(range(1, sys.maxsize))

    def watched(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.method in READING:
            return handle(self, request)
        told = {"say": "request", "n": next(numbers), "method": request.method, "path": request.url.path}
        told["kind"] = f"{request.method} {UID.sub('{uid}', request.url.path)}"

        def trace(event: str, _: object) -> None:
            if event == "http11.send_request_body.complete":
                gate.tell(**told, place="sent")

        gate.tell(**told, place="unsent")
        request.extensions = {**request.extensions, "trace": trace}
        response = handle(self, request)
        gate.tell(**told, place="answered")
        return response

    httpx.HTTPTransport.handle_request = watched


class SmallEncoder:
    """Sixteen pixels as a unit vector: what is killed here is no matter of how pictures are seen."""

    encoder_id, dim = "sixteen-pixels", 48

    def encode(self, images: Sequence[Image.Image]) -> np.ndarray:
        pixels = [np.asarray(image.convert("RGB").resize((4, 4)), np.float32).ravel() + 1 for image in images]
        return np.stack([row / np.linalg.norm(row) for row in pixels])


class SmallEncoders(Encoders):
    """Stands in for the encoders that take seconds to load."""

    def load(self, spec: str) -> SmallEncoder:
        return SmallEncoder()


class Pipeline(World):
    """One installation, whose definitions are made once, before any process is forked."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, root, pytest.MonkeyPatch())
        self._defs = build_defs(resources={"encoders": SmallEncoders(cache=str(root))})
        for stretch in STRETCHES:
            self._defs.resolve_job_def(job_name(POOL, stretch))

    def defs(self) -> dg.Definitions:
        return self._defs

    def drive(self, count: int, gate: Gate) -> None:
        """Do what the loop's rule says until so many rounds have landed, as the sensors do: only failed runs are repeated.

        Raises:
            Stuck: nothing is to be done any more, or nothing but what was done.
        """
        failures: Counter[Step] = Counter()
        done: set[Step] = set()
        give_up = time.monotonic() + LONGEST_WAIT_S
        with dg.DagsterInstance.ephemeral() as instance:
            while (era := self._era()) <= count:
                gate.tell(say="turn", era=era)
                step = self._asked()
                if isinstance(step, Wait):
                    if time.monotonic() > give_up:
                        raise Stuck(step.why)
                    time.sleep(1)
                    continue
                give_up = time.monotonic() + LONGEST_WAIT_S
                if step in done:
                    raise Stuck(f"{step} has run and is asked for again")
                result = self.run(instance, POOL, step.stretch, step.round)
                if result.success:
                    done.add(step)
                    continue
                failures[step] += 1
                gate.tell(say="failed", step=step.stretch, why=failure(result))
                if failures[step] == MAX_ATTEMPTS:
                    raise Stuck(f"{step} failed {MAX_ATTEMPTS} times: {failure(result)}")

    def _asked(self) -> Step | Wait:
        try:
            return self.next_step(POOL)
        except UserError as error:
            return Wait(str(error))

    def _era(self) -> int:
        """The round that the loop is at, landed ones left behind; 0 while the pool has no vectors."""
        with self.service.ledger.transaction() as tx:
            encoder = pools.encoder_id(tx, POOL) if POOL in pools.known(tx) else None
            if not encoder or not images.embedded(tx, POOL, encoder):
                return 0
            return 1 + sum(current.state == "landed" for current in rounds.of_pool(tx, POOL))


class Stuck(Exception):
    """The loop goes on no more without help."""


def run(pipeline: Pipeline, channel: socket.socket, count: int) -> None:
    """Drive a pipeline to its end and tell how it ended."""
    # A pool of a dozen images is looked through and embedded in several commits, as one of thousands is.
    scan.CHUNK = embed.PART = CHUNK
    gate = Gate(channel)
    watch_commits(gate)
    watch_requests(gate)
    try:
        pipeline.drive(count, gate)
    except Stuck as stuck:
        gate.tell(say="stuck", why=str(stuck))
    else:
        gate.tell(say="done", status=status(pipeline.service.ledger))
