"""Byte tokens: 0 <unk>, 1 <s>, 2 </s>, 3 <image>, then one id a byte."""

BOS, EOS, IMAGE, FIRST_BYTE = 1, 2, 3, 4


def encode(text):
    return [FIRST_BYTE + b for b in text.encode()]


def decode(ids):
    return bytes(i - FIRST_BYTE for i in ids if FIRST_BYTE <= i < FIRST_BYTE + 256).decode(errors="replace")


def turn(question, first):
    """Ids of a user turn after the picture (first) or after an earlier answer."""
    return encode(("\n" if first else "") + question + "\n")
