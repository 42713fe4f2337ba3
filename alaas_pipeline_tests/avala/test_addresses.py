"""Where requests may go: base URLs, storage links and every trick to lead them elsewhere."""

import pytest

from alaas_pipeline.avala.addresses import read_base_url, storage_refusal
from alaas_pipeline.errors import UserError
from alaas_pipeline_tests.avala.tricks import TRICKS

REAL = read_base_url("https://api.avala.ai/api/v1/")
SANDBOX = read_base_url("http://127.0.0.1:8123/api/v1", allow_insecure_loopback=True)


def test_a_base_url_loses_its_trailing_slashes() -> None:
    assert REAL.url == "https://api.avala.ai/api/v1"
    assert (REAL.origin.host, REAL.origin.port, REAL.path) == ("api.avala.ai", 443, "/api/v1")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_plain_http_needs_loopback_and_permission(host: str) -> None:
    url = f"http://{host}:9000/api/v1"
    assert read_base_url(url, allow_insecure_loopback=True).origin.loopback
    with pytest.raises(UserError, match="not encrypted"):
        read_base_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.avala.ai/api/v1",
        "http://0.0.0.0:80/api/v1",
        "http://localhost.evil.test/api/v1",
        "http://2130706433/api/v1",
        "ftp://api.avala.ai/",
        "api.avala.ai/api/v1",
        "https://user:secret@api.avala.ai/api/v1",
        "https://api.avala.ai/api/v1?key=1",
        "https://api.avala.ai/api/v1#top",
        "https://api.avala.ai/api/../v1",
        "https://api.avala.ai//api",
        "https://api.avala.ai/%2e%2e/v1",
        "https://api.avala.ai:99999/api/v1",
        "https:///api/v1",
        "https://api.avala.ai/a b",
        "https://api.avala.ai\\@evil.test/",
        "",
    ],
)
def test_other_base_urls_are_refused_without_repeating_a_password(url: str) -> None:
    with pytest.raises(UserError) as caught:
        read_base_url(url, allow_insecure_loopback=True)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://bucket.s3.amazonaws.com/a.jpg?X-Amz-Signature=1",
        "https://my.dotted-bucket.s3.eu-central-1.amazonaws.com/a",
        "https://s3.us-west-2.amazonaws.com/bucket/a",
        "https://s3-us-west-2.amazonaws.com/bucket/a",
        "https://bucket.s3.dualstack.us-east-1.amazonaws.com/a",
        "https://bucket.s3-accelerate.amazonaws.com/a",
        "https://bucket.s3.cn-north-1.amazonaws.com.cn/a",
        "https://storage.googleapis.com/bucket/a",
        "https://bucket.storage.googleapis.com/a",
        "https://account1.blob.core.windows.net/c/a",
        "https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com/b/a",
        "https://data.avala.ai/a",
        "https://storage.avala.ai/exports/1.zip",
        "https://api.avala.ai/elsewhere",
    ],
)
def test_storage_that_avala_uses_is_allowed(url: str) -> None:
    assert storage_refusal(url, REAL) is None


@pytest.mark.parametrize("address", [REAL, SANDBOX], ids=["real", "sandbox"])
@pytest.mark.parametrize("url", TRICKS)
def test_no_trick_leads_elsewhere(url: str, address: object) -> None:
    assert isinstance(address, type(REAL))
    assert storage_refusal(url, address) is not None


def test_loopback_storage_is_exactly_the_sandbox_itself() -> None:
    assert storage_refusal("http://127.0.0.1:8123/_storage/x?sig=1", SANDBOX) is None
    assert storage_refusal("http://127.0.0.1:8123/_storage/x?sig=1", REAL) is not None


@pytest.mark.parametrize(
    ("url", "below"),
    [
        ("https://api.avala.ai/api/v1/exports/1/download", True),
        ("https://API.avala.ai:443/api/v1/x", True),
        ("https://api.avala.ai/api/v1", False),
        ("https://api.avala.ai/api/v10/x", False),
        ("https://api.avala.ai/api/v1/../v2/x", False),
        ("https://api.avala.ai/api/v1/%2e%2e/x", False),
        ("https://api.avala.ai:8443/api/v1/x", False),
        ("http://api.avala.ai/api/v1/x", False),
        ("https://evil.test/api/v1/x", False),
        ("https://api.avala.ai@evil.test/api/v1/x", False),
    ],
)
def test_the_key_goes_below_the_base_url_only(url: str, below: bool) -> None:
    assert REAL.contains(url) is below
