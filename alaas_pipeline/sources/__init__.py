"""Where images come from: a local folder or a prefix of an S3 bucket.

Both kinds answer to the same two questions: which files are there (`Source.list`) and what is in one of
them (`Source.read`). Names are shown in Unicode's composed form (NFC), so that a pool filled on a Mac and the
same pool on Linux have the same paths. A file that cannot be read is listed with a reason, and reading it
raises `UnreadableFile` with that reason: it neither stops a batch nor vanishes.
"""

from alaas_pipeline.sources.base import Source, SourceFile, UnreadableFile, is_image_name, parse_source
from alaas_pipeline.sources.folder import FolderSource
from alaas_pipeline.sources.s3 import S3Source

__all__ = [
    "FolderSource",
    "S3Source",
    "Source",
    "SourceFile",
    "UnreadableFile",
    "is_image_name",
    "parse_source",
]
