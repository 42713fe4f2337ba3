"""Where images come from: a local folder, a prefix of an S3 bucket or of another service, or a manifest that lists them.

All kinds answer to the same two questions: which files are there (`Source.list`) and what is in one of
them (`Source.read`). Names are shown in Unicode's composed form (NFC), so that a pool filled on a Mac and the
same pool on Linux have the same paths. A file that cannot be read is listed with a reason, and reading it
raises `UnreadableFile` with that reason: it neither stops a batch nor vanishes.
"""

from alaas_pipeline.sources.base import Source, SourceFile, UnreadableFile, is_image_name, parse_source
from alaas_pipeline.sources.folder import FolderSource
from alaas_pipeline.sources.listed import ManifestSource
from alaas_pipeline.sources.opening import open_source
from alaas_pipeline.sources.s3 import S3Source

__all__ = [
    "FolderSource",
    "ManifestSource",
    "S3Source",
    "Source",
    "SourceFile",
    "UnreadableFile",
    "is_image_name",
    "open_source",
    "parse_source",
]
