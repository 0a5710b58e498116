"""Which files are texts, why others are refused, and what is wrong with texts that are kept."""

import hashlib
import pickle
import time

import pytest

from tl_keras.data import check_files
from tl_keras.modalities.text import check
from tl_keras.modalities.text.config import TextConfig

CROP = "A crêpe — très bonne, 3 €!"
SENTENCES = [f"sentence {i} of some twenty words says what " + 15 * "a word " for i in range(10)]


def checked(content: bytes, **settings) -> check.Checked:
    return check_files.check_content(content, TextConfig(**settings))


def test_a_text_is_kept_with_its_length_and_digest():
    content = CROP.encode()
    digest = hashlib.sha256(content).hexdigest()
    assert checked(content) == check.Checked(digest, len(CROP))
    with_mark = checked(b"\xef\xbb\xbf" + content)
    assert (with_mark.characters, with_mark.faults, with_mark.reason) == (len(CROP), "", "")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"\xef\xbb\xbf", "empty text"),
        (b" \r\n\t" + "\u3000\u00a0".encode(), "only whitespace"),
        ("\u2003\u200b\u202f\ufeff\x85".encode(), "only whitespace"),
        (
            "first\nsecond caf\xe9\n".encode("cp1252"),
            "not UTF-8: line 2 has the byte 0xE9, which is 'é' in Windows-1252; save the text as "
            "UTF-8",
        ),
        (b"\x01\x02\xfe\x03", "not UTF-8: line 1 has the byte 0xFE; save the text as UTF-8"),
        (
            CROP.encode()[:-3],
            "not UTF-8: line 1 has the byte 0xE2 at its end, within a character: the text was cut "
            "off",
        ),
        (CROP.encode("utf-16"), "UTF-16, by its byte-order mark: save the text as UTF-8"),
        (CROP.encode("utf-32"), "UTF-32, by its byte-order mark: save the text as UTF-8"),
        (CROP.encode("utf-16-be"), "UTF-16 without a byte-order mark: save the text as UTF-8"),
        (b"%PDF-1.7\n\xff", "not a plain text, but a PDF document"),
        (
            b"PK\x03\x04" + bytes(26) + b"word/document.xml",
            "not a plain text, but an Office document",
        ),
        (b"PK\x03\x04" + bytes(26) + b"a.txt", "a ZIP archive or an Office document"),
        (b"\xff\xd8\xff\xe0", "not a plain text, but a JPEG picture"),
        (b"{\\rtf1 text}", "a document in Rich Text Format"),
        (pickle.dumps(["a", "text"]), "not a plain text, but a Python pickle"),
        (b"a\0\0\1 b", "3 of 6 characters are NUL characters: probably not a text"),
        (b"a\1\2\3 b", "3 of 6 characters are control characters: probably not a text"),
    ],
)
def test_the_reason_names_what_is_wrong(content, reason):
    assert checked(content).reason.startswith(reason) or reason in checked(content).reason


def test_long_texts_are_refused():
    assert checked(b"12345", max_bytes=5).reason == ""
    assert checked(b"123456", max_bytes=5).reason == "6 bytes are over text.max_bytes, 5"
    assert check.bound(TextConfig(max_bytes=5)) == 5


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    file = tmp_path / "large.txt"
    with file.open("wb") as stream:
        stream.truncate(2_000_000)  # A sparse file: no bytes on disk.

    def content():
        raise AssertionError("the file was read")

    found = check.read(file, content, "digest", TextConfig(), looks=True)
    assert found == check.Checked("digest", reason="2000000 bytes are over text.max_bytes, 1000000")


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (CROP, ""),
        ("x < 3 and y > 4, R&D, a_b <3", ""),
        ("Ârvore, SÃO PAULO, Ça va, â la carte", ""),  # Capital letters as in Portuguese.
        ("Line\r\n\tindented\fpage", ""),
        ("one \x07 bell in a longer text", "control"),
        (CROP.encode().decode("cp1252"), "mojibake"),
        ("bÃ©art and berling", "mojibake"),
        ("donâ€™t", "mojibake"),
        ("привет".encode().decode("latin-1"), "mojibake"),
        ("中文字".encode().decode("latin-1"), "mojibake"),
        ("καλό".encode().decode("latin-1"), "mojibake"),
        ("«\u00a0Déjà\u00a0», “MAÇÃ”, Ðóra, é–è", ""),
        ("“quoted”".encode("cp1252").decode("latin-1"), "mojibake"),
        ("lost \ufffd letter", "replaced"),
        ("good<br />bad", "markup"),
        ("<p class='a'>Tom &amp; I", "markup"),
        ("one\ufefftwo", "mark"),
        ("\x07 <b>é</b> Ã©", "control mojibake markup"),
    ],
)
def test_faults_are_found(text, faults):
    assert checked(text.encode()).faults == faults
    assert checked(text.encode()).reason == ""


def test_warnings_count_and_name_the_texts():
    bad = {f"{i}.txt": check.Checked(faults="markup mojibake") for i in range(5)}
    texts = {
        "good.txt": check.Checked(),
        "refused.txt": check.Checked(faults="markup", reason="too long"),
        "mark.txt": check.Checked(faults="mark"),
        **bad,
    }
    mojibake, markup, mark = check.warnings(texts)
    assert mojibake.startswith("5 texts have wrongly decoded characters, such as 'Ã©' for 'é': ")
    assert markup.startswith("5 texts have HTML markup: '0.txt', '1.txt', '2.txt' and 2 more; the")
    assert mark.startswith("1 text has a byte-order mark inside the text: 'mark.txt'; several")
    assert check.warnings({"good.txt": check.Checked()}) == []


def test_hashes_are_made_on_request(tmp_path):
    (tmp_path / "a.txt").write_text(CROP, encoding="utf-8")
    assert check_files.check(tmp_path / "a.txt", TextConfig()).looks == ""
    assert check_files.check(tmp_path / "a.txt", TextConfig(), with_hashes=True).looks


def test_a_thousand_texts_take_less_than_a_second():
    contents = [text.encode() for text in 100 * SENTENCES]
    began = time.process_time()
    for content in contents:
        check.read(None, lambda content=content: content, "", TextConfig(), looks=True)
    assert time.process_time() - began < 1
