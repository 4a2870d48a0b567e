"""The bundled model's tokens: 0 <unk>, 1 <s>, 2 </s>, 3 <image>, one id a byte, then the words of the questions.

A word of the questions is one token together with the space before it; everything else, answers above all, is written
byte by byte. In the published format that is byte-level BPE whose merges all begin at a space, so that encoding is a
walk down a tree.
"""

BOS, EOS, IMAGE, FIRST_BYTE = 1, 2, 3, 4
WORDS = """is the number word in row column many left right of above below are there you see total tax cash change name
city code room age date price count red green blue yellow purple circles squares triangles 1 2 3 4 5 6 written picture do""".split()
ALIGN = 8  # the vocabulary is shared by up to eight ranks


def spaced():
    """Every start of " word", shorter ones first: each is its parent and one more byte."""
    starts = {" " + word[:n] for word in WORDS for n in range(1, len(word) + 1)}
    return sorted(starts, key=lambda s: (len(s), s))


TOKENS = {s.encode(): FIRST_BYTE + 256 + i for i, s in enumerate(spaced())}
BYTES = {i: s for s, i in TOKENS.items()} | {FIRST_BYTE + b: bytes([b]) for b in range(256)}
VOCABULARY = -(-(FIRST_BYTE + 256 + len(TOKENS)) // ALIGN) * ALIGN


def encode(text):
    data, ids, at = text.encode(), [], 0
    while at < len(data):
        end = at + 1
        while data[at : end + 1] in TOKENS and end < len(data):
            end += 1
        ids.append(TOKENS.get(data[at:end], FIRST_BYTE + data[at]))
        at = end
    return ids


def decode(ids):
    return b"".join(BYTES.get(i, b"") for i in ids).decode(errors="replace")


def turn(question, first):
    """Ids of a user turn after the picture (first) or after an earlier answer."""
    return encode(("\n" if first else "") + question + "\n")
