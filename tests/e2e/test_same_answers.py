"""One process and four ranks (two of the language model, two encoders) give the same text."""

import pytest

from helpers import answer, encoded, picture, question

QUESTIONS = {
    "text": lambda: question(text="Is there a cat or a dog?"),
    "small": lambda: question(encoded(picture(200, 150))),
    "slices": lambda: question(encoded(picture(1008, 672))),
    "wide": lambda: question(encoded(picture(1344, 336), "JPEG")),
    "two": lambda: question(encoded(picture(700, 500)), encoded(picture(500, 900, 3), "WEBP")),
}


@pytest.mark.parametrize("kind", QUESTIONS)
def test_same_answer(kind):
    messages = QUESTIONS[kind]()
    replies = [answer(messages, name=name, max_tokens=32, ignore_eos=True) for name in ("single", "mpi")]
    texts = [reply["choices"][0]["message"]["content"] for reply in replies]
    assert texts[0] == texts[1]
    assert replies[0]["usage"]["prompt_tokens"] == replies[1]["usage"]["prompt_tokens"]
    assert replies[0]["uhd"]["images"] == replies[1]["uhd"]["images"]
