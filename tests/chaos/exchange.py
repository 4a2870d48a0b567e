"""One request over a connection of its own, and how it ended."""

import asyncio
import contextlib
import dataclasses
import json

HANGING_S = 300  # no request takes so long, whatever the machine does beside it


@dataclasses.dataclass(frozen=True)
class Ending:
    """answered: `text` is whole. refused: an error with its status. failed: a stream that an error event ended. cut: it
    stopped without any of these. hung: it did not stop."""

    kind: str
    text: str = ""
    status: int = 0
    code: str = ""

    def __str__(self):
        return " ".join(str(part) for part in (self.kind, self.status or "", self.code) if part)


def request(body, *headers):
    """The bytes of a POST of this object, or of these bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Connection: close", "Content-Type: application/json",
            f"Content-Length: {len(content)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


@contextlib.asynccontextmanager
async def connection(port, **options):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def send_and_read(port, sent, came):
    """Everything the server says until it closes goes to `came`."""
    with contextlib.suppress(OSError):
        async with connection(port) as (reader, writer):
            writer.write(sent)
            while data := await reader.read(1 << 16):
                came += data


async def ask(port, body, *headers):
    """The Ending of one request."""
    came = bytearray()
    try:
        await asyncio.wait_for(send_and_read(port, request(body, *headers), came), HANGING_S)
    except asyncio.TimeoutError:
        return Ending("hung")
    return ending_of(bytes(came))


async def page(port, path):
    """The body of a GET; None where the server does not answer it with 200."""
    came = bytearray()
    sent = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(send_and_read(port, sent, came), 30)
    head, _, body = bytes(came).partition(b"\r\n\r\n")
    return body.decode() if head.startswith(b"HTTP/1.1 200 ") else None


def ending_of(came):
    head, complete, body = came.partition(b"\r\n\r\n")
    if not complete:
        return Ending("cut")
    lines = head.decode("latin-1").lower().split("\r\n")
    status = int(lines[0].split()[1])
    fields = dict(line.split(": ", 1) for line in lines[1:])
    streamed = fields.get("transfer-encoding") == "chunked"
    if streamed:
        body = joined_chunks(body)
    elif len(body) != int(fields["content-length"]):
        body = None
    if body is None:
        return Ending("cut", status=status)
    if status != 200:
        return Ending("refused", status=status, code=json.loads(body)["error"]["code"] if body else "")
    return ending_of_stream(body) if streamed else Ending("answered", json.loads(body)["choices"][0]["message"]["content"])


def joined_chunks(rest):
    """The body; None if it lacks its end."""
    body = b""
    while True:
        size, complete, rest = rest.partition(b"\r\n")
        length = int(size, 16) if complete else 0
        if not complete or len(rest) < length + 2:
            return None
        if length == 0:
            return body
        body += rest[:length]
        rest = rest[length + 2:]


def ending_of_stream(body):
    events = [event.removeprefix("data: ") for event in body.decode().split("\n\n") if event.startswith("data: ")]
    if not events or events[-1] != "[DONE]":
        return Ending("cut", status=200)
    chunks = [json.loads(event) for event in events[:-1]]
    for chunk in chunks:
        if "error" in chunk:
            return Ending("failed", code=chunk["error"]["code"])
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    if not any(choice.get("finish_reason") for choice in choices):
        return Ending("cut", status=200)
    return Ending("answered", "".join(choice["delta"].get("content") or "" for choice in choices))
