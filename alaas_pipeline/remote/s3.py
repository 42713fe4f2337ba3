"""Objects of S3, or of anything that speaks its language."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from typing import Any

from alaas_pipeline.errors import UserError
from alaas_pipeline.remote.objects import Found, ObjectRefused

# As many as dagster-aws takes; between them the client waits, longer each time, when the service asks for less.
ATTEMPTS = 5
# The client repeats a request, but not an answer that breaks off in the middle.
READS = 3

# Error codes of S3 and of the services that imitate it -> what a person can do about it.
_REMEDIES = {
    "NoSuchBucket": "the bucket does not exist; correct its name or create it",
    "AccessDenied": "access is denied; grant {rights} to these credentials",
    "403": "access is denied; grant {rights} to these credentials",
    "InvalidAccessKeyId": "the access key is not known there; check the credentials and the endpoint",
    "SignatureDoesNotMatch": "the secret key is wrong; check the credentials",
    "ExpiredToken": "the credentials have expired; renew them",
    "InvalidToken": "the session token is not valid; renew the credentials",
    "PermanentRedirect": "the bucket lives in another region; set AWS_DEFAULT_REGION to it",
    "AuthorizationHeaderMalformed": "the bucket lives in another region; set AWS_DEFAULT_REGION to it",
    "SlowDown": "too many requests; run again later",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
}
_RIGHTS = {"read": "s3:ListBucket and s3:GetObject", "written": "s3:PutObject"}
# Codes that speak of one object alone.
_REFUSALS = {
    "NoSuchKey": "missing",
    "404": "missing",
    "AccessDenied": "access_denied",
    "403": "access_denied",
    "InvalidObjectState": "archived",
    "PreconditionFailed": "changed_while_reading",
    "412": "changed_while_reading",
}


def connect() -> Any:
    """Return a client with the credentials, region and endpoint that AWS's own environment and files name.

    Raises:
        UserError: the profile that is asked for does not exist.
    """
    import boto3
    from botocore.config import Config

    with told("S3", "used"):
        return boto3.client("s3", config=Config(retries={"max_attempts": ATTEMPTS, "mode": "standard"}))


class Bucket:
    """The objects of one bucket. See `Objects`.

    Args:
        client: makes a boto3 client; called when one is needed, for it takes long.
        name: the bucket's name.
        place: how messages call what is read or written.
    """

    def __init__(self, client: Callable[[], Any], name: str, place: str = "") -> None:
        self._make = client
        self._name = name
        self._place = place or f"s3://{name}"

    @cached_property
    def _client(self) -> Any:
        return self._make()

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Yield the objects in the order of their keys, page by page. See `Objects.list`."""
        with told(self._place, "read"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._name, Prefix=prefix):
                for item in page.get("Contents", ()):
                    yield Found(item["Key"], item["Size"], item["ETag"].strip('"'))

    def look(self, key: str) -> Found:
        """Tell of one object. See `Objects.look`."""
        from botocore.exceptions import ClientError

        with told(self._place, "read", one=True):
            try:
                answer = self._client.head_object(Bucket=self._name, Key=key)
            except ClientError as error:
                if _code(error) == "404":
                    raise
                # An answer without a body names no reason; that of a read does.
                answer = self._client.get_object(Bucket=self._name, Key=key)
                answer["Body"].close()
            return Found(key, answer["ContentLength"], answer["ETag"].strip('"'))

    def read(self, key: str, max_bytes: int | None = None, version: str = "") -> bytes:
        """Return the content of one object. See `Objects.read`."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        wanted = {"IfMatch": f'"{version}"'} if version else {}
        with told(self._place, "read", one=True):
            for left in reversed(range(READS)):
                answer = self._client.get_object(Bucket=self._name, Key=key, **wanted)
                # Entered itself it hands out the stream below it, which lets a broken answer pass for a whole one.
                with closing(answer["Body"]) as body:
                    if max_bytes is not None and answer["ContentLength"] > max_bytes:
                        raise ObjectRefused("too_large")
                    try:
                        return body.read()
                    except (HTTPClientError, IncompleteReadError):
                        if not left:
                            raise
        raise AssertionError("the last attempt returns or raises")

    def write(self, key: str, data: bytes) -> None:
        """Put one object there. See `Objects.write`."""
        with told(self._place, "written"):
            self._client.put_object(Bucket=self._name, Key=key, Body=data)


@contextmanager
def told(place: str, doing: str, *, one: bool = False) -> Iterator[None]:
    """Say what to do; the original text is left out, since it may hold addresses and names of keys.

    Args:
        place: what is read or written.
        doing: how it is, in a message: `read`, `written`, `used`.
        one: whether one object is asked for, so that some codes speak of it alone.

    Raises:
        ObjectRefused: this one object cannot be had.
        UserError: anything else.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = _code(error)
        if one and code in _REFUSALS:
            raise ObjectRefused(_REFUSALS[code]) from None
        remedy = _REMEDIES.get(code, f"the service answered {code or 'with an error'}; run again or ask its operator")
        raise UserError(f"{place} cannot be {doing}: {remedy.format(rights=_RIGHTS.get(doing, ''))}.") from None
    except BotoCoreError as error:
        raise UserError(f"{place} cannot be {doing}: {_here(error)}.") from None


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _here(error: Exception) -> str:
    """What to do about a failure that no service answered."""
    from botocore import exceptions

    if isinstance(error, exceptions.ProfileNotFound):
        return "AWS_PROFILE names a profile that does not exist; correct it"
    if isinstance(
        error,
        exceptions.NoCredentialsError
        | exceptions.PartialCredentialsError
        | exceptions.CredentialRetrievalError
        | exceptions.TokenRetrievalError,
    ):
        return "there are no usable AWS credentials; set AWS_PROFILE, or an access key and its secret"
    return f"the service cannot be reached ({type(error).__name__}); check the endpoint and the network"
