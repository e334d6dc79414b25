"""Recognition of files that cannot be read as images, by their first bytes."""

from __future__ import annotations

HEAD = 512
"""Number of bytes that recognition needs."""

_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_JPEG = "convert it to JPEG or PNG first"
_ARRAY = "read it with {}, scale it to 0..255, and pass it as uint8, RGB or grey"

# Offset, signature, name of the format, remedy.
_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (
        128,
        b"DICM",
        "a DICOM file",
        _ARRAY.format("pydicom's dcmread(FILE).pixel_array"),
    ),
    (0, b"\x93NUMPY", "a NumPy file", _ARRAY.format("numpy.load(FILE)")),
    (0, b"%!", "PostScript, which is a program and is not run", _JPEG),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript, which is a program and is not run", _JPEG),
    (0, b"%PDF", "a PDF document", _JPEG),
    (0, b"<svg", "an SVG drawing", _JPEG),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", _ARRAY.format("h5py")),
    (344, b"n+1\0", "a NIfTI file", _ARRAY.format("nibabel") + ", slice by slice"),
    (0, b"v/1\x01", "an OpenEXR file, of floats", "map it to 8 bits first"),
    (0, b"#?RADIANCE", "a Radiance HDR file, of floats", "map it to 8 bits first"),
    (0, b"\xff\x0a", "a JPEG XL file", _JPEG),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL file", _JPEG),
    (4, b"ftypqt  ", "a video", "take frames out of it first"),
    (4, b"ftypmp4", "a video", "take frames out of it first"),
    (4, b"ftypisom", "a video", "take frames out of it first"),
    (4, b"ftypcrx ", "a raw file of a camera", "develop it to JPEG or TIFF first"),
    (0, b"\x1f\x8b", "a gzip file", "unpack it first"),
    (0, b"PK\x03\x04", "a zip archive, as NumPy's npz are", "unpack it first"),
    (0, b"version https://git-lfs", "a pointer of Git LFS", "run git lfs pull"),
    (0, b"\0\x05\x16\x07", "macOS's companion of another file", "leave it out"),
    (0, b"<!doctype html", "a web page", "download the image itself"),
    (0, b"<html", "a web page", "download the image itself"),
)


def is_heic(head: bytes) -> bool:
    """Whether a file begins like HEIC or HEIF, the formats of iPhones."""
    if head[4:8] != b"ftyp":
        return False
    length = min(int.from_bytes(head[:4]), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))}
    is_avif = brands & {b"avif", b"avis"}
    return bool(brands & {*_HEIC, b"mif1", b"msf1"}) and not is_avif


def is_tiff(head: bytes) -> bool:
    """Whether a file begins like TIFF or BigTIFF."""
    # DICOM's first 128 bytes are free for the writer, and some put a TIFF header there.
    if head[128:132] == b"DICM":
        return False
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def recognize(head: bytes) -> str | None:
    """Names the format of a file that Pillow cannot read, with the remedy.

    Args:
        head: The first `HEAD` bytes of the file, or all of a shorter one.

    Returns:
        The end of the sentence "got FILE, which is ..."; None for an unknown format.
    """
    if not head:
        return "empty: copy or download it again"
    if is_heic(head):
        return (
            "HEIC: run pip install pillow-heif to have it read, or convert it to JPEG "
            "first (heif-convert FILE OUT.jpg; on macOS sips -s format jpeg)"
        )
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        return f"AVIF, which this build of Pillow cannot read: {_JPEG}"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<?xml") and b"<svg" in text:
        return f"an SVG drawing: {_JPEG}"
    for start, signature, name, remedy in _SIGNATURES:
        is_text = signature[:1] == b"<"
        if (text if is_text else head[start:]).startswith(signature):
            return f"{name}: {remedy}"
    return None
