"""LLaVA-UHD (paper form: one perceiver resampler of 64 queries a slice) and LLaVA-1.5 in plain PyTorch.

Parameter names are those of the published checkpoints, so `state_dict()` is the checkpoint.
"""

import functools
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from . import slicing
from .forms import form_of


@functools.lru_cache(None)
def interpolation(n_in, n_out):
    """[n_out, n_in] matrix of PyTorch's bicubic resize along one axis."""
    eye = torch.eye(n_in).reshape(1, n_in, n_in, 1)
    return F.interpolate(eye, size=(n_out, 1), mode="bicubic", align_corners=False)[0, :, :, 0].T.contiguous()


def interpolate(table, rows, columns):
    """table [n*n, d] resized to [..., rows, columns, d]; rows and columns are counts, or matrices [B, count, n]."""
    n = math.isqrt(table.shape[0])
    square = table.float().view(n, n, -1)
    if isinstance(rows, int):
        return torch.einsum("yi,ijd,xj->yxd", interpolation(n, rows), square, interpolation(n, columns))
    return torch.einsum("byi,bxj,ijd->byxd", rows, columns, square)


def attention(q, k, v, causal=False):
    """[B, heads, n, d] attention by plain products, a few samples at a time so that the scores stay in the cache: in
    training on one core this takes half the time of PyTorch's own kernel, whose backward pass is slow for short rows in
    bf16."""
    n, m = q.shape[2], k.shape[2]
    future = torch.full((n, m), -1e4, dtype=q.dtype).triu(1) if causal else 0
    some = max(1, 2**20 // (q.shape[1] * n * m))
    parts = zip((q * q.shape[-1] ** -0.5).split(some), k.split(some), v.split(some))
    return torch.cat([torch.softmax(a @ b.transpose(-1, -2) + future, -1).to(c.dtype) @ c for a, b, c in parts])


class SelfAttention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(d, d) for _ in range(4))

    def forward(self, x):
        q, k, v = (p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(attention(q, k, v).transpose(1, 2).flatten(2))


class VisionMlp(nn.Module):
    def __init__(self, d, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d, hidden), nn.Linear(hidden, d)

    def forward(self, x):
        x = self.fc1(x)
        return self.fc2(x * torch.sigmoid(1.702 * x))


class VisionLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        d = c["hidden_size"]
        self.self_attn = SelfAttention(d, c["num_attention_heads"])
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.mlp = VisionMlp(d, c["intermediate_size"])

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class VisionEmbeddings(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, p = c["hidden_size"], c["patch_size"]
        self.class_embedding = nn.Parameter(torch.randn(d) * 0.02)
        self.patch_embedding = nn.Conv2d(3, d, p, p, bias=False)
        self.position_embedding = nn.Embedding((c["image_size"] // p) ** 2 + 1, d)

    def forward(self, patches, rows, columns):
        x = F.linear(patches, self.patch_embedding.weight.flatten(1))
        table = self.position_embedding.weight
        x = x + interpolate(table[1:], rows, columns).flatten(-3, -2)
        first = (self.class_embedding + table[0]).expand(x.shape[0], 1, -1)
        return torch.cat([first.to(x.dtype), x], 1)


class VisionModel(nn.Module):
    def __init__(self, c, select_layer):
        super().__init__()
        d = c["hidden_size"]
        self.used = c["num_hidden_layers"] + 1 + select_layer
        self.embeddings = VisionEmbeddings(c)
        self.pre_layrnorm = nn.LayerNorm(d)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(VisionLayer(c) for _ in range(c["num_hidden_layers"]))
        self.post_layernorm = nn.LayerNorm(d)  # part of the published layout, unused

    def forward(self, patches, rows, columns):
        x = self.pre_layrnorm(self.embeddings(patches, rows, columns))
        for layer in self.encoder.layers[: self.used]:
            x = layer(x)
        return x[:, 1:]


class Resampler(nn.Module):
    def __init__(self, d_in, width, heads, queries, d_out):
        super().__init__()
        self.query = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.kv_proj = nn.Linear(d_in, width, bias=False)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_q, self.ln_kv, self.ln_post = (nn.LayerNorm(width, eps=1e-6) for _ in range(3))
        self.proj = nn.Parameter(torch.randn(width, d_out) * width**-0.5)

    def pooled(self, x, rows, columns):
        """What `proj` is applied to."""
        x = self.ln_kv(self.kv_proj(x))
        key = x + interpolate(self.pos_embed, rows, columns).flatten(-3, -2)
        wq, wk, wv = self.attn.in_proj_weight.chunk(3)
        bq, bk, bv = self.attn.in_proj_bias.chunk(3)
        q = F.linear(self.ln_q(self.query) + self.pos_embed, wq, bq).expand(x.shape[0], -1, -1)
        q, k, v = (
            t.unflatten(-1, (self.attn.num_heads, -1)).transpose(1, 2)
            for t in (q, F.linear(key, wk, bk), F.linear(x, wv, bv))
        )
        o = attention(q.to(v.dtype), k.to(v.dtype), v).transpose(1, 2).flatten(2)
        return self.ln_post(self.attn.out_proj(o))

    def forward(self, x, rows, columns):
        return self.pooled(x, rows, columns) @ self.proj


class Mlp(nn.Sequential):
    """LLaVA-1.5's projector: a token of every patch."""

    def __init__(self, d_in, d_out):
        super().__init__(nn.Linear(d_in, d_out), nn.GELU(), nn.Linear(d_out, d_out))

    def forward(self, x, rows, columns):
        return super().forward(x)


class RMSNorm(nn.Module):
    def __init__(self, d, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(d)), eps

    def forward(self, x):
        y = x.float()
        return (self.weight * (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps))).to(x.dtype)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


class LlamaAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, self.heads, self.kv_heads = c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"]
        kv = d // self.heads * self.kv_heads
        self.q_proj, self.o_proj = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.k_proj, self.v_proj = nn.Linear(d, kv, bias=False), nn.Linear(d, kv, bias=False)

    def forward(self, x, cos, sin, cache):
        q = self.q_proj(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k = self.k_proj(x).unflatten(-1, (self.kv_heads, -1)).transpose(1, 2)
        v = self.v_proj(x).unflatten(-1, (self.kv_heads, -1)).transpose(1, 2)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        if cache is not None:
            k, v = torch.cat([cache[0], k], 2) if cache else k, torch.cat([cache[1], v], 2) if cache else v
            cache[:] = [k, v]
        repeat = self.heads // self.kv_heads
        k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
        o = attention(q, k, v, causal=q.shape[2] > 1)
        return self.o_proj(o.transpose(1, 2).flatten(2))


class LlamaMlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, hidden = c["hidden_size"], c["intermediate_size"]
        self.gate_proj, self.up_proj = nn.Linear(d, hidden, bias=False), nn.Linear(d, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, d, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class LlamaLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, eps = c["hidden_size"], c["rms_norm_eps"]
        self.self_attn, self.mlp = LlamaAttention(c), LlamaMlp(c)
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(d, eps), RMSNorm(d, eps)

    def forward(self, x, cos, sin, cache):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class LlavaUhd(nn.Module):
    def __init__(self, config, vision_config):
        super().__init__()
        self.config, self.vision_config = config, vision_config
        d = config["hidden_size"]
        width = config.get("mm_resampler_width", d)
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(config["vocab_size"], d)
        self.model.layers = nn.ModuleList(LlamaLayer(config) for _ in range(config["num_hidden_layers"]))
        self.model.norm = RMSNorm(d, config["rms_norm_eps"])
        self.model.vision_tower = nn.Module()
        self.model.vision_tower.vision_tower = nn.Module()
        self.model.vision_tower.vision_tower.vision_model = VisionModel(vision_config, config["mm_vision_select_layer"])
        self.form = form_of(config)
        if self.form.square:
            self.model.mm_projector = Mlp(vision_config["hidden_size"], d)
        else:
            heads, queries = config.get("mm_resampler_heads", width // 128), config.get("mm_num_queries", 64)
            self.model.mm_projector = Resampler(vision_config["hidden_size"], width, heads, queries, d)
        self.lm_head = nn.Linear(d, config["vocab_size"], bias=False)

    @classmethod
    def load(cls, folder):
        folder = Path(folder)
        config = json.loads((folder / "config.json").read_text())
        vision = json.loads((folder / config["mm_vision_tower"] / "config.json").read_text())["vision_config"]
        model = cls(config, vision)
        state = {}
        for file in sorted(folder.glob("model*.safetensors")):
            state |= load_file(file)
        model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
        return model

    @property
    def vision(self):
        return self.model.vision_tower.vision_tower.vision_model

    def encode(self, patches, rows, columns):
        """Patches [B, rows * columns, 588] of equal shape to visual tokens [B, n, hidden]."""
        return self.model.mm_projector(self.vision(patches, rows, columns), rows, columns)

    def encode_image(self, image):
        """Visual tokens [views, n, hidden] of a PIL picture: its slices, then the overview."""
        by_shape = {}
        parts = self.form.cut(image.convert("RGB"), self.config.get("mm_max_slices", 6))
        for i, part in enumerate(parts):
            by_shape.setdefault(part.size, []).append(i)
        tokens = [None] * len(parts)
        for (w, h), indices in by_shape.items():
            batch = torch.stack([torch.from_numpy(slicing.patches(parts[i])) for i in indices])
            for i, t in zip(indices, self.encode(batch, h // 14, w // 14)):
                tokens[i] = t
        return torch.stack(tokens)

    def image_embeddings(self, tokens, marks):
        """Visual tokens [views, n, hidden] in the order the language model sees them, with the separators: [m, hidden].
        marks: "," or "n" for each view but the last, or nothing."""
        pieces = []
        for i, view in enumerate(tokens):
            pieces.append(view)
            if i < len(marks):
                token = self.config["slice_separator_ids"]["comma" if marks[i] == "," else "newline"]
                pieces.append(self.model.embed_tokens.weight[token][None].to(tokens.dtype))
        return torch.cat(pieces)

    def angles(self, positions):
        """Cosines and sines of positions [n] or [B, n]."""
        d = self.config["hidden_size"] // self.config["num_attention_heads"]
        frequency = self.config["rope_theta"] ** (-torch.arange(0, d, 2).float() / d)
        angle = positions[..., None].float() * frequency
        if angle.dim() == 3:
            angle = angle[:, None]
        angle = torch.cat([angle, angle], -1)
        return angle.cos(), angle.sin()

    def llm(self, x, caches=None, positions=None):
        """Embeddings [B, n, hidden] to hidden states after the final norm."""
        if positions is None:
            start = caches[0][0].shape[2] if caches and caches[0] else 0
            positions = torch.arange(start, start + x.shape[1])
        cos, sin = self.angles(positions)
        for i, layer in enumerate(self.model.layers):
            x = layer(x, cos, sin, caches[i] if caches is not None else None)
        return self.model.norm(x)

    def layers(self, x, positions, first, last):
        """The part of `llm` from after the first so many layers to after the last so many."""
        for layer in self.model.layers[first:last]:
            x = layer(x, *self.angles(positions), None)
        return x

    @torch.no_grad()
    def generate(self, embeddings, limit=32):
        """Greedy ids (with the end mark) that follow the embeddings [n, hidden]."""
        caches = [[] for _ in self.model.layers]
        x, ids = embeddings[None], []
        while len(ids) < limit:
            ids.append(self.lm_head(self.llm(x, caches=caches)[:, -1]).argmax(-1).item())
            if ids[-1] == self.config["eos_token_id"]:
                break
            x = self.model.embed_tokens.weight[ids[-1]][None, None]
        return ids
