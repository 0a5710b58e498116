import pytest

from tl_keras.modalities.text import tokens
from tl_keras.modalities.text.tokens import learn, vocabulary, wordpiece

GERMAN = [
    "Der Zug nach Köln fährt heute später ab.",
    "Die Straßenbahn fährt über die Brücke.",
    "Wir fahren mit dem Zug über München nach Köln.",
    "Können Sie mir sagen, wann der nächste Zug fährt?",
]
RUSSIAN = ["Поезд идёт в Москву.", "Мой поезд пришёл в Москву вчера.", "Йод и йогурт."]


def tokens_of(text, words):
    return [words.tokens[i] for i in tokens.encoder_of(words)(text)]


class TestLearn:
    def test_merges_the_most_frequent_pair_first(self):
        words = learn.learn(["low low low lower lowest"], 100)
        assert words.tokens[:5] == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
        merges = [token for token in words.tokens[5:] if len(token.removeprefix("##")) > 1]
        # `lo` and `ow` both occur 5 times; the pair that sorts first is merged.
        assert merges[:2] == ["##ow", "low"]

    def test_frequent_words_become_one_token(self):
        words = learn.learn(["the cat and the dog"] * 3, 100)
        assert tokens_of("The dog", words) == ["the", "dog"]

    def test_every_character_of_the_texts_can_be_encoded(self):
        words = learn.learn(GERMAN, 90)
        for text in GERMAN:
            assert "[UNK]" not in tokens_of(text, words)
        assert tokens_of("ü", words) == ["ü"]
        # A word of known characters is never unknown, wherever these were in the texts.
        assert "[UNK]" not in tokens_of("ßäöünm", words)

    def test_letters_that_differ_by_a_mark_stay_different(self):
        words = learn.learn(RUSSIAN, 200)
        split = wordpiece.normaliser(words.lowercase, words.strip_accents, words.split_chinese)
        assert split("Йод") == ["йод"]
        assert tokens_of("Поезд", words) == ["поезд"]

    def test_size_is_the_largest_number_of_tokens(self):
        assert learn.learn(GERMAN, 70).num_tokens == 70
        assert learn.learn(GERMAN, 5000).num_tokens < 300  # No pair occurs twice any more.

    def test_rarest_characters_are_left_out_if_there_are_too_many(self):
        many = ["".join(map(chr, range(0x400 + i, 0x440 + i))) for i in range(0, 64, 8)]
        words = learn.learn(["ab ab ab"] * 8 + many, 45)
        assert words.num_tokens <= 45
        assert tokens_of("ab", words) == ["ab"]
        singles = [token for token in words.tokens[5:] if len(token.removeprefix("##")) == 1]
        assert len(singles) == 30

    def test_the_order_of_the_texts_does_not_matter(self):
        assert learn.learn(GERMAN, 90) == learn.learn(GERMAN[::-1], 90)

    def test_is_read_again_as_it_was_written(self, tmp_path):
        words = learn.learn([*GERMAN, *RUSSIAN], 150)
        vocabulary.write(words, tmp_path / "vocabulary")
        again = vocabulary.read(str(tmp_path / "vocabulary"))
        assert again == words
        assert again.digest == words.digest

    def test_keeps_capitals_on_request(self, tmp_path):
        words = learn.learn(["Wir sehen Wir"] * 4, 100, lowercase=False)
        vocabulary.write(words, tmp_path)
        assert tokens_of("Wir", vocabulary.read(str(tmp_path))) == ["Wir"]

    def test_texts_without_words_are_refused(self):
        with pytest.raises(ValueError, match=r"^pretrain.vocabulary: the texts have no words"):
            learn.learn(["", "  \n", "\u200b"], 100)

    def test_words_that_are_too_long_are_left_out(self):
        words = learn.learn(["x" * (wordpiece.LONGEST_WORD + 1), "ab ab"], 100)
        assert not any("x" in token for token in words.tokens)


class TestReplaced:
    def test_from_left_to_right(self):
        assert learn.replaced(["##a", "##a", "##a"], ("##a", "##a"), "##aa") == ["##aa", "##a"]
