#!/usr/bin/env python3
"""Writes a checkpoint of a real model's geometry with meaningless weights, to measure speed where no published weights are at hand.

    bench/seeded_checkpoint.py llava15-7b /tmp/llava15-7b        # 14 GB; layout of LlavaForConditionalGeneration
    bench/seeded_checkpoint.py llava15-1b /tmp/llava15-1b        # 2.8 GB
    bench/seeded_checkpoint.py llama-7b /tmp/llama-7b            # the language model alone

Standard library only. The tokenizer is the bundled model's, one token a byte, and made-up words for all further ids of the geometry's
vocabulary. Answers are noise: ask with ignore_eos.
"""

import argparse
import json
import pathlib
import random
import shutil
import struct

ROOT = pathlib.Path(__file__).resolve().parents[1]
LANGUAGE = {
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32},
    "1b": {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4},
}
VISION = {"model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
          "image_size": 336, "patch_size": 14, "projection_dim": 768, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
VOCABULARY = 32064
SHARD_BYTES = 4 << 30


def language(config):
    """(name, shape) of every tensor of the language model."""
    h, i = config["hidden_size"], config["intermediate_size"]
    kv = h // config["num_attention_heads"] * config["num_key_value_heads"]
    yield "model.embed_tokens.weight", [VOCABULARY, h]
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        yield p + "input_layernorm.weight", [h]
        yield p + "post_attention_layernorm.weight", [h]
        for name, n, k in (("self_attn.q_proj", h, h), ("self_attn.k_proj", kv, h), ("self_attn.v_proj", kv, h), ("self_attn.o_proj", h, h),
                           ("mlp.gate_proj", i, h), ("mlp.up_proj", i, h), ("mlp.down_proj", h, i)):
            yield f"{p}{name}.weight", [n, k]
    yield "model.norm.weight", [h]
    yield "lm_head.weight", [VOCABULARY, h]


def vision(hidden):
    """The tower and the projector onto the language model's width."""
    w, i, p = VISION["hidden_size"], VISION["intermediate_size"], "vision_tower.vision_model."
    positions = (VISION["image_size"] // VISION["patch_size"]) ** 2 + 1
    yield p + "embeddings.class_embedding", [w]
    yield p + "embeddings.patch_embedding.weight", [w, 3, VISION["patch_size"], VISION["patch_size"]]
    yield p + "embeddings.position_embedding.weight", [positions, w]
    linears = [("self_attn." + n, w, w) for n in ("q_proj", "k_proj", "v_proj", "out_proj")] + [("mlp.fc1", i, w), ("mlp.fc2", w, i)]
    for layer in range(VISION["num_hidden_layers"]):
        q = f"{p}encoder.layers.{layer}."
        for norm in ("layer_norm1", "layer_norm2"):
            yield f"{q}{norm}.weight", [w]
            yield f"{q}{norm}.bias", [w]
        for name, n, k in linears:
            yield f"{q}{name}.weight", [n, k]
            yield f"{q}{name}.bias", [n]
    for norm in ("pre_layrnorm", "post_layernorm"):
        yield f"{p}{norm}.weight", [w]
        yield f"{p}{norm}.bias", [w]
    for name, k in (("linear_1", w), ("linear_2", hidden)):
        yield f"multi_modal_projector.{name}.weight", [hidden, k]
        yield f"multi_modal_projector.{name}.bias", [hidden]


def noise():
    """4 MiB of bf16 between 2^-7 and 2^-5, of both signs: the high byte is the sign and 0x3c."""
    data = bytearray(random.Random(7).randbytes(4 << 20))
    data[1::2] = data[1::2].translate(bytes(0x3C | b & 0x80 for b in range(256)))
    return bytes(data)


def elements(shape):
    n = 1
    for size in shape:
        n *= size
    return n


def write_shard(path, tensors, block):
    header, at = {}, 0
    for name, shape in tensors:
        size = 2 * elements(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors:
            left = 2 * elements(shape)
            content = b"\x80\x3f" * (left // 2) if "norm" in name and name.endswith("weight") else block
            while left > 0:
                left -= file.write(content[:left])


def write(out, tensors):
    shards, size = [[]], 0
    for name, shape in tensors:
        size += 2 * elements(shape)
        if size > SHARD_BYTES and shards[-1]:
            shards.append([])
            size = 2 * elements(shape)
        shards[-1].append((name, shape))
    block, index = noise(), {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        write_shard(out / file, shard, block)
        index.update({name: file for name, _ in shard})
    (out / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def tokenizer():
    content = json.loads((ROOT / "models/nano-uhd/tokenizer.json").read_text())
    words = content["model"]["vocab"]
    words.update({f"word{i} ": i for i in range(max(words.values()) + 1, VOCABULARY)})
    return content


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("geometry", choices=[f"{kind}-{size}" for kind in ("llama", "llava15") for size in LANGUAGE])
    parser.add_argument("out", type=pathlib.Path)
    options = parser.parse_args()
    kind, size = options.geometry.split("-")
    text = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": VOCABULARY, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0, "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
            **LANGUAGE[size]}
    tensors = list(language(text))
    config = text
    if kind == "llava15":
        tensors = [("language_model." + name, shape) for name, shape in tensors] + list(vision(text["hidden_size"]))
        config = {"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"], "image_token_index": 3, "image_seq_length": 576,
                  "projector_hidden_act": "gelu", "vision_feature_layer": -2, "vision_feature_select_strategy": "default", "torch_dtype": "bfloat16",
                  "tie_word_embeddings": False, "text_config": text, "vision_config": VISION}
    options.out.mkdir(parents=True)
    (options.out / "config.json").write_text(json.dumps(config, indent=1))
    for name in ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json"):
        shutil.copy(ROOT / "models/nano-uhd" / name, options.out / name)
    (options.out / "tokenizer.json").write_text(json.dumps(tokenizer()))
    write(options.out, tensors)


if __name__ == "__main__":
    main()
