"""A bucket of 100,000 objects: the memory of a listing does not grow with them."""

import resource
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from alaas_pipeline.sources import S3Source
from alaas_pipeline_tests.s3_servers import connect, long_listing, use

OBJECTS = 100_000


class Key(str):
    """The first key of a page, which can be watched."""

    __slots__ = ("__weakref__",)


class Pages:
    """A client that knows nothing but a long listing, which it makes page by page."""

    def __init__(self) -> None:
        self.held: weakref.WeakSet[Key] = weakref.WeakSet()
        self.most = 0

    def get_paginator(self, name: str) -> "Pages":
        assert name == "list_objects_v2"
        return self

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        for page in range(OBJECTS // 1000):
            first = Key(f"drive {page:05}/first.jpg")
            self.held.add(first)
            self.most = max(self.most, len(self.held))
            keys = [first, *(f"drive {page:05}/{row:05}.jpg" for row in range(999))]
            yield {"Contents": [{"Key": key, "Size": 1, "ETag": '"1"'} for key in keys]}


def test_no_more_than_two_pages_are_held() -> None:
    pages = Pages()
    assert sum(1 for _ in S3Source(pages, "bucket").list()) == OBJECTS
    assert pages.most <= 2


@pytest.mark.faults
def test_memory_does_not_grow_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with long_listing(OBJECTS // 1000) as endpoint:
        use(endpoint, monkeypatch)
        files = S3Source(connect(endpoint), "bucket").list()
        next(files)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert sum(1 for _ in files) == OBJECTS - 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 40 << 10  # kilobytes
