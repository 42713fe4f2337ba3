"""One sandbox: everything that a request handler needs, and how it gets at it."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from alaas_pipeline.sandbox.annotators import Annotators
from alaas_pipeline.sandbox.auth import Actor
from alaas_pipeline.sandbox.blobs import Blobs
from alaas_pipeline.sandbox.faults import Faults
from alaas_pipeline.sandbox.pictures import Thumbnails
from alaas_pipeline.sandbox.proxy import FORM_HOST, PUT_HOST
from alaas_pipeline.sandbox.requestlog import RequestLog
from alaas_pipeline.sandbox.settings import Settings
from alaas_pipeline.sandbox.signing import Signer
from alaas_pipeline.sandbox.state import State
from alaas_pipeline.sandbox.truth import load_truth
from alaas_pipeline.sandbox.webhooks import Webhooks


class Box:
    """The parts of one running sandbox.

    Args:
        settings: its settings; the state folder is made if it is missing.

    Raises:
        SandboxError: if the truth or the state cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        settings.state.mkdir(parents=True, exist_ok=True)
        truth = load_truth(settings.truth)
        settings = replace(settings, labels=settings.labels or truth.names())
        self.settings = settings
        self.state = State(settings)
        self.blobs = Blobs(Path(settings.state))
        self.annotators = Annotators(settings, truth, self.blobs)
        self.thumbnails = Thumbnails(self.blobs)
        assert settings.webhook_body is not None
        self.webhooks = Webhooks(self.state, settings.webhook_body, settings.webhook_pause_s)
        self.signer = Signer(settings.state, settings.url_lifetime_s)
        self.faults = Faults()
        self.requests = RequestLog()


async def box_of(request: Request) -> Box:
    """The sandbox that a request reached."""
    return request.app.state.box


async def actor_of(request: Request) -> Actor:
    """Whoever sent a request; the gate has checked the key already."""
    return request.state.actor


def origin(request: Request) -> str:
    """Scheme and host as the client named them."""
    return f"{request.url.scheme}://{request.url.netloc}"


def upload_origin(box: Box, request: Request, method: str) -> str:
    """Scheme and host that a file goes to by a method: ``POST`` for a form, else ``PUT`` or ``MULTIPART``."""
    if box.settings.official_uploads is None:
        return origin(request)
    return f"https://{FORM_HOST if method == 'POST' else PUT_HOST}"


# Asynchronous though they wait for nothing: the framework would run plain functions in a thread each.
BoxOf = Annotated[Box, Depends(box_of)]
ActorOf = Annotated[Actor, Depends(actor_of)]
