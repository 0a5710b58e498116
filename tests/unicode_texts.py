"""Texts for tests of tokenisers: written by hand, and random ones of all of Unicode."""

import random

# A small vocabulary that is not English: cased, with accents, Chinese, Korean and Arabic.
FOREIGN = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] Über über Straße strasse ##ße Str ##a Ä ä é e a b ##b \u0301 "
    "##\u0301 crème cre ##me Ελλάδα ε ##λ ΣΑΣ σας σ ##ς 你 好 ##好 你好 日 本 한국 한 ##국 ㅎ ##ㅏ "
    "\u1112 ##\u1161 ##\u11ab مرحبا م ##ر שלום ש i İ ##i 🙂 ##🙂 ' \" - . , ! ? # ##, ¿ 。 「 」 "
    "\u0938 ##\u094d ##\u0928 ǆ Ǆ ﬁ fi \u02ec \u212b \u0328 ##\u1b44 ##\u302e ##\u0898 ##\u0315"
).split()
BY_HAND = (
    "",
    " \t\r\n\v\f\u0085\u00a0\u2003\u2028\u3000",
    "The film isn't half bad -- it's terrific!!! (8/10)",
    "[CLS] [SEP] [PAD] [UNK] [MASK] [unused1] ##ing <s> </s>",
    "naïve façade, crème brûlée; Ünïcödé ÅNGSTRÖM \u212b a\u0301\u0328b i\u0307 İstanbul ıI",
    "ΣΑΣ σας Σ; Ǆ ǅ ǆ ﬁ ﬀ ß ẞ \u1e9e Straße STRASSE",
    "你好，世界。日本語のテキスト「引用」한국어 텍스트 \u1112\u1161\u11ab",
    "\uf900\ufa10 \u9fff\ua000 \U00020000\U0002a700\U0002b820\U0002ceb0\U0002f800",
    "مرحبا بالعالم שָׁלוֹם עולם \u202eabc\u202c \u200fא\u200e हिन्दी क्षत्रिय ภาษาไทย བོད་ཡིག",
    "👍🏽👩\u200d👩\u200d👧\u200d👦🏳\ufe0f\u200d🌈🇩🇪 :-) ☺\ufe0f 🙂🙂 a🙂 ①②③ ½ ² ™ €",
    "a\0b\x01c\x1fd\x7fe\x9ff\ufffdg\ufeffh\u200bi\u00adj\ue000k\U000f0000l\U0010ffffm\ufdd0",
    "a\ud800b\udfffc \ud83d\ude00 \udc80",
    "x" * 100 + " " + "y" * 101 + " " + "é" * 100 + " " + "e\u0301" * 101,
    "`~!@#$%^&*()_+-={}[]|\\:\";'<>?,./¡¿«»§¶·–—…‘’“”•‰′″※‼\u2e2e\u3001\uff01\uff5e",
    "\u0301\u0301a \u0301 \u0315\u0300\u05aeb a\u0315\u0300\u05ae\u0300b",
    "a\u1b44\u302e a\u302e\u1b44 a\u302e\u0301\u1b44 \u0898\u1b44a \u0938\u0315\u094d\u0928",
    "http://example.org/~a?b=c&d=%20 user@example.org 1,234.56 3e-4 C++ #tag @user",
    "word\u00a0word\u2009word\u202fword\u205fword\u3000word\u1680word\u180eword\u2060word",
)
NOT_UTF8 = [
    *(b"caf\xc3", b"\xe4\xbd\xa0\xe4\xbd", b"a\xff\xfeb", b"\xc3A\xe2\x82B\xf0\x9f\x99C", b"\x80"),
    *(b"a\xed\xa0\x80b\x80", b"\xc0\xafa", b"\xf4\x90\x80\x80b", b"\xf8\x88\x80\x80\x80c"),
    *(b"\xe0\x80\x80d", b"\xed\xbf", b"\xf0\x80\x80\x80e"),
]
# Parts of Unicode in which characters are drawn alike: first and last character, and weight.
PLACES = (
    (0x20, 0x7E, 30),
    (0x00, 0xFF, 6),
    (0x100, 0x2FF, 6),
    (0x300, 0x36F, 6),  # combining marks
    (0x370, 0x52F, 4),
    (0x590, 0x7FF, 4),  # right-to-left
    (0x800, 0x10FF, 4),
    (0x1AB0, 0x1AFF, 2),
    (0x1D00, 0x2BFF, 6),  # extended Latin and Greek, spaces, controls of direction, symbols
    (0x3000, 0x9FFF, 6),
    (0xA000, 0xABFF, 2),
    (0xAC00, 0xD7A3, 3),
    (0xD800, 0xDFFF, 1),  # lone halves of surrogate pairs
    (0xF900, 0xFFFF, 4),
    (0x10000, 0x1FFFF, 4),
    (0x1F000, 0x1FAFF, 3),  # emoji
    (0x20000, 0x2FA1F, 2),
    (0, 0x10FFFF, 2),
)


def fuzzed(count: int, seed: int, tokens: tuple[str, ...]) -> list[str]:
    """Returns random texts of characters of all of Unicode and of tokens of a vocabulary."""
    generator = random.Random(seed)
    weights = [weight for *_, weight in PLACES]

    def part() -> str:
        kind = generator.random()
        if kind < 0.35:
            return generator.choice(tokens).removeprefix("##")
        if kind < 0.5:
            return generator.choice(" \t\n\u00a0,.'-!?#[]")
        first, last, _ = generator.choices(PLACES, weights)[0]
        return "".join(chr(generator.randint(first, last)) for _ in range(generator.randint(1, 4)))

    return [
        ("" if generator.random() < 0.3 else " ").join(
            part() for _ in range(generator.randint(0, 30))
        )
        for _ in range(count)
    ]


def long_lines(length: int = 1_000_000) -> list[str]:
    """Returns texts without a line break."""
    parts = ("the quick brown fox ", "x", "!?", "\u0301", "a\u1b44\u0301", "好")
    return [part * (length // len(part.encode())) for part in parts]


def valid(text: str) -> str:
    """Returns a text without lone halves of surrogate pairs, which `tokenizers` does not accept."""
    return "".join(c for c in text if not "\ud800" <= c <= "\udfff")
