"""Reads the body of a form POST. The order of its parts matters to an object store, so it is kept."""

import re
from dataclasses import dataclass
from email.message import Message


@dataclass(frozen=True)
class Part:
    """One part of a form: its field name, its file name if it has one, and its bytes."""

    name: str
    file_name: str | None
    data: bytes


def read_form(content_type: str, body: bytes) -> list[Part]:
    """The parts of a ``multipart/form-data`` body, in order (RFC 7578).

    Raises:
        ValueError: if the body is something else, or cut short.
    """
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        raise ValueError("The body is not multipart/form-data.")
    delimiter = b"\r\n--" + boundary.encode("latin-1")
    pieces = (b"\r\n" + body).split(delimiter)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise ValueError("The form is empty or cut short.")
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> Part:
    head, found, data = piece.partition(b"\r\n\r\n")
    if not found:
        raise ValueError("A part of the form has no header.")
    match = re.search(rb"(?im)^content-disposition:\s*form-data\s*;(.*)$", head.replace(b"\r", b""))
    if match is None:
        raise ValueError("A part of the form has no name.")
    values = {
        key.lower(): value.replace('\\"', '"')
        for key, value in re.findall(r'([\w*]+)="((?:[^"\\]|\\.)*)"', match.group(1).decode("utf-8", "replace"))
    }
    if "name" not in values:
        raise ValueError("A part of the form has no name.")
    return Part(values["name"], values.get("filename"), data)
