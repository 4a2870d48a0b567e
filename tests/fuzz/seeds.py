"""Writes the fuzz targets' seeds, from the files and sources of the other tests: seeds.py SOURCE_TREE FOLDER."""
import base64
import io
import json
import pathlib
import re
import shutil
import struct
import sys
import zipfile

root, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
models = sorted(p for p in (root / "tests/goldens/models").iterdir() if p.is_dir())
counts = {}
MAGIC = 0x44485546  # of cluster/frame.cc


def seed(target, content):
    folder = out / target
    folder.mkdir(parents=True, exist_ok=True)
    counts[target] = counts.get(target, -1) + 1
    (folder / f"{counts[target]:03}").write_bytes(content if isinstance(content, bytes) else content.encode())


def api_keys():
    seed("api_keys", "key-one\n")
    seed("api_keys", "# keys\n\nkey-one quota=30\n  key-two\t quota=0.5\r\nkey-three\n")


PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC")


def data_url():
    for text in (base64.b64encode(PNG), base64.urlsafe_b64encode(PNG).rstrip(b"="),
                 base64.b64encode(PNG).replace(b"+", b"%2B"), base64.encodebytes(PNG)):
        seed("data_url", b"data:image/png;base64," + text)
    seed("data_url", b" DATA:;name=a;BASE64," + base64.b64encode(PNG) + b"#part")


def text(value):
    return struct.pack("<I", len(value)) + value


def crc32c(content):
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def frame():
    """The messages as cluster/encoders/messages.cc reads them."""
    secret = text(bytes(range(32)))
    hello = (struct.pack("<I", 3) + struct.pack("<I", 1) + text(b"model") + text(b"one") + text(b"cpu") + text(b"host")
             + struct.pack("<Ii", 2, -1) + text(b"") + secret + secret)
    messages = {
        1: struct.pack("<I", 3) + secret,
        2: hello,
        3: struct.pack("<IB", 1, 0) + secret + text(b"") + struct.pack("<dd", 1, 5) + secret,
        4: text(b"no"),
        5: struct.pack("<I", 1) + secret,
        6: b"",
        16: struct.pack("<QQQIII", 9, 1, 2, 2, 1, 1000) + text(b"abcdef"),
        17: struct.pack("<QIIBf", 9, 64, 128, 0, 0.5),
        18: struct.pack("<Q", 9) + text(b"no"),
        19: struct.pack("<Q", 9),
        20: struct.pack("<Q", 9),
        21: struct.pack("<Q", 9),
        22: struct.pack("<I", 4),
    }
    for kind, payload in messages.items():
        seed("frame", bytes([kind]) + payload)
        head = struct.pack("<IHHI", MAGIC, 1, kind, len(payload))
        seed("frame", b"\0" + head + struct.pack("<I", crc32c(head + payload)) + payload)
    seed("frame", bytes([32]) + bytes(256))


