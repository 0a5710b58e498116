"""Names the format of an unsupported file by its first bytes, and says what to do with the file."""

import re

CONVERT = "convert it to JPEG or PNG"
Known = tuple[tuple[bytes, str, str], ...]  # Pattern of the first bytes, name, advice.
# The first pattern that matches decides.
OF_TEXT: Known = (
    (
        rb"version https://git-lfs\.github\.com/",
        "a Git LFS pointer in place of the picture",
        "fetch the picture with git lfs pull",
    ),
    (
        rb"[./]*(\.git/annex|/annex/objects)",
        "a git-annex pointer in place of the picture",
        "fetch the picture with git annex get",
    ),
    (
        rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<(?i:svg)",
        "an SVG drawing",
        CONVERT,
    ),
    (
        rb"(\xef\xbb\xbf)?\s*<(?i:!doctype\s+html|html|head|body)",
        "a web page, probably left by a failed download",
        "download it again",
    ),
    (rb"(\xef\xbb\xbf)?\s*<\?xml", "an XML file", "remove it"),
    (rb"%!PS", "a PostScript drawing", CONVERT),
    (rb"%PDF", "a PDF", "save its pages as pictures"),
    (rb"P[123]\s+[#\d]", "a PNM picture", CONVERT),
    (rb"SIMPLE  =", "a FITS picture", CONVERT),
)
OF_BYTES: Known = (
    (rb".{4}ftyp(he[a-z0-9]{2}|mif1|msf1|miaf)", "a HEIC picture, as iPhones take", CONVERT),
    (rb".{4}ftyp(avif|avis)", "an AVIF picture", CONVERT),
    (rb".{4}ftypcrx ", "a raw camera picture (CR3)", CONVERT),
    (rb".{4}ftyp", "a video (MP4 or QuickTime)", "save its frames as pictures"),
    (rb"RIFF.{4}AVI ", "a video (AVI)", "save its frames as pictures"),
    (rb"RIFF.{4}WAVE", "a sound (WAV)", "remove it"),
    (
        rb"FLV\x01|\0\0\x01\xba|OggS",
        "a video or sound (FLV, MPEG or Ogg)",
        "save its frames as pictures",
    ),
    (rb"\x1aE\xdf\xa3", "a video (Matroska or WebM)", "save its frames as pictures"),
    (rb"ID3|\xff[\xfa\xfb\xf2\xf3]", "a sound (MP3)", "remove it"),
    (rb"FUJIFILMCCD-RAW|II(RO|RS|U\0)|MMOR|FOVb|\0MRM", "a raw camera picture", CONVERT),
    (rb"II\*\0.{4}CR", "a raw camera picture (CR2)", CONVERT),
    (rb"(II[*+]\0|MM\0[*+])", "a TIFF or raw camera picture", CONVERT),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "a JPEG 2000 picture", CONVERT),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture", CONVERT),
    (rb"8BPS", "a Photoshop picture", CONVERT),
    (rb"qoif", "a QOI picture", CONVERT),
    (rb"gimp xcf", "a GIMP picture", CONVERT),
    (rb"P[1-7]\s", "a PNM picture", CONVERT),
    (rb"\0\0\x01\0", "an icon (ICO)", CONVERT),
    (rb"v/1\x01", "an OpenEXR picture", CONVERT),
    (rb"#\?RADIANCE", "a Radiance HDR picture", CONVERT),
    (rb"DDS ", "a DirectDraw picture (DDS)", CONVERT),
    (rb".{128}DICM", "a DICOM picture", CONVERT),
    (rb"SIMPLE  =", "a FITS picture", CONVERT),
    (rb"\x93NUMPY", "a NumPy array", "save it as PNG"),
    (rb"\x89HDF\r\n", "an HDF5 file", "save its pictures as PNG"),
    (rb"SQLite format 3|PAR1", "a database file", "save its pictures as PNG"),
    (rb"%PDF", "a PDF", "save its pages as pictures"),
    (rb"\xd0\xcf\x11\xe0", "an Office document", "save its pictures as PNG"),
    (rb"PK\x03\x04", "a ZIP archive", "unpack it"),
    (rb"Rar!\x1a\x07|7z\xbc\xaf'\x1c|\x1f\x8b|BZh|\xfd7zXZ\0", "an archive", "unpack it"),
    (rb"\x28\xb5\x2f\xfd", "an archive (Zstandard)", "unpack it"),
    (rb".{257}ustar", "a TAR archive", "unpack it"),
    (rb"\x7fELF|MZ", "a program", "remove it"),
    (rb"\s*<(?i:!doctype\s+html|html|head|body)", "a web page followed by other data", "remove it"),
    (rb"\0+$", "a file that begins with zeros, probably an unfinished copy", "copy it again"),
)
LEAST_TEXT = 8  # bytes; shorter content is never called text


def named(start: bytes) -> str | None:
    """Returns a file's format and what the user should do: "a PDF: save its pages as pictures".

    Returns None if the format is unknown.

    Args:
      start: the first bytes of the file.
    """
    is_text = len(start) >= LEAST_TEXT and _is_text(start)
    for pattern, what, advice in OF_TEXT if is_text else OF_BYTES:
        if re.match(pattern, start, re.DOTALL):
            return f"{what}: {advice}"
    return "not an image but text" if is_text else None


def _is_text(start: bytes) -> bool:
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):  # The byte-order mark of UTF-16.
        return b"\0\0" not in start
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:  # Otherwise `start` ends within a character.
            return False
        text = start[: error.start].decode("utf-8")
    return all(c.isprintable() or c.isspace() for c in text)
