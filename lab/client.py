"""Asks a server with the OpenAI chat completions interface about pictures."""

import base64
import io
import json
import urllib.request

MAGIC = ((b"\x89PNG", "png"), (b"\xff\xd8", "jpeg"), (b"RIFF", "webp"))


def file_of(image):
    """A PIL picture as the bytes of a PNG file."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


class Server:
    def __init__(self, url, name=None, key="none", limit_s=600):
        self.url, self.key, self.limit_s = url.rstrip("/"), key, limit_s
        self.name = name or self.call("/v1/models")["data"][0]["id"]

    def call(self, path, body=None):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(self.url + path, body and json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=self.limit_s) as reply:
            return json.load(reply)

    def ask(self, file, question, max_tokens=32, before=()):
        """The greedy answer to a question about one picture, given as the bytes of its file; and what was counted.
        before: questions and answers of the same conversation."""
        kind = next((k for magic, k in MAGIC if file.startswith(magic)), "png")
        picture = {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64," + base64.b64encode(file).decode()}}
        messages = []
        for asked, answer in (*before, (question, None)):
            messages.append({"role": "user", "content": asked})
            if answer is not None:
                messages.append({"role": "assistant", "content": answer})
        messages[0]["content"] = [picture, {"type": "text", "text": messages[0]["content"]}]
        body = {"model": self.name, "messages": messages, "temperature": 0, "max_tokens": max_tokens}
        reply = self.call("/v1/chat/completions", body)
        return reply["choices"][0]["message"]["content"].strip(), reply.get("usage", {})

    def __call__(self, image, questions):
        """Answers to the questions, each asked alone about a PIL picture."""
        file = file_of(image)
        return [self.ask(file, question)[0] for question in questions]

    def talk(self, image, questions):
        """Answers to the questions, asked one after the other in one conversation about a PIL picture."""
        file, so_far = file_of(image), []
        for question in questions:
            so_far.append((question, self.ask(file, question, before=so_far)[0]))
        return [answer for _, answer in so_far]
