"""Presigned storage URLs and form policies: signed, expiring, without an API key."""

import base64
import hashlib
import hmac
import json
import math
import secrets
import time
from pathlib import Path
from urllib.parse import urlencode

from alaas_pipeline.sandbox.state import write_durably


class SignatureError(Exception):
    """A storage request that is not signed, signed for something else, or too late.

    Args:
        code: the error code of the XML answer.
        message: its text.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Signer:
    """Signs and checks storage requests with a key of this sandbox's own.

    Args:
        state: folder that holds the key, which outlives restarts so that handed-out URLs do.
        lifetime_s: seconds that a URL lives.
    """

    def __init__(self, state: Path, lifetime_s: float) -> None:
        path = state / "signing.key"
        if not path.exists():
            write_durably(path, secrets.token_bytes(32), mode=0o600)
        self._secret = path.read_bytes()
        self.lifetime_s = lifetime_s

    def url(self, origin: str, method: str, path: str, content_type: str = "") -> str:
        """A URL that allows one method on one path until it expires.

        Args:
            origin: scheme and host of the storage.
            method: HTTP method.
            path: absolute path on the storage, already percent-encoded.
            content_type: content type that the request must carry; empty for none.
        """
        # Whole milliseconds, so that short lifetimes can be tried.
        expires = math.ceil((time.time() + self.lifetime_s) * 1000)
        query = urlencode(
            {"X-Amz-Expires": expires, "X-Amz-Signature": self._sign(method, path, content_type, expires)}
        )
        return f"{origin}{path}?{query}"

    def check_url(self, method: str, path: str, content_type: str, expires: str | None, signature: str | None) -> None:
        """Raises SignatureError unless the request is the one that was signed, and in time."""
        if not expires or not signature or not expires.isascii() or not expires.isdigit():
            raise SignatureError("AccessDenied", "Access denied: the request is not signed.")
        wanted = self._sign(method, path, content_type, int(expires))
        if not hmac.compare_digest(wanted.encode(), signature.encode()):
            raise SignatureError("SignatureDoesNotMatch", "The request differs from the one that was signed.")
        if time.time() * 1000 > int(expires):
            raise SignatureError("AccessDenied", "Request has expired.")

    def form(self, key: str, upload_uid: str, content_type: str, length: int | None) -> dict[str, str]:
        """Fields of a form POST: everything the form must carry before its file."""
        fields = {"key": key, "Content-Type": content_type, "x-amz-meta-upload": upload_uid}
        policy = {
            "expires": math.ceil((time.time() + self.lifetime_s) * 1000),
            "fields": fields,
            "length": length,
        }
        encoded = base64.b64encode(json.dumps(policy).encode()).decode()
        return fields | {"policy": encoded, "x-amz-signature": self._hmac(encoded)}

    def check_form(self, fields: dict[str, str], size: int) -> str:
        """Checks a form POST and returns the upload uid it was signed for.

        Raises:
            SignatureError: if the form is not the one that was signed, is late, or its file has another size.
        """
        encoded = fields.get("policy", "")
        if not hmac.compare_digest(self._hmac(encoded).encode(), fields.get("x-amz-signature", "").encode()):
            raise SignatureError("SignatureDoesNotMatch", "The form's policy is not the one that was signed.")
        policy = json.loads(base64.b64decode(encoded))
        if time.time() * 1000 > policy["expires"]:
            raise SignatureError("AccessDenied", "Invalid according to Policy: Policy expired.")
        for name, value in policy["fields"].items():
            if fields.get(name) != value:
                raise SignatureError("AccessDenied", f"Invalid according to Policy: the field {name} differs.")
        if policy["length"] is not None and size != policy["length"]:
            raise SignatureError("EntityWrongSize", "Your upload does not have the size that was announced.")
        return policy["fields"]["x-amz-meta-upload"]

    def _sign(self, method: str, path: str, content_type: str, expires: int) -> str:
        return self._hmac(f"{method}\n{path}\n{content_type}\n{expires}")

    def _hmac(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()