def http():
    seed("http", "GET /v1/models HTTP/1.1\r\nHost: localhost:8080\r\n\r\n")
    seed("http", "POST http://127.0.0.1:8080//v1/v1/chat/completions/?a=b HTTP/1.1\r\nHost: evil\r\n"
                 "Origin: http://evil\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
    seed("http", "POST /%76%31/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n")
    seed("http", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    seed("http", "OPTIONS * HTTP/1.0\r\nOrigin: null\r\nAccess-Control-Request-Method: POST\r\n\r\n")


# Lossy, lossless, lossy with alpha, animated, with EXIF.
WEBPS = (
    "UklGRkgAAABXRUJQVlA4IDwAAADQAQCdASoJAAYAAsBMJbACdAD0Oh7G8AD+9LgCrexH44d5Ng9n1UizmLs+rH+/z5E7+Jx4IPqGxJAAAAA=",
    "UklGRjgAAABXRUJQVlA4TCwAAAAvCEABELkyRPQ/duWP6H9AQds2TOCUP8e3IRgOBWkbsLDdmbIJAAkrh7M/AA==",
    ("UklGRmYAAABXRUJQVlA4WAoAAAAQAAAACAAABQAAQUxQSAoAAAABB1CyiAhERP8DVlA4IDYAAADQAQCdASoJAAYABABoJbACdAD0MZ20AAD+"
     "7OCrr4FlSFEdpX7vZQcs99Nt+SLX0In3+HbCAAA="),
    ("UklGRgABAABXRUJQVlA4WAoAAAACAAAACAAABQAAQU5JTQYAAAAAAAAAAABBTk1GZAAAAAAAAAAAAAgAAAUAAAAAAAJWUDggTAAAAFABAJ0B"
     "KgkABgAEAGglsAAFjAAA/t3d/Tf9D/+U2P/Lnxdv/8pS/3xV/03X43X5BURKiG4HrJs/7i9PMptja9z+ixX1a4NuQdFAAABBTk1GaAAAAAAA"
     "AAAAAAgAAAUAAAAAAABWUDggUAAAAFQBAJ0BKgkABgAAAGglkAAEdAAA/vBc//5Eudz4X84R/cf/9iOEf5pf/n/aC67le/k7Et3NRb/JuBeG"
     "WefybgX9KProvBBwnur415xloAAA"),
    ("UklGRnYAAABXRUJQVlA4WAoAAAAIAAAACAAABQAAVlA4IDYAAADQAQCdASoJAAYABABoJbACdAD0MZ20AAD+7OCrr4FlSFEdpX9xenmU2xtY"
     "/UgL7PcmnQxM4ABFWElGGgAAAElJKgAIAAAAAQASAQMAAQAAAAYAAAAAAAAA"),
)


def image():
    for path in sorted((root / "tests/goldens/preprocess/images").iterdir()):
        if path.stat().st_size < 20_000:
            seed("image", path.read_bytes())
    seed("image", PNG)
    for file in WEBPS:
        seed("image", base64.b64decode(file))


def image_answer():
    for head in ("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(PNG), "HTTP/1.0 200 OK\r\n\r\n"):
        for piece in (b"\0", b"\xff"):
            seed("image_answer", piece + head.encode() + PNG)
    seed("image_answer", b"\0HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    seed("image_answer", b"\x20HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%s\r\n0\r\nX: y\r\n\r\n" % (len(PNG), PNG))


def tokens_of(model):
    """The tokens that a config needs, by their text."""
    ids = {}
    path = model / "tokenizer.json"
    if path.exists():
        tokenizer = json.loads(path.read_text())
        ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
        for text in ("Ċ", "ĊĊ", "<0x0A>", "\n"):
            if text in tokenizer["model"]["vocab"]:
                ids[text] = tokenizer["model"]["vocab"][text]
    return json.dumps(ids, ensure_ascii=False)


def model_config():
    for model in models + [root / "models/nano-uhd"]:
        if not (model / "config.json").exists():
            continue
        parts = [(model / name).read_text() if (model / name).exists() else ""
                 for name in ("config.json", "preprocessor_config.json", "generation_config.json")]
        seed("model_config", "\0".join(parts + [tokens_of(model)]))


def packed_cache():
    """How the true file is changed: its length (0: as it is), then places and values."""
    seed("packed_cache", b"")
    seed("packed_cache", struct.pack("<HHB", 0, 5000, 7))
    seed("packed_cache", struct.pack("<HHB", 8192, 8191, 7))


def tensor_pickle():
    """The pickle of {"w": tensor of 2x2} as PyTorch writes it."""
    def word(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()
    storage = b"(" + word("storage") + b"ctorch\nFloatStorage\n" + word("0") + word("cpu") + b"K\x04tQ"
    tensor = (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00K\x02K\x02\x86K\x02K\x01\x86\x89"
              b"ccollections\nOrderedDict\n)RtR")
    return b"\x80\x02}q\x00(" + word("w") + tensor + b"u."


def archive(pickle):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as entries:
        for name, content in (("data.pkl", pickle), ("byteorder", b"little"), ("data/0", bytes(16)), ("version", b"3\n")):
            entries.writestr(zipfile.ZipInfo("archive/" + name), content)
    return file.getvalue()


def pickle():
    seed("pickle", tensor_pickle())
    for path in sorted((root / "tests/goldens/models/llava15-tiny-bin").glob("*.bin")):
        with zipfile.ZipFile(path) as entries:
            seed("pickle", entries.read(next(n for n in entries.namelist() if n.endswith("data.pkl"))))


def torch_archive():
    seed("torch_archive", archive(tensor_pickle()))


def remote_url():
    for url in ("http://example.org/a.png?b=c#d", "https://[2001:db8::1]:8443/%20", "HTTP://1.2.3.4", "http://user@host:80/"):
        seed("remote_url", "example.org, 1.2.3.4:81\0" + url)


def request():
    """Every JSON object in the sources of the tests of the API, for each endpoint that its fields speak of."""
    bodies = set()
    for path in sorted((root / "tests/net").glob("*_test.cc")):
        for literal in re.findall(r'R"\((.*?)\)"', path.read_text(), re.S):
            try:
                value = json.loads(literal)
            except ValueError:
                continue
            if isinstance(value, dict):
                bodies.add(literal)
    image = "data:image/png;base64," + base64.b64encode(PNG).decode()
    part = {"type": "image_url", "image_url": {"url": image, "detail": "high", "max_slices": 3}}
    chat = {"model": "fake", "messages": [{"role": "system", "content": "s"},
                                          {"role": "user", "content": [part, {"type": "text", "text": "a"}]}]}
    function = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\":\"b\"}"}}
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": function["parameters"], "strict": True}}
    chats = [chat, chat | {"stream": True, "stream_options": {"include_usage": True}, "n": 2, "temperature": 0.5,
                           "top_p": 0.9, "seed": -1, "stop": ["x"], "logit_bias": {"7": 1.5}, "logprobs": True,
                           "top_logprobs": 3, "max_tokens": 5, "user": "u"},
             chat | {"tools": [{"type": "function", "function": function}], "tool_choice": "auto"},
             chat | {"response_format": schema},
             chat | {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [call]},
                                  {"role": "tool", "tool_call_id": "c", "content": "r"}]}]
    for body in chats:
        seed("request", b"\0" + json.dumps(body).encode())
    size = {"type": "image_size", "width": 640, "height": 480}
    seed("request", b"\2" + json.dumps(chat | {"messages": [{"role": "user", "content": [size]}]}).encode())
    for body in ({"prompt": "a", "echo": True, "logprobs": 2}, {"prompt": [[1, 2], [3]]}, {"prompt": ["a", "b"]}):
        seed("request", b"\1" + json.dumps(body).encode())
    for body in ({"input": "a", "instructions": "b", "max_output_tokens": 20},
                 {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": image},
                                                         {"type": "input_text", "text": "a"}]}], "text": {"format": {"type": "text"}}}):
        seed("request", b"\3" + json.dumps(body).encode())
    seed("request", b"\4" + json.dumps({"prompt": "a", "add_special_tokens": False}).encode())
    seed("request", b"\4" + json.dumps({"messages": chat["messages"], "add_generation_prompt": False}).encode())
    seed("request", b"\5" + json.dumps({"tokens": [1, 2, 3]}).encode())
    for body in sorted(bodies):
        kinds = [b"\5"] if '"tokens"' in body else [b"\1", b"\4"] if '"prompt"' in body else \
            [b"\3"] if '"input"' in body else [b"\0"]
        for kind in kinds:
            seed("request", kind + body.encode())


