import pytest

from alaas_pipeline.sandbox.multipart import read_form


def test_order_names_and_bytes_are_kept() -> None:
    body = (
        b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b'--X\r\nContent-Type: image/png\r\ncontent-disposition: form-data; filename="f \\"1\\".png"; name="file"\r\n'
        b"\r\n\r\n--Y\r\n\x00\xff\r\n\r\n--X--\r\n"
    )
    parts = read_form('multipart/form-data; boundary="X"', body)
    assert [(part.name, part.file_name) for part in parts] == [("a", None), ("file", 'f "1".png')]
    assert parts[1].data == b"\r\n--Y\r\n\x00\xff\r\n"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"--X--"),
        ("multipart/form-data; boundary=X", b""),
        ("multipart/form-data; boundary=X", b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\n1'),
        ("multipart/form-data; boundary=X", b"--X\r\nContent-Disposition: form-data\r\n\r\n1\r\n--X--"),
        ("multipart/form-data; boundary=X", b"--X\r\nno header\r\n--X--"),
    ],
)
def test_what_is_no_form_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(ValueError, match="form"):
        read_form(content_type, body)
