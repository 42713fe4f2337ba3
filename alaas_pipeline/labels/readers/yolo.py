"""YOLO: a ZIP with one text file an image, and the names of the classes in ``data.yaml`` or ``classes.txt``.

A line is the number of a class, then centre and size of a box, or the corners of a polygon, all as shares of the image
as shown. The files name neither their image nor its size: both are found among the images that were sent. An empty
file is pending, for it cannot say whether its image is empty or nobody has looked at it.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from alaas_pipeline.labels.annotation import Annotation
from alaas_pipeline.labels.frame import Frame, Size, Sizes
from alaas_pipeline.labels.geometry import bounds
from alaas_pipeline.labels.readers.checks import assemble, length, number, refuse_copies, usable_key, usable_label
from alaas_pipeline.labels.records import BadRecordError, LabelRecord, Sorting

_NUMBER = re.compile(r"[+-]?(?:\d{1,20}\.?\d{0,40}|\.\d{1,40})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_LONGEST_NAMES = 1 << 18
# The parser's time grows with the square of the depth.
_DEEPEST_NAMES = 8
# In an archive without a folder "labels" these are lists and words, not labels.
_NO_LABELS = {"classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt", "readme.txt"}


def recognises(entries: Mapping[str, bytes]) -> bool:
    """Whether the text entries of an archive have this layout."""
    return bool(_name_files(entries)) and bool(_label_files(entries))


def read(entries: Mapping[str, bytes], sizes: Sizes | None) -> tuple[Sorting, list[str] | None]:
    """Check each label file by itself; return them sorted, and the names of the classes.

    Raises:
        ValueError: if the names of the classes cannot be told.
    """
    names = _names(entries)
    stems = _stems(sizes or {})
    files = _label_files(entries)
    keys = Counter(key for name in files for key in _candidates(name, stems))
    sorting = Sorting()
    for name, content in files.items():
        candidates = _candidates(name, stems)
        sorting.take(
            {"file": name, "text": content[:1_000].decode(errors="replace")},
            candidates[0] if len(candidates) == 1 else None,
            lambda content=content, candidates=candidates: _read_file(content, candidates, keys, names, sizes or {}),
        )
    return sorting, sorted(set(names.values()))


def _label_files(entries: Mapping[str, bytes]) -> dict[str, bytes]:
    texts = {name: content for name, content in entries.items() if name.lower().endswith(".txt")}
    below = {name: content for name, content in texts.items() if "labels" in name.split("/")[:-1]}
    return below or {
        name: content for name, content in texts.items() if name.rsplit("/", 1)[-1].lower() not in _NO_LABELS
    }


def _name_files(entries: Mapping[str, bytes]) -> list[str]:
    return [name for name in entries if name.rsplit("/", 1)[-1] in ("data.yaml", "data.yml", "classes.txt")]


def _names(entries: Mapping[str, bytes]) -> dict[int, str]:
    """The label of each class number, on which all files that tell it must agree."""
    told: list[dict[int, str]] = []
    for file in _name_files(entries):
        content = entries[file]
        if len(content) > _LONGEST_NAMES:
            raise ValueError(f"has a {file[:80]!r} too long to be names of classes")
        try:
            text = content.decode("utf-8-sig")
            listed = text.splitlines() if file.endswith(".txt") else _yaml_names(text)
            told.append({number_of: usable_label(name) for number_of, name in _numbered(listed).items()})
        except (UnicodeDecodeError, yaml.YAMLError, BadRecordError) as error:
            kind = type(error).__name__
            raise ValueError(f"tells no names of classes in {file[:80]!r} ({kind})") from None
    if any(names != told[0] for names in told):
        raise ValueError("tells names of classes in several files that disagree")
    return told[0]


def _yaml_names(text: str) -> Any:
    document = yaml.load(text, Loader=_Plain)  # noqa: S506 (a SafeLoader)
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, list | dict) and document.get("nc", len(names)) != len(names):
        raise BadRecordError("nc is not the number of names")
    return names


def _numbered(names: Any) -> dict[int, Any]:
    if isinstance(names, dict) and all(type(one) is int and one >= 0 for one in names):
        return names
    if isinstance(names, Sequence) and not isinstance(names, str):
        return dict(enumerate(names))
    raise BadRecordError("names are neither a list nor numbered")


class _Plain(yaml.SafeLoader):
    """YAML without references, which can grow a line into gigabytes, and without a key that stands twice."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent) or self.depth > _DEEPEST_NAMES:
            raise yaml.YAMLError("it has a reference or nests too deeply")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = super().construct_mapping(node, deep=True)
        if len(found) != len(node.value):
            raise yaml.YAMLError("a key stands twice")
        return found


def _stems(sizes: Sizes) -> dict[str, list[str]]:
    """Keys by their path without ending, and by their file name without ending."""
    stems: dict[str, list[str]] = {}
    for key in sizes:
        folder, _, file = key.rpartition("/")
        stem = file.rpartition(".")[0] or file
        for name in {stem, f"{folder}/{stem}" if folder else stem}:
            stems.setdefault(name, []).append(key)
    return stems


def _candidates(file: str, stems: Mapping[str, list[str]]) -> list[str]:
    """The images that a label file may be of, by the longest end of its path that fits any."""
    parts = file[: -len(".txt")].split("/")
    for start in range(len(parts)):
        if found := stems.get("/".join(parts[start:])):
            return found
    return []


def _read_file(
    content: bytes, candidates: list[str], keys: Counter[str], names: Mapping[int, str], sizes: Sizes
) -> LabelRecord:
    if len(candidates) != 1:
        found = "no image" if not candidates else f"{len(candidates)} images"
        raise BadRecordError(f"{found} of its name is among the images that are known, so what it is of is open")
    key = usable_key(candidates[0])
    refuse_copies(key, keys)
    size = sizes[key].shown
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise BadRecordError("it is no text in UTF-8") from None
    found = [(_read_line(line, names, size), line) for line in lines if line.strip()]
    return assemble(key, "labelled" if found else "pending", found, Frame(size))


def _read_line(line: str, names: Mapping[int, str], size: Size) -> Annotation:
    first, *rest = line.split()
    if not re.fullmatch(r"\d{1,9}", first, re.ASCII) or int(first) not in names:
        raise BadRecordError(f"a line's class {first[:40]!r} is unknown")
    if not all(_NUMBER.fullmatch(one) for one in rest):
        raise BadRecordError("a line holds something that is no number")
    label = names[int(first)]
    # Sides of the image in turn: across, down, across, down.
    pixels = [number(float(one) * size[place % 2], "share") for place, one in enumerate(rest)]
    if len(pixels) == 4:
        width, height = length(pixels[2], "width"), length(pixels[3], "height")
        return Annotation(label, "bounding_box", (pixels[0] - width / 2, pixels[1] - height / 2, width, height))
    if len(pixels) < 6 or len(pixels) % 2:
        raise BadRecordError(f"a line has {len(pixels)} numbers, which is neither a box nor a polygon")
    polygon = tuple(zip(pixels[::2], pixels[1::2], strict=True))
    return Annotation(label, "polygon", bounds(polygon), polygon)
