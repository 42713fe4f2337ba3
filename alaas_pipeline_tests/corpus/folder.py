"""The corpus in a folder, with what only a file system can hold.

`python -m alaas_pipeline_tests.corpus.folder FOLDER` writes it and prints what must become of each file.
"""

import os
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from alaas_pipeline_tests.corpus.broken import broken
from alaas_pipeline_tests.corpus.case import Case, quarters, saved
from alaas_pipeline_tests.corpus.usable import usable


@dataclass(frozen=True)
class Corpus:
    """What lies in the folder.

    Attributes:
        cases: files with a content of their own, by the path under which they are listed.
        unreadable: paths that cannot be read, with a word of the reason.
        copies: paths whose content stands under another path, too.
    """

    cases: dict[str, Case]
    unreadable: dict[str, str]
    copies: list[str]


def write(folder: Path) -> Corpus:
    """Write all files into a new folder."""
    cases = {case.name: case for case in [*usable(), *broken()]}
    for case in cases.values():
        path = folder / case.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(case.data)
    (folder / "links").mkdir()
    links = {
        "links/outside.jpg": ("/etc/hostname", "leaves the source"),
        "links/device.png": ("/dev/zero", "leaves the source"),
        "links/nothing.png": ("nowhere.png", "not there"),
        "links/self.png": ("self.png", "leads back to itself"),
        "links/there.png": ("back.png", "leads back to itself"),
        "links/back.png": ("there.png", "leads back to itself"),
        "links/up": ("..", "leads back to itself"),
        "links/names": ("../names", "link to a folder"),
    }
    for name, (target, _) in links.items():
        (folder / name).symlink_to(target)
    (folder / "links/again.png").symlink_to("../turned/1.png")
    os.link(folder / "turned/2.png", folder / "links/hard.png")
    os.mkfifo(folder / "links/pipe.png")
    undecodable = folder / "names" / os.fsdecode(b"caf\xe9.png")
    undecodable.write_bytes(saved(quarters(990), "PNG"))
    twin = folder / "names" / unicodedata.normalize("NFD", "café.png")
    twin.write_bytes(saved(quarters(991), "PNG"))
    unreadable = {name: why for name, (_, why) in links.items()}
    unreadable["links/pipe.png"] = "no regular file"
    unreadable |= {f"names/{shown}": why for shown, why in SHOWN_APART.items()}
    return Corpus(cases, unreadable, ["links/again.png", "links/hard.png"])


# How listings tell apart two names that cannot be shown as they are.
SHOWN_APART = {
    "caf\ufffd (#507c1cbe).png": "not valid UTF-8",
    "café (#e950a7fa).png": "differs from its neighbour only",
}


def main() -> None:
    """Write the corpus into the folder that is named on the command line."""
    folder = Path(sys.argv[1])
    found = write(folder)
    for name, case in sorted(found.cases.items()):
        what = f"refused: {case.refused}" if case.refused else f"{case.format}, {case.size[0]} x {case.size[1]}"
        print(f"{name!r}: {what}")
    for name, why in sorted(found.unreadable.items()):
        print(f"{name!r}: not read: {why}")
    print(f"{len(found.cases) + len(found.unreadable) + len(found.copies)} files")


if __name__ == "__main__":
    main()
