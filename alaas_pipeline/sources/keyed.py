"""Images among the objects of a service: S3, or any other."""

import unicodedata
from collections.abc import Iterator

from alaas_pipeline.errors import UserError
from alaas_pipeline.remote import Found, ObjectRefused, Objects
from alaas_pipeline.sources.base import Names, SourceFile, is_image_name, marked, unreadable, unsafe


class KeyedSource:
    """The objects below a prefix.

    Args:
        objects: where they are.
        name: the address, as messages call it.
        prefix: only keys that begin with it; empty, or ending in `/`.
    """

    def __init__(self, objects: Objects, name: str, prefix: str) -> None:
        self._objects = objects
        self._prefix = prefix
        self.name = name
        self._names = Names()

    def list(self) -> Iterator[SourceFile]:
        """Yield the objects as the service lists them. See `Source.list`.

        Keys that are not in NFC come last: only then is it known whether their path is free.
        """
        seen: set[str] = set()
        late: list[tuple[str, str, Found]] = []
        empty = True
        for found in self._objects.list(self._prefix):
            empty = False
            raw = found.key[len(self._prefix) :]
            if raw.endswith("/") or not raw or not is_image_name(raw) or _hidden(raw):
                continue
            path = unicodedata.normalize("NFC", raw)
            if path != raw:
                late.append((path, raw, found))
                continue
            if not raw.isascii():
                seen.add(path)
            yield self._listed(path, found, "name_unsafe" if unsafe(raw) else "")
        if empty and self._prefix:
            raise UserError(f"There is nothing at {self.name}; mend the pool's source or put images there.")
        for path, raw, found in late:
            refused = "name_clash" if path in seen else "name_unsafe" if unsafe(raw) else ""
            seen.add(path)
            if not refused:
                self._names.raw[path] = raw
            yield self._listed(marked(raw) if refused == "name_clash" else path, found, refused)
        self._names.complete = True

    def read(self, path: str, max_bytes: int, version: str = "") -> bytes:
        """Return the content of one object. See `Source.read`."""
        raw = self._names.raw.get(path, path)
        if path in self._names.refused or unsafe(raw):
            raise unreadable(self._names.refused.get(path, "name_unsafe"), path, self.name)
        try:
            return self._objects.read(self._prefix + raw, max_bytes, version)
        except ObjectRefused as error:
            if error.reason == "missing" and not path.isascii():
                self._names.complete_with(self)
                if path in self._names.refused or self._names.raw.get(path, path) != raw:
                    return self.read(path, max_bytes, version)
            raise unreadable(error.reason, path, self.name) from None

    def _listed(self, path: str, found: Found, refused: str) -> SourceFile:
        if refused:
            self._names.refused[path] = refused
        return SourceFile(path, found.bytes, found.version, refused)


def _hidden(path: str) -> bool:
    return any(part.startswith(".") and part != ".." for part in path.split("/"))
