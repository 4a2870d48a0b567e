"""What clients send in the tests' storms: pictures good and bad, requests, noise."""

import struct
import zlib

import paths  # noqa: F401
from helpers import encoded, picture, question


def new_picture(rng):
    """One that no other request has, so that it is encoded anew."""
    return encoded(picture(rng.randrange(200, 1000), rng.randrange(200, 1000), rng.random()))


def about(image, **fields):
    return {"messages": question(image, text="What is this?"), "temperature": 0, "max_tokens": 4, **fields}


def long_stream(rng, **fields):
    return {"messages": question(text=f"Go on from {rng.random()}."), "max_tokens": rng.randrange(200, 1500), "ignore_eos": True,
            "stream": True, **fields}


def png_claiming(width, height):
    """The header of a picture whose pixels are not there."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def mutated(rng, data, changes):
    out = bytearray(data)
    for _ in range(changes):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def hostile_image(rng):
    good = encoded(picture(rng.randrange(8, 500), rng.randrange(8, 500), rng.random()), rng.choice(["PNG", "JPEG", "WEBP"]))
    side = rng.choice([0, 1, 500, 60000, 2**31 - 1])
    return rng.choice([
        good[: rng.randrange(1, len(good))], mutated(rng, good, 8), mutated(rng, good, len(good) // 8 + 1),
        png_claiming(side, rng.choice([side, 1, 30000])), good[:16] + rng.randbytes(1000), rng.randbytes(100), b""])


def noise_like(rng, whole):
    """Noise, or this message with something wrong: cut short, changed, or with more behind it."""
    return rng.choice([
        rng.randbytes(rng.randrange(1, 1 << 16)), whole[: rng.randrange(len(whole))], mutated(rng, whole, rng.randint(1, 4)),
        whole + rng.randbytes(1000), b"\0" * 1000, b"\r\n" * 1000, b"GET / HTTP/1.1\r\n\r\n" * 20])
