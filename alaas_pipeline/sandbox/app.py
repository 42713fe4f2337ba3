"""The application: routes, the gate in front of them, and errors worded as Django REST framework does."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from alaas_pipeline.sandbox.box import Box
from alaas_pipeline.sandbox.errors import ApiError, in_shape
from alaas_pipeline.sandbox.gate import API, Gate
from alaas_pipeline.sandbox.routes import (
    admin,
    byhand,
    datasets,
    exports,
    faults,
    finalise,
    invitations,
    items,
    page,
    projects,
    slices,
    storage,
    tasks,
    uploads,
    users,
    webhooks,
)
from alaas_pipeline.sandbox.settings import Settings
from alaas_pipeline.sandbox.signing import SignatureError

# What any call of the API may be answered with beside success.
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": HTTPStatus(status).phrase} for status in (400, 401, 403, 404, 409, 413, 422, 429)
}
MESSAGES = {
    "missing": "This field is required.",
    "string_type": "Not a valid string.",
    "string_too_short": "This field may not be blank.",
    "string_too_long": "Ensure this field has no more than {max_length} characters.",
    "string_pattern_mismatch": "Enter a valid value: letters, numbers, underscores or hyphens.",
    "uuid_parsing": "Must be a valid UUID.",
    "uuid_type": "Must be a valid UUID.",
    "int_type": "A valid integer is required.",
    "int_parsing": "A valid integer is required.",
    "int_from_float": "A valid integer is required.",
    "bool_type": "Must be a valid boolean.",
    "bool_parsing": "Must be a valid boolean.",
    "literal_error": '"{input}" is not a valid choice.',
    "greater_than_equal": "Ensure this value is greater than or equal to {ge}.",
    "less_than_equal": "Ensure this value is less than or equal to {le}.",
    "list_type": "Expected a list of items.",
    "extra_forbidden": "This field is not known.",
    "value_error": "{error}",
}


def build_app(settings: Settings) -> FastAPI:
    """The ASGI application of one sandbox.

    Args:
        settings: how it behaves; the state folder must not be in use by another server.

    Raises:
        SandboxError: if the truth or the state cannot be used.
    """
    box = Box(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        box.webhooks.start(always=False)
        yield
        # Not in the event loop: a delivery on its way may go to this very server.
        await run_in_threadpool(box.webhooks.stop)
        box.state.close()

    app = FastAPI(
        title="Avala sandbox",
        redirect_slashes=False,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/_sandbox/openapi.json",
    )
    app.state.box = box
    app.add_middleware(Gate, box=box)
    for module in (users, invitations, uploads, finalise, datasets, items, slices, projects, tasks, exports, webhooks):
        app.include_router(module.router, prefix=API, responses=REFUSALS)
    app.include_router(storage.router)
    for module in (admin, byhand, faults, page):
        app.include_router(module.router)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(storage.StorageError, _storage_error)
    app.add_exception_handler(SignatureError, _storage_error)
    app.add_exception_handler(Exception, _broken)
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, ApiError):
        return _refusal(request, error.status_code, error.body, error.headers)
    details = {404: "Not found.", 405: f'Method "{request.method}" not allowed.'}
    body = {"detail": details.get(error.status_code, error.detail)}
    return JSONResponse(body, error.status_code, error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields: dict[str, list[str]] = {}
    for problem in error.errors():
        where = [str(part) for part in problem["loc"][1:]]
        if problem["type"] == "json_invalid":
            return JSONResponse({"detail": "JSON parse error - the body is not valid JSON."}, 400)
        if problem["type"] in ("model_attributes_type", "dict_type") and not where:
            return _refusal(request, 400, {"non_field_errors": ["Invalid data. Expected a dictionary."]})
        fields.setdefault(where[0] if where else "non_field_errors", []).append(_message(problem))
    if fields.keys() == {"non_field_errors"} and all(p["type"] == "missing" for p in error.errors()):
        # The whole body is missing: say which fields it would need by the first that is.
        fields = {"non_field_errors": ["No data was sent."]}
    return _refusal(request, 400, fields)


def _refusal(request: Request, status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    if request.url.path.startswith(API + "/"):
        status, body = in_shape(request.app.state.box.settings.error_shape, status, body)
    return JSONResponse(body, status, headers)


def _message(problem: Any) -> str:
    if problem["input"] is None and problem["type"] != "missing":
        return "This field may not be null."
    template = MESSAGES.get(problem["type"])
    if template is None:
        return problem["msg"]
    return template.format(input=problem["input"], **problem.get("ctx", {}))


async def _storage_error(request: Request, error: Exception) -> Response:
    return storage.answer_error(request, error)


async def _broken(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": "Internal server error."}, 500)
