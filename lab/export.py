"""Writes the Hugging Face directory of a trained model.

    python -m lab.export --vision runs/vision/state.pt --language runs/language/state.pt --out models/nano-uhd
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from . import slicing, start, text
from .forms import FORMS
from .progress import weights

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ message['content'] }}{{ eos_token }}"
    "{% else %}{{ message['content'] }}{{ '\\n' }}{% endif %}{% endfor %}"
)
SPECIAL = ("<unk>", "<s>", "</s>", "<image>")


def vision_part(model):
    return nn.ModuleList([model.vision, model.model.mm_projector])


def language_part(model):
    return nn.ModuleList([model.model.embed_tokens, model.model.layers, model.model.norm, model.lm_head])


def mean_state(files):
    """The first module's state, averaged over the stages' state files."""
    states = [weights(file)[0] for file in files]
    return {name: sum(s[name] for s in states) / len(states) for name in states[0]}


def assemble(vision=(), language=(), form="uhd"):
    """The model with the parts that the stages' state files hold, their mean where there are several; start values for
    the others."""
    torch.manual_seed(1)
    model = start.model(form)
    for part, files in ((vision_part(model), vision), (language_part(model), language)):
        if files:
            part.load_state_dict(mean_state(files))
    return model


def byte_alphabet():
    """The printable character that byte-level BPE writes for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(others)}


def tokenizer():
    alphabet = byte_alphabet()
    vocabulary = {name: i for i, name in enumerate(SPECIAL)}
    vocabulary |= {char: text.FIRST_BYTE + b for b, char in sorted(alphabet.items())}
    words = {"".join(alphabet[b] for b in word): i for word, i in text.TOKENS.items()}
    vocabulary |= words
    vocabulary |= {f"<unused{i}>": i for i in range(len(vocabulary), text.VOCABULARY)}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": name, **flags} for i, name in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": [[word[:-1], word[-1]] for word in words],
        },
    }


def tokenizer_config():
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {
        "add_bos_token": False,
        "add_eos_token": False,
        "added_tokens_decoder": {str(i): {"content": name, **flags} for i, name in enumerate(SPECIAL)},
        "bos_token": "<s>",
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "</s>",
        "model_max_length": start.CONFIG["max_position_embeddings"],
        "pad_token": "<unk>",
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
    }


def write_json(file, value):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def export(model, out):
    side = {"height": slicing.SIDE, "width": slicing.SIDE}
    write_json(out / "config.json", model.config)
    write_json(out / "vision" / "config.json", {"architectures": ["CLIPModel"], "model_type": "clip", "vision_config": model.vision_config})
    write_json(out / "vision" / "preprocessor_config.json", {
        "crop_size": side,
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [float(str(x)) for x in slicing.MEAN],
        "image_processor_type": "CLIPImageProcessor",
        "image_std": [float(str(x)) for x in slicing.STD],
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": slicing.SIDE},
    })
    write_json(out / "generation_config.json", {"bos_token_id": text.BOS, "do_sample": False, "eos_token_id": text.EOS, "max_new_tokens": 32, "pad_token_id": 0})
    write_json(out / "tokenizer.json", tokenizer())
    write_json(out / "tokenizer_config.json", tokenizer_config())
    write_json(out / "special_tokens_map.json", {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>", "unk_token": "<unk>"})
    state = {name: tensor.detach().bfloat16().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, out / "model.safetensors", {"format": "pt"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vision", nargs="+", help="state files of vision stages; their mean is written")
    parser.add_argument("--language", nargs="+", help="state files of language stages; their mean is written")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--form", choices=FORMS, default="uhd")
    args = parser.parse_args()
    export(assemble(args.vision, args.language, args.form), args.out)


if __name__ == "__main__":
    main()
