"""Every family over HTTP: the reference's own tokens, from the picture and the question alone."""

import json
import shutil
import struct
import subprocess
import sys

import httpx
import pytest

from helpers import encoded, image_part, picture
from server import COMMON, LIMIT_S, MPIRUN, ROOT, TP2_ENC2, Server

MODELS = ROOT / "tests/goldens/models"
SHAPES = {"one": ([], []), "two_and_encoders": (MPIRUN, TP2_ENC2), "four": (MPIRUN, ["--llm.tensor_parallel=4"])}
LEFT_ASIDE = ["apm.conv1.weight", "audio_projection_layer.linear1.weight", "tts.emb_text.weight"]


def omni_26(folder):
    """Writes MiniCPM-o 2.6: MiniCPM-V 2.6 under its names, beside tensors of audio and speech that nobody reads."""
    shutil.copytree(MODELS / "minicpmv26-tiny", folder, copy_function=shutil.copyfile)
    config = json.loads((folder / "config.json").read_text())
    config.update(architectures=["MiniCPMO"], model_type="minicpmo", version="2.6", init_audio=True)
    (folder / "config.json").write_text(json.dumps(config))
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    index["weight_map"].update({name: "audio.safetensors" for name in LEFT_ASIDE})
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    header = json.dumps({name: {"dtype": "BF16", "shape": [2], "data_offsets": [4 * i, 4 * i + 4]} for i, name in enumerate(LEFT_ASIDE)}).encode()
    header += b" " * (-len(header) % 8)
    (folder / "audio.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4 * len(LEFT_ASIDE)))
    return folder


def golden_of(folder, name):
    return json.loads((folder / f"{name}.json").read_text())


def answer_of(server, path, golden, question):
    """Asks for the golden's tokens, and returns their text and the response."""
    body = {**question, "temperature": 0, "max_tokens": len(golden["greedy_ids"]), "ignore_eos": True}
    answer = httpx.post(server.url + path, json=body, timeout=LIMIT_S).json()
    assert "choices" in answer, answer
    return answer


def check_picture(server, model, goldens, name="golden_image_single"):
    golden = golden_of(goldens, name)
    images = golden.get("images") or [golden["image"]]
    parts = [image_part((goldens / image).read_bytes()) for image in images]
    parts.append({"type": "text", "text": golden["question"]})
    question = {"messages": [{"role": "user", "content": parts}], "logprobs": True}
    if "enable_thinking" in (model / "tokenizer_config.json").read_text():
        question["chat_template_kwargs"] = {"enable_thinking": False}
    answer = answer_of(server, "/chat/completions", golden, question)
    tokens = answer["choices"][0]["logprobs"]["content"]
    text = b"".join(bytes(token["bytes"]) for token in tokens).decode(errors="replace")
    assert text.lstrip(" ") == golden["greedy_text"].lstrip(" ")  # SentencePiece's texts begin without their space
    assert answer["usage"]["prompt_tokens"] == golden["embeds_len"]


# Beside each model, whose goldens these are: a model under another's names has the same answers.
@pytest.mark.parametrize("ranks", SHAPES)
@pytest.mark.parametrize("model, goldens", [
    ("minicpmv45-tiny", "minicpmv45-tiny"), ("minicpmv45-omni", "minicpmv45-tiny"), ("minicpmv40-tiny", "minicpmv40-tiny"),
    ("minicpmv26-tiny", "minicpmv26-tiny"), ("minicpmo26", "minicpmv26-tiny"), ("smolvlm-tiny", "smolvlm-tiny"),
    ("smolvlm-idefics3", "smolvlm-tiny"), ("smolvlm22-tiny", "smolvlm22-tiny"), ("smolvlm8b-tiny", "smolvlm8b-tiny"),
    ("uhd-v1-tiny", "uhd-v1-tiny"), ("uhd-paper-tiny", "uhd-paper-tiny"), ("llava15-tiny-hf", "llava15-tiny-orig")])
def test_families_answer_as_their_references(model, goldens, ranks, tmp_path):
    folder = omni_26(tmp_path / model) if model == "minicpmo26" else MODELS / model
    launcher, arguments = SHAPES[ranks]
    with Server(f"family-{model}-{ranks}", launcher, [*arguments, *COMMON, f"--model.path={folder}"]) as server:
        check_picture(server, folder, MODELS / goldens, "golden_image_small" if "llava15" in goldens else "golden_image_single")


@pytest.mark.parametrize("model", ["minicpmv45-tiny", "minicpmv40-tiny"])
def test_slices_and_two_pictures_over_ranks(model):
    folder = MODELS / model
    with Server(f"family-{model}-ranks", MPIRUN, [*TP2_ENC2, *COMMON, f"--model.path={folder}"]) as server:
        for name in ("golden_image_slices", "golden_image_two"):
            check_picture(server, folder, folder, name)


def test_tiles_of_documents_and_two_pictures():
    folder = MODELS / "smolvlm-tiny"
    with Server("family-smolvlm-tiles", [], [*COMMON, f"--model.path={folder}"]) as server:
        for name in ("golden_image_doc", "golden_image_two"):
            check_picture(server, folder, folder, name)


def scores_of(server):
    """The answer's tokens and the log-probabilities of the likeliest ones, for a text and for a picture."""
    small = image_part(encoded(picture(120, 80)))
    small["image_url"]["detail"] = "low"
    scores = []
    for content in ("Tell me.", [small, {"type": "text", "text": "What is this?"}]):
        body = {"messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 4, "ignore_eos": True,
                "logprobs": True, "top_logprobs": 5}
        answer = httpx.post(server.url + "/chat/completions", json=body, timeout=LIMIT_S).json()
        assert "choices" in answer, answer
        scores += answer["choices"][0]["logprobs"]["content"]
    return scores


def test_nine_heads_are_shared_by_three_ranks(tmp_path):
    """SmolVLM-256M has 9 heads, and 3 of keys and values: each of three ranks takes 3 and 1."""
    model = tmp_path / "smolvlm-256m"
    subprocess.run([sys.executable, ROOT / "bench/seeded_checkpoint.py", "smolvlm-256m", model, "--layers", "3"], check=True)
    arguments = [*COMMON, f"--model.path={model}"]
    ranks = ["mpirun", "--bind-to", "none", "--oversubscribe", "-n", "3"]
    with Server("family-nine-heads", [], arguments) as server:
        alone = scores_of(server)
    with Server("family-nine-heads-3", ranks, [*arguments, "--llm.tensor_parallel=3"]) as server:
        shared = scores_of(server)
    assert [token["token"] for token in shared] == [token["token"] for token in alone]
    for one, three in zip(alone, shared):
        for a, b in zip(one["top_logprobs"], three["top_logprobs"]):
            assert a["logprob"] == pytest.approx(b["logprob"], abs=1e-3), (one, three)


@pytest.mark.parametrize("model, goldens", [
    ("qwen3-tiny", "qwen3-tiny"), ("qwen3tied-tiny", "qwen3tied-tiny"), ("llava15-tiny-orig", "llava15-tiny-orig"),
    ("llava15-tiny-bin", "llava15-tiny-orig")])
def test_texts_are_answered_as_by_their_references(model, goldens):
    golden = golden_of(MODELS / goldens, "golden_text")
    with Server(f"family-{model}", [], [*COMMON, f"--model.path={MODELS / model}"]) as server:
        answer = answer_of(server, "/completions", golden, {"prompt": golden["input_ids"]})
    assert answer["choices"][0]["text"] == golden["greedy_text"]
    assert answer["usage"]["prompt_tokens"] == len(golden["input_ids"])
