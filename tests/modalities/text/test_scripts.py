"""The script of a text, and guesses of its language."""

import pytest

from tl_keras.modalities.text import scripts


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Grüße aus Łódź, 123", "Latin"),
        ("Привет, мир", "Cyrillic"),
        ("Γειά σου Κόσμε", "Greek"),
        ("مرحبا بالعالم", "Arabic"),
        ("שלום עולם", "Hebrew"),
        ("नमस्ते दुनिया", "Devanagari"),
        ("สวัสดีชาวโลก", "Thai"),
        ("안녕하세요 세계", "Korean"),
        ("你好，世界", "Chinese"),
        ("日本語の文章です", "Japanese"),
        ("Das Wort 世界 heißt Welt", "Latin"),
        ("ｆｕｌｌ　ｗｉｄｔｈ", "Latin"),
        ("12 + 3 😀 !", scripts.NO_LETTERS),
        ("", scripts.NO_LETTERS),
    ],
)
def test_the_script_is_that_of_most_letters(text, script):
    assert scripts.script(text) == script


SENTENCES = {
    "English": (
        "I have not received my order and nobody answers the phone.",
        "The film is far too long, but the actors are good.",
        "When do you open on Sundays and where can I park the car?",
    ),
    "German": (
        "Ich habe das Gerät gestern bekommen und es funktioniert überhaupt nicht.",
        "Der Film war leider viel zu lang und die Handlung langweilig.",
    ),
    "French": (
        "Je n’ai pas reçu ma commande et le service ne répond pas.",
        "Le film est très long mais les acteurs sont bons.",
    ),
    "Spanish": (
        "No he recibido mi pedido y nadie contesta al teléfono.",
        "La película es muy larga pero los actores son buenos.",
    ),
    "Italian": (
        "Non ho ricevuto il mio ordine e nessuno risponde al telefono.",
        "Il film è molto lungo ma gli attori sono bravi.",
    ),
    "Portuguese": (
        "Não recebi a minha encomenda e ninguém atende o telefone.",
        "O filme é muito longo mas os atores são bons.",
    ),
    "Dutch": (
        "Ik heb mijn bestelling niet ontvangen en niemand neemt de telefoon op.",
        "De film is erg lang maar de acteurs zijn goed.",
    ),
    "": (
        "Jag har inte fått min beställning och ingen svarar i telefonen.",
        "Nie otrzymałem mojego zamówienia i nikt nie odbiera telefonu.",
        "Siparişimi almadım ve kimse telefona cevap vermiyor bugün.",
        "Jeg har ikke modtaget min ordre, og ingen tager telefonen.",
        "N’he rebut la comanda però ningú no respon al telèfon.",
        "no charm, no laughs, no fun, no reason to watch.",
        "great movie",
        "Это место мне очень понравилось и я приду снова.",
        "",
    ),
}


@pytest.mark.parametrize(
    ("text", "language"), [(text, name) for name, texts in SENTENCES.items() for text in texts]
)
def test_the_language_is_guessed_or_left_open(text, language):
    assert scripts.language(text) == language
