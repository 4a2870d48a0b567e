"""A program that speaks the control protocol to a leader, with or without its secret."""

import hashlib
import hmac
import os
import socket
import struct

CHALLENGE, HELLO, WELCOME, REFUSED, LINK_HELLO = 1, 2, 3, 4, 5
PROTOCOL = 4


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def frame(kind, payload):
    header = struct.pack("<IHHI", 0x44485546, 1, kind, len(payload))
    return header + struct.pack("<I", crc32c(header + payload)) + payload


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<I", len(data)) + data


class Intruder:
    """One connection; `nonce` is the leader's challenge."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        kind, payload = self.read()
        assert kind == CHALLENGE
        self.nonce = payload[8:40]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def read(self):
        """The next frame's type and payload; nothing when the leader has closed."""
        data = b""
        while len(data) < 16 or len(data) < 16 + struct.unpack("<I", data[8:12])[0]:
            more = self.socket.recv(65536)
            if not more:
                return None, data
            data += more
        return struct.unpack("<H", data[6:8])[0], data[16:]

    def hello(self, facts, secret=None, mac=b""):
        """Says Hello with a proof made from the secret, or with the given one; the leader's answer."""
        listed = struct.pack("<I", len(facts)) + b"".join(text(name) + text(value) for name, value in facts)
        body = struct.pack("<I", PROTOCOL) + listed + text("cpu") + text("here") + struct.pack("<Ii", 16, -1) + text("") + text(os.urandom(32))
        if secret is not None:
            mac = hmac.new(secret.encode(), b"uhd encoder" + self.nonce + frame(HELLO, body + text("")), hashlib.sha256).digest()
        self.socket.sendall(frame(HELLO, body + text(mac)))
        kind, payload = self.read()
        return kind, payload[4:].decode() if kind == REFUSED else payload

    def guess_link(self):
        self.socket.sendall(frame(LINK_HELLO, struct.pack("<I", 1) + text(os.urandom(32))))
        return self.read()
