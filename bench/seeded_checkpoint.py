#!/usr/bin/env python3
"""Writes a checkpoint of a real model's geometry with meaningless weights, to measure speed where no published weights are at hand.

    bench/seeded_checkpoint.py llava15-7b /tmp/llava15-7b        # 14 GB; layout of LlavaForConditionalGeneration
    bench/seeded_checkpoint.py llava15-1b /tmp/llava15-1b        # 2.8 GB
    bench/seeded_checkpoint.py llama-7b /tmp/llama-7b            # the language model alone
    bench/seeded_checkpoint.py minicpmv-4.5 /tmp/minicpmv-4.5    # 17 GB; MiniCPM-V 4.5 (Qwen3-8B), whose index names as many bytes
    bench/seeded_checkpoint.py minicpmv-4.0 /tmp/minicpmv-4.0    # 8.1 GB; MiniCPM-V 4.0, its head_dim and key/value heads inferred from
                                                                 # the 4.1 B parameters that its card tells
    bench/seeded_checkpoint.py smolvlm-256m /tmp/smolvlm-256m    # 0.5 GB; SmolVLM-256M
    bench/seeded_checkpoint.py smolvlm-2.2b /tmp/smolvlm-2.2b    # 4.5 GB; SmolVLM-2.2B, whose tiles patches do not fill

`--layers N` keeps the first N layers of the language model, where memory or disk forbid the whole.

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
MINICPMV = {
    "4.5": {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8,
            "head_dim": 128, "vocab_size": 151748, "max_position_embeddings": 40960, "rope_theta": 1000000.0, "rms_norm_eps": 1e-6},
    "4.0": {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 2,
            "head_dim": 128, "vocab_size": 73448, "max_position_embeddings": 32768, "rope_theta": 10000.0, "rms_norm_eps": 1e-6,
            "rope_scaling": {"rope_type": "longrope", "original_max_position_embeddings": 32768, "short_factor": [1.0] * 64,
                             "long_factor": [1.0] * 64}},
}
SMOLVLM = {
    "256m": ({"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
              "head_dim": 64, "vocab_size": 49280},
             {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 512,
              "patch_size": 16}, 4),
    "2.2b": ({"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24, "num_attention_heads": 32, "num_key_value_heads": 32,
              "head_dim": 64, "vocab_size": 49280},
             {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16, "image_size": 384,
              "patch_size": 14}, 3),
}
SMOLVLM_TOKENS = ["<fake_token_around_image>", "<image>", "<global-img>", *(f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7))]
SIGLIP = {"model_type": "siglip", "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16,
          "image_size": 980, "patch_size": 14}
MINICPMV_TOKENS = ["<unk>", "<image>", "</image>", "<slice>", "</slice>", "<image_id>", "</image_id>"]
VISION = {"model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
          "image_size": 336, "patch_size": 14, "projection_dim": 768, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
VOCABULARY = 32064
SHARD_BYTES = 4 << 30


def language(config):
    """(name, shape) of every tensor of the language model."""
    h, i = config["hidden_size"], config["intermediate_size"]
    width = config.get("head_dim", h // config["num_attention_heads"])
    q, kv = width * config["num_attention_heads"], width * config["num_key_value_heads"]
    yield "model.embed_tokens.weight", [config["vocab_size"], h]
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        yield p + "input_layernorm.weight", [h]
        yield p + "post_attention_layernorm.weight", [h]
        for name, n, k in (("self_attn.q_proj", q, h), ("self_attn.k_proj", kv, h), ("self_attn.v_proj", kv, h), ("self_attn.o_proj", h, q),
                           ("mlp.gate_proj", i, h), ("mlp.up_proj", i, h), ("mlp.down_proj", h, i)):
            yield f"{p}{name}.weight", [n, k]
        if config.get("version") == 4.5:  # Qwen3
            yield p + "self_attn.q_norm.weight", [width]
            yield p + "self_attn.k_norm.weight", [width]
    yield "model.norm.weight", [h]
    if not config.get("tie_word_embeddings"):
        yield "lm_head.weight", [config["vocab_size"], h]


def linear(name, n, k):
    yield name + ".weight", [n, k]
    yield name + ".bias", [n]


def layers_of(config, p):
    """The layers of a tower, CLIP's or SigLIP's, under the prefix p."""
    w, i = config["hidden_size"], config["intermediate_size"]
    linears = [("self_attn." + n, w, w) for n in ("q_proj", "k_proj", "v_proj", "out_proj")] + [("mlp.fc1", i, w), ("mlp.fc2", w, i)]
    for layer in range(config["num_hidden_layers"]):
        q = f"{p}encoder.layers.{layer}."
        for norm in ("layer_norm1", "layer_norm2"):
            yield f"{q}{norm}.weight", [w]
            yield f"{q}{norm}.bias", [w]
        for name, n, k in linears:
            yield from linear(q + name, n, k)


def vision(hidden):
    """CLIP and the projector onto the language model's width."""
    w, p = VISION["hidden_size"], "vision_tower.vision_model."
    positions = (VISION["image_size"] // VISION["patch_size"]) ** 2 + 1
    yield p + "embeddings.class_embedding", [w]
    yield p + "embeddings.patch_embedding.weight", [w, 3, VISION["patch_size"], VISION["patch_size"]]
    yield p + "embeddings.position_embedding.weight", [positions, w]
    yield from layers_of(VISION, p)
    for norm in ("pre_layrnorm", "post_layernorm"):
        yield f"{p}{norm}.weight", [w]
        yield f"{p}{norm}.bias", [w]
    for name, k in (("linear_1", w), ("linear_2", hidden)):
        yield from linear("multi_modal_projector." + name, hidden, k)


def minicpmv(hidden):
    """SigLIP and the resampler of MiniCPM-V, whose width is the language model's."""
    w = SIGLIP["hidden_size"]
    yield "vpm.embeddings.patch_embedding.weight", [w, 3, SIGLIP["patch_size"], SIGLIP["patch_size"]]
    yield "vpm.embeddings.patch_embedding.bias", [w]
    yield "vpm.embeddings.position_embedding.weight", [(SIGLIP["image_size"] // SIGLIP["patch_size"]) ** 2, w]
    yield from layers_of(SIGLIP, "vpm.")
    yield "vpm.post_layernorm.weight", [w]
    yield "vpm.post_layernorm.bias", [w]
    yield "resampler.query", [64, hidden]
    yield "resampler.proj", [hidden, hidden]
    yield "resampler.kv_proj.weight", [hidden, w]
    yield "resampler.attn.in_proj_weight", [3 * hidden, hidden]
    yield "resampler.attn.in_proj_bias", [3 * hidden]
    yield from linear("resampler.attn.out_proj", hidden, hidden)
    for norm in ("ln_q", "ln_kv", "ln_post"):
        yield f"resampler.{norm}.weight", [hidden]
        yield f"resampler.{norm}.bias", [hidden]


def smolvlm(hidden, tower, shuffle):
    """SigLIP and the connector of SmolVLM."""
    w, p = tower["hidden_size"], "model.vision_model."
    yield p + "embeddings.patch_embedding.weight", [w, 3, tower["patch_size"], tower["patch_size"]]
    yield p + "embeddings.patch_embedding.bias", [w]
    yield p + "embeddings.position_embedding.weight", [(tower["image_size"] // tower["patch_size"]) ** 2, w]
    yield from layers_of(tower, p)
    yield p + "post_layernorm.weight", [w]
    yield p + "post_layernorm.bias", [w]
    yield "model.connector.modality_projection.proj.weight", [hidden, w * shuffle**2]


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
            content = b"\x80\x3f" * (left // 2) if ("norm" in name or ".ln_" in name) and name.endswith("weight") else block
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


def tokenizer(vocabulary, marks):
    content = json.loads((ROOT / "models/nano-uhd/tokenizer.json").read_text())
    words = content["model"]["vocab"]
    for mark in marks:
        if mark not in words:
            words[mark] = max(words.values()) + 1
            content["added_tokens"].append({"id": words[mark], "content": mark, "single_word": False, "lstrip": False, "rstrip": False,
                                            "normalized": False, "special": True})
    words.update({f"word{i} ": i for i in range(max(words.values()) + 1, vocabulary)})
    return content


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("geometry", choices=[f"{kind}-{size}" for kind in ("llama", "llava15") for size in LANGUAGE] + [f"minicpmv-{v}" for v in MINICPMV]
                        + [f"smolvlm-{size}" for size in SMOLVLM])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--layers", type=int, help="of the language model")
    options = parser.parse_args()
    kind, size = options.geometry.split("-")
    text = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": VOCABULARY, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0, "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
            **(SMOLVLM[size][0] if kind == "smolvlm" else MINICPMV[size] if kind == "minicpmv" else LANGUAGE[size])}
    if options.layers:
        text["num_hidden_layers"] = options.layers
    if kind == "minicpmv":
        text["version"] = float(size)
    tensors = list(language(text))
    config = text
    if kind == "minicpmv":
        tensors = [("llm." + name, shape) for name, shape in tensors] + list(minicpmv(text["hidden_size"]))
        config = {**text, "model_type": "minicpmv", "architectures": ["MiniCPMV"], "query_num": 64, "image_size": 448, "slice_mode": True,
                  "drop_vision_last_layer": False, "slice_config": {"max_slice_nums": 9, "patch_size": 14, "model_type": "minicpmv"},
                  "vision_config": SIGLIP}
    if kind == "llava15":
        tensors = [("language_model." + name, shape) for name, shape in tensors] + list(vision(text["hidden_size"]))
        config = {"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"], "image_token_index": 3, "image_seq_length": 576,
                  "projector_hidden_act": "gelu", "vision_feature_layer": -2, "vision_feature_select_strategy": "default", "torch_dtype": "bfloat16",
                  "tie_word_embeddings": False, "text_config": text, "vision_config": VISION}
    marks = MINICPMV_TOKENS if kind == "minicpmv" else []
    if kind == "smolvlm":
        _, tower, shuffle = SMOLVLM[size]
        text.update(max_position_embeddings=8192, rope_theta=100000.0, tie_word_embeddings=size == "256m")
        tensors = [(name.replace("model.", "model.text_model.", 1), shape) for name, shape in language(text)]
        tensors += list(smolvlm(text["hidden_size"], tower, shuffle))
        config = {"model_type": "smolvlm", "architectures": ["SmolVLMForConditionalGeneration"], "scale_factor": shuffle, "torch_dtype": "bfloat16",
                  "tie_word_embeddings": text["tie_word_embeddings"], "text_config": text,
                  "vision_config": {"model_type": "smolvlm_vision", **tower}}
        marks = SMOLVLM_TOKENS
    options.out.mkdir(parents=True)
    (options.out / "config.json").write_text(json.dumps(config, indent=1))
    for name in ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json"):
        shutil.copy(ROOT / "models/nano-uhd" / name, options.out / name)
    (options.out / "tokenizer.json").write_text(json.dumps(tokenizer(text["vocab_size"], marks)))
    write(options.out, tensors)


if __name__ == "__main__":
    main()
