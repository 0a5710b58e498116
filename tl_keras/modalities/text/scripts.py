"""Finds the script of a text, and guesses its language. Imports neither NumPy nor TensorFlow."""

import functools
import re
import unicodedata
from collections import Counter

OF_SCRIPT, OF_LANGUAGE = 4000, 10_000  # characters at the start of a text that are read
# A text has the language with the most frequent words in the text, if all these bounds are reached.
FEWEST_WORDS = 6  # words of the text
FEWEST_FREQUENT = 2  # different frequent words of the language in the text
SMALLEST_SHARE = 0.15  # share of the words of the text that are frequent words of the language
LEAD = 2  # frequent words, as a multiple of those of the next language
NO_LETTERS = "no letters"
JAPANESE, CHINESE = "Japanese", "Chinese"
# Scripts by the first word of a character's name in Unicode, if this word is not the script itself.
NAMES = {
    "CJK": CHINESE,
    "HIRAGANA": JAPANESE,
    "KATAKANA": JAPANESE,
    "HALFWIDTH": JAPANESE,
    "FULLWIDTH": "Latin",
    "HANGUL": "Korean",
    "MICRO": "Greek",
    "MODIFIER": "",
    "MATHEMATICAL": "Latin",
    "FEMININE": "Latin",
    "MASCULINE": "Latin",
    "SCRIPT": "Latin",
    "DOUBLE-STRUCK": "Latin",
    "BLACK-LETTER": "Latin",
}
# Frequent words that few other languages share.
FREQUENT = {
    "English": (
        "the and of is that it was for with this are you have not but they his from at be "
        "what which there would has been their will when who more if can an your we all by "
        "were he she my i it's don't how just about i'm does do did where could should than "
        "then out some"
    ),
    "German": (
        "der die und das ist nicht ich sie es ein eine mit den dem auf für auch sich aber wie "
        "wir noch nur aus wenn bei nach wird war oder sind haben hat zu im vom zum zur sehr "
        "mich mir dass kann einen einem einer schon immer mein meine kein keine man wurde "
        "habe diese dieser"
    ),
    "French": (
        "le les et est des une que qui dans pour pas vous je il elle nous ce cette sur avec "
        "sont mais au aux du plus ne tout très c'est j'ai été être avoir mon ma mes votre ou "
        "où même fait comme bien sans ses leur ils peut n'est qu'il d'un d'une ces rien ont "
        "avait était"
    ),
    "Spanish": (
        "el los las y que es una por con para como pero su al lo más muy este esta está ya "
        "todo cuando hay ser son también yo mi sin sobre era fue tiene hasta desde nos ni "
        "porque qué esto ese esa donde ha han había bien puede nada así usted muy del unos "
        "ellos"
    ),
    "Italian": (
        "il gli che è di una per non con sono della del ma come anche più questo questa alla "
        "dei delle nel nella ho ha mi ti ci si essere molto stato perché quando solo cosa "
        "tutto sua suo le lo io abbiamo hanno era dal dalla degli loro nostro così ancora "
        "fatto bene senza e"
    ),
    "Portuguese": (
        "o os e que não um uma do da dos das em no na com por para é se mais como mas foi ao "
        "ele ela muito já também está eu você isso este esta pelo pela são tem ser quando seu "
        "sua minha meu ou à até sem nos bem tudo fazer só nem foram estava"
    ),
    "Dutch": (
        "de het een en van is dat niet ik je zijn op te met voor er maar aan die als bij ook "
        "naar wat deze dit nog wel heeft hebben geen kan ze mijn uit om dan wordt werd zo "
        "heel goed meer door over veel hij wij jullie worden moet kunnen mij was ben onze"
    ),
}
WORDS = {name: frozenset(words.split()) for name, words in FREQUENT.items()}


@functools.cache
def _script_of(character: str) -> str:
    """Returns the script of a letter, such as "Latin"; "" for other characters."""
    if not character.isalpha():
        return ""
    first = unicodedata.name(character, "").split(" ")[0]
    return NAMES.get(first, first.capitalize())


def script(text: str) -> str:
    """Returns the script of most letters of a text, such as "Latin"; `NO_LETTERS` without letters.

    Chinese characters in a text with Japanese letters count as Japanese.
    """
    letters = Counter(filter(None, map(_script_of, text[:OF_SCRIPT])))
    if not letters:
        return NO_LETTERS
    if letters[JAPANESE] > 0.05 * letters[CHINESE]:
        letters[JAPANESE] += letters.pop(CHINESE, 0)
    return max(sorted(letters), key=letters.__getitem__)


def language(text: str) -> str:
    """Guesses the language of a text by its frequent words; "" if the guess would be uncertain."""
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)*", text[:OF_LANGUAGE].casefold())
    if len(words) < FEWEST_WORDS:
        return ""
    words = [word.replace("’", "'") for word in words]
    # A word that is repeated counts once: "no" fills some English texts, and is Portuguese too.
    counts = {name: len(known.intersection(words)) for name, known in WORDS.items()}
    best, second = sorted(counts, key=counts.__getitem__, reverse=True)[:2]
    enough = counts[best] >= max(FEWEST_FREQUENT, LEAD * counts[second])
    share = sum(word in WORDS[best] for word in words) / len(words)
    return best if enough and share >= SMALLEST_SHARE else ""