def safetensors():
    def file(header, content):
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + content
    seed("safetensors", file({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}, bytes(24)))
    seed("safetensors", file({"__metadata__": {"format": "pt"},
                              "a": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]},
                              "b": {"dtype": "F16", "shape": [1, 1, 2], "data_offsets": [6, 10]}}, bytes(10)))


def sentencepiece():
    model = (root / "tests/goldens/models/llava15-tiny-bin/tokenizer.model").read_bytes()
    for text in ("hello  world\n", "a▁b é 你好", ""):
        content = text.encode()
        seed("sentencepiece", struct.pack("<H", len(content)) + content + model)

    # The same form with few pieces: message ModelProto of SentencePiece's protocol buffers.
    def field(number, content):
        return bytes([number << 3 | 2, len(content)]) + content
    pieces = [("<unk>", 2), ("<s>", 3), ("</s>", 3), ("▁", 1), ("a", 1), ("b", 1), ("ab", 1), ("▁a", 1), ("<0x41>", 6)]
    small = b"".join(field(1, field(1, piece.encode()) + b"\x15" + struct.pack("<f", -float(i)) + bytes([0x18, kind]))
                     for i, (piece, kind) in enumerate(pieces))
    small += field(2, bytes([3 << 3, 2])) + field(3, bytes([4 << 3, 0, 5 << 3, 1]))
    seed("sentencepiece", struct.pack("<H", 6) + b"ab a b" + small)


def settings():
    for path in sorted((root / "configs").glob("*.yaml")):
        seed("settings", path.read_text())
    seed("settings", "net: {port: 0, max_body_bytes: 64MiB, host: \"a\"}\nlog:\n  level: &x info\n")


def template():
    for path in sorted((root / "tests/model/data").glob("*templates/*.jinja")):
        seed("template", path.read_text())
    seed("template", "{%- for m in messages -%}<|{{ m.role }}|>\n{% for p in m.content %}"
                     "{% if p.type == 'image' %}<image>{% else %}{{ p.text }}{% endif %}{% endfor %}{%- endfor -%}"
                     "{% if add_generation_prompt and think is defined %}<think>{% endif %}\0{\"think\": true}")


def tokenizer_json():
    for model in models:
        path = model / "tokenizer.json"
        if path.exists():
            seed("tokenizer_json", path.read_bytes() + "\0Hello  wörld 12<|im_end|>\n\n<image> 你好".encode())
    vocabulary = {"<unk>": 0, "▁": 1, "a": 2, "b": 3, "ab": 4, "▁a": 5} | {f"<0x{b:02X}>": 6 + b for b in range(256)}
    small = {"added_tokens": [{"id": 300, "content": "<x>", "special": True, "normalized": False}],
             "normalizer": {"type": "Sequence", "normalizers": [
                 {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
             "decoder": {"type": "Sequence", "decoders": [
                 {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
                 {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
             "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True, "vocab": vocabulary,
                       "merges": ["a b", "▁ a"]}}
    seed("tokenizer_json", json.dumps(small, ensure_ascii=False) + "\0ab a<x> é")


shutil.rmtree(out, ignore_errors=True)
for make in (api_keys, data_url, frame, http, image, image_answer, model_config, packed_cache, pickle, remote_url, request, safetensors, sentencepiece,
             settings, template, tokenizer_json, torch_archive):
    make()
(out / "done").touch()
