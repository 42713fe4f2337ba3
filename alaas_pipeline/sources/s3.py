"""Images in a bucket of S3, or of anything that speaks its language."""

import unicodedata
from collections.abc import Iterator
from typing import Any

from alaas_pipeline.errors import UserError
from alaas_pipeline.sources.base import (
    Names,
    SourceFile,
    UnreadableFile,
    is_image_name,
    marked,
    unreadable,
    unsafe,
)

# Error codes of S3 and of the services that imitate it -> what a person can do about it.
_REMEDIES = {
    "NoSuchBucket": "the bucket does not exist; mend the pool's source or create it",
    "AccessDenied": "access is denied; grant s3:ListBucket and s3:GetObject to these credentials",
    "403": "access is denied; grant s3:ListBucket and s3:GetObject to these credentials",
    "InvalidAccessKeyId": "the access key is not known there; check the credentials and the endpoint",
    "SignatureDoesNotMatch": "the secret key is wrong; check the credentials",
    "ExpiredToken": "the credentials have expired; renew them",
    "InvalidToken": "the session token is not valid; renew the credentials",
    "PermanentRedirect": "the bucket lives in another region; set AWS_DEFAULT_REGION to it",
    "AuthorizationHeaderMalformed": "the bucket lives in another region; set AWS_DEFAULT_REGION to it",
    "SlowDown": "too many requests; run again later",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
}


# Codes that speak of one object alone.
_REFUSALS = {"AccessDenied": "access_denied", "403": "access_denied", "InvalidObjectState": "archived"}


class S3Source:
    """The objects of one bucket below a prefix.

    Args:
        client: a boto3 S3 client, as from `dagster_aws.s3.S3Resource.get_client()`.
        bucket: the bucket's name.
        prefix: only keys that begin with it; a missing final `/` is added.
    """

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.name = f"s3://{bucket}/{self._prefix}"
        self._names = Names()

    def list(self) -> Iterator[SourceFile]:
        """Yield the objects in the order of their keys, page by page. See `Source.list`.

        Keys that are not in NFC come last: only then is it known whether their path is free.
        """
        seen: set[str] = set()
        late: list[tuple[str, dict[str, Any]]] = []
        empty = True
        for item in self._objects():
            empty = False
            raw = item["Key"][len(self._prefix) :]
            if raw.endswith("/") or not raw or not is_image_name(raw) or _hidden(raw):
                continue
            path = unicodedata.normalize("NFC", raw)
            if path != raw:
                late.append((path, item))
                continue
            if not raw.isascii():
                seen.add(path)
            yield self._listed(path, item, "name_unsafe" if unsafe(raw) else "")
        if empty and self._prefix:
            raise UserError(f"There is nothing at {self.name}; mend the pool's source or put images there.")
        for path, item in late:
            raw = item["Key"][len(self._prefix) :]
            refused = "name_clash" if path in seen else "name_unsafe" if unsafe(raw) else ""
            seen.add(path)
            if not refused:
                self._names.raw[path] = raw
            yield self._listed(marked(raw) if refused == "name_clash" else path, item, refused)
        self._names.complete = True

    def read(self, path: str, max_bytes: int) -> bytes:
        """Return the content of one object. See `Source.read`."""
        from botocore.exceptions import BotoCoreError, ClientError

        raw = self._names.raw.get(path, path)
        if path in self._names.refused or unsafe(raw):
            raise self._unreadable(self._names.refused.get(path, "name_unsafe"), path)
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + raw)
            with answer["Body"] as body:
                if answer["ContentLength"] > max_bytes:
                    raise self._unreadable("too_large", path)
                return body.read()
        except ClientError as error:
            code = _code(error)
            if code in ("NoSuchKey", "404"):
                if not path.isascii():
                    self._names.complete_with(self)
                    if path in self._names.refused or self._names.raw.get(path, path) != raw:
                        return self.read(path, max_bytes)
                raise self._unreadable("missing", path) from None
            if code in _REFUSALS:
                raise self._unreadable(_REFUSALS[code], path) from None
            raise _s3_error(error, self.name) from None
        except BotoCoreError as error:
            raise _s3_error(error, self.name) from None

    def _objects(self) -> Iterator[dict[str, Any]]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                yield from page.get("Contents", ())
        except (BotoCoreError, ClientError) as error:
            raise _s3_error(error, self.name) from None

    def _listed(self, path: str, item: dict[str, Any], refused: str) -> SourceFile:
        if refused:
            self._names.refused[path] = refused
        return SourceFile(path, item["Size"], item["ETag"].strip('"'), refused)

    def _unreadable(self, reason: str, path: str) -> UnreadableFile:
        return unreadable(reason, path, self.name)


def _hidden(path: str) -> bool:
    return any(part.startswith(".") and part != ".." for part in path.split("/"))


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _s3_error(error: Exception, source: str) -> UserError:
    """Say what to do; the original text is left out, since it may hold addresses and names of keys."""
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        code = _code(error)
        remedy = _REMEDIES.get(code, f"the service answered {code or 'with an error'}; run again or ask its operator")
    elif isinstance(
        error,
        exceptions.NoCredentialsError
        | exceptions.PartialCredentialsError
        | exceptions.CredentialRetrievalError
        | exceptions.TokenRetrievalError,
    ):
        remedy = "there are no usable AWS credentials; set AWS_PROFILE, or an access key and its secret"
    else:
        remedy = f"the service cannot be reached ({type(error).__name__}); check the endpoint and the network"
    return UserError(f"{source} cannot be read: {remedy}.")
