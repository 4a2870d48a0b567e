"""An encoder that knows the secret and lies. It is an honest one behind a relay, which puts other messages of the control
protocol (cluster/encoders/messages.h, cluster/frame.h) in the place of its own."""

import asyncio
import contextlib
import struct

MAGIC, VERSION = 0x44485546, 1
ENCODED, FAILED, HEARTBEAT, ROWS = 17, 18, 22, 33
HEADER = struct.Struct("<IHHII")
ENCODED_FIELDS = struct.Struct("<QIIB")  # job, rows, width, type; then times
ROWS_FIELDS = struct.Struct("<QIIB")  # job, rows, width, type; then the numbers
TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def frame(kind, payload):
    head = struct.pack("<IHHI", MAGIC, VERSION, kind, len(payload))
    return head + struct.pack("<I", crc32c(head + payload)) + payload


def encoded(job=0, rows=0, width=0, kind=0):
    """A change of what an encoder says of the rows it has: what is added to each field."""

    def lie(payload):
        fields = ENCODED_FIELDS.unpack_from(payload)
        changed = ENCODED_FIELDS.pack(fields[0] + job, fields[1] + rows, fields[2] + width, fields[3] ^ kind)
        return frame(ENCODED, changed + payload[ENCODED_FIELDS.size:])

    return lie


def rows_of(number):
    """Rows of the agreed shape that hold this number alone."""

    def lie(payload):
        numbers = payload[ROWS_FIELDS.size:]
        return frame(ROWS, payload[:ROWS_FIELDS.size] + struct.pack("<f", number) * (len(numbers) // 4))

    return lie


def of_another_job(payload):
    job, *rest = ROWS_FIELDS.unpack_from(payload)
    return frame(ROWS, ROWS_FIELDS.pack(job + 5, *rest) + payload[ROWS_FIELDS.size:])


def damaged(payload):
    whole = bytearray(frame(ROWS, payload))
    whole[-1] ^= 1
    return bytes(whole)


def failing(payload):
    reason = b"\x1b[31mno\nuhd: a forged line"
    return frame(FAILED, payload[:8] + struct.pack("<I", len(reason)) + reason)


# Which message is replaced, and by what. None of them is to be believed, so that no answer may change.
LIES = {
    "rows that are no numbers": (ROWS, rows_of(float("nan"))),
    "rows that are infinite": (ROWS, rows_of(float("inf"))),
    "rows of another job": (ROWS, of_another_job),
    "rows that are damaged": (ROWS, damaged),
    "rows that are too few": (ROWS, lambda payload: frame(ROWS, payload[:-1024])),
    "rows that are too many": (ROWS, lambda payload: frame(ROWS, payload + bytes(1024))),
    "rows that are noise": (ROWS, lambda payload: bytes(range(256)) * 64),
    "rows that never come": (ROWS, lambda payload: b""),
    "rows that end midway": (ROWS, lambda payload: None),
    "another shape": (ENCODED, encoded(rows=1)),
    "another width": (ENCODED, encoded(width=256)),
    "another type": (ENCODED, encoded(kind=1)),
    "a job of nobody": (ENCODED, encoded(job=1 << 40)),
    "a job twice": (ENCODED, lambda payload: frame(ENCODED, payload) * 2),
    "nothing": (ENCODED, lambda payload: b""),
    "failure, always": (ENCODED, failing),
    "a flood": (ENCODED, lambda payload: frame(HEARTBEAT, struct.pack("<I", 7)) * 5000 + frame(ENCODED, payload)),
}


class Relay:
    """Listens where an encoder believes its leader to be; `told` counts the lies."""

    def __init__(self, leader_port, lie):
        self.leader_port = leader_port
        self.kind, self.change = LIES[lie]
        self.told = 0
        self.tasks = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        other = None
        try:
            leader, other = await asyncio.open_connection("127.0.0.1", self.leader_port)
            ways = [asyncio.ensure_future(way) for way in (self.pass_on(leader, writer), self.lie_to(reader, other))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, other):
                if end is not None:
                    end.transport.abort()

    async def pass_on(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()

    async def lie_to(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(HEADER.size)
                _, _, kind, length, _ = HEADER.unpack(head)
                payload = await reader.readexactly(length)
                lie = self.change(payload) if kind == self.kind else head + payload
                self.told += kind == self.kind
                if lie is None:
                    writer.write((head + payload)[: length // 2])
                    await writer.drain()
                    return
                writer.write(lie)
                await writer.drain()
