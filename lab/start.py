"""The bundled model's configuration and start values."""

import math

import torch

from . import text
from .model import LlavaUhd

CONFIG = {
    "architectures": ["LlavaLlamaForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 256,
    "image_aspect_ratio": "pad",
    "intermediate_size": 512,
    "max_position_embeddings": 4096,
    "mm_hidden_size": 160,
    "mm_max_slices": 6,
    "mm_num_queries": 64,
    "mm_patch_merge_type": "flat",
    "mm_projector_type": "perceiver_resampler",
    "mm_resampler_heads": 9,
    "mm_resampler_width": 288,
    "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False,
    "mm_vision_dtype": "float32",
    "mm_vision_select_feature": "patch",
    "mm_vision_select_layer": -1,
    "mm_vision_tower": "vision",
    "model_type": "llava_llama",
    "num_attention_heads": 8,
    "num_hidden_layers": 6,
    "num_key_value_heads": 8,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "slice_separator_ids": {"comma": 48, "newline": 14},
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "unfreeze_mm_vision_tower": True,
    "use_cache": True,
    "use_mm_proj": True,
    "vocab_size": text.VOCABULARY,
}
VISION = {
    "hidden_act": "quick_gelu",
    "hidden_size": 160,
    "image_size": 336,
    "intermediate_size": 640,
    "layer_norm_eps": 1e-5,
    "model_type": "clip_vision_model",
    "num_attention_heads": 5,
    "num_channels": 3,
    "num_hidden_layers": 5,
    "patch_size": 14,
    "projection_dim": 160,
}


def sincos(n, d, wavelengths):
    """[n*n, d] codes of the places of an n x n table; per frequency: sin x, cos x, sin y, cos y."""
    shortest, longest = wavelengths
    omega = 2 * math.pi / (shortest * (longest / shortest) ** (torch.arange(d // 4) / (d // 4 - 1)))
    angle = torch.arange(n)[:, None] * omega
    code = torch.stack([angle.sin(), angle.cos()], -1)
    x, y = code[None].expand(n, -1, -1, -1), code[:, None].expand(-1, n, -1, -1)
    return torch.cat([x, y], -1).reshape(n * n, d), omega


@torch.no_grad()
def start_vision(vision):
    d = VISION["hidden_size"]
    table = vision.embeddings.position_embedding.weight
    table[0] = 0
    table[1:] = 0.5 * sincos(24, d, (4, 100))[0]
    for layer in vision.encoder.layers:
        a = layer.self_attn
        a.q_proj.weight.copy_(a.k_proj.weight)
        for p in (a.q_proj, a.k_proj, a.v_proj, a.out_proj, layer.mlp.fc1, layer.mlp.fc2):
            p.bias.zero_()


@torch.no_grad()
def start_resampler(r):
    """Three heads look at the upper third of the query's cell, three at the middle, three at the lower one, each over
    the cell's width: together they have room for all characters of the line there. Content has little say at first."""
    width, heads = r.query.shape[1], r.attn.num_heads
    dim, pairs = width // heads, width // heads // 4
    table, omega = sincos(8, width, (4, 64))
    r.pos_embed.copy_(table)
    r.ln_q.weight.fill_(0.1)
    r.ln_kv.weight.fill_(0.1)
    wq, wk, _ = r.attn.in_proj_weight.chunk(3)
    r.attn.in_proj_bias.zero_()
    wq.normal_(0, 0.01)
    wk.normal_(0, 0.01)
    strength = 2.1, 4.9  # along x, along y
    for t in range(heads):
        shift = 0.2 * (t % 3 - 1), (t // 3 - 1) / 3
        for j in range(pairs):
            f = j * 5  # the frequencies used: every fifth
            for axis in (0, 1):
                a = strength[axis]
                row, column = t * dim + 4 * j + 2 * axis, 4 * f + 2 * axis
                sin, cos = math.sin(omega[f] * shift[axis]), math.cos(omega[f] * shift[axis])
                wk[row, column] = wk[row + 1, column + 1] = a
                wq[row, column], wq[row, column + 1] = a * cos, a * sin
                wq[row + 1, column], wq[row + 1, column + 1] = -a * sin, a * cos


def config(form):
    """The bundled model's configuration; without separators; or LLaVA-1.5's with the same tower and language model."""
    c = dict(CONFIG)
    if form != "uhd":
        del c["slice_separator_ids"]
    if form == "square":
        c = {k: v for k, v in c.items() if not k.startswith(("mm_resampler", "mm_num_queries", "mm_max_slices"))}
        c["mm_projector_type"] = "mlp2x_gelu"
    return c


@torch.no_grad()
def model(form="uhd"):
    m = LlavaUhd(config(form), VISION)
    start_vision(m.vision)
    if not m.form.square:
        start_resampler(m.model.mm_projector)
    m.model.embed_tokens.weight.normal_(0, 0.5)
    return m
