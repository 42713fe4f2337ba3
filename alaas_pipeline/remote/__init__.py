"""Files that are not on this machine: objects of S3, and of every other service that fsspec knows.

Both kinds answer to the same calls (`Objects`). What ails one object is an `ObjectRefused`; what ails the service as a
whole, such as expired credentials, is a `UserError` that says what to do and repeats no address, key or signature.
"""

from alaas_pipeline.remote.objects import Found, ObjectRefused, Objects
from alaas_pipeline.remote.open import on_this_machine, open_objects, split_url

__all__ = ["Found", "ObjectRefused", "Objects", "on_this_machine", "open_objects", "split_url"]
