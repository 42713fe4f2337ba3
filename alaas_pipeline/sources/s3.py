"""Images in a bucket of S3, or of anything that speaks its language."""

from typing import Any

from alaas_pipeline.remote.s3 import Bucket
from alaas_pipeline.sources.keyed import KeyedSource


class S3Source(KeyedSource):
    """The objects of one bucket below a prefix.

    Args:
        client: a boto3 S3 client, as from `dagster_aws.s3.S3Resource.get_client()`.
        bucket: the bucket's name.
        prefix: only keys that begin with it; a missing final `/` is added.
    """

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:
        prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        name = f"s3://{bucket}/{prefix}"
        super().__init__(Bucket(lambda: client, bucket, name), name, prefix)
