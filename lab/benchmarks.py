"""Readers of the benchmarks' public formats. Each takes the folder that the benchmark's own archives unpack to.

Prompts are those of LLaVA-1.5.
"""

import base64
import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from . import scoring

SHORT = "\nAnswer the question using a single word or phrase."
LETTER = "\nAnswer with the option's letter from the given choices directly."
LETTER_CN = "\n请直接回答选项字母。"
UNANSWERABLE = "\nWhen the provided information is insufficient, respond with 'Unanswerable'."
LETTERS = "ABCDEFGH"


@dataclass
class Item:
    image: Path | bytes  # a file, or what it holds
    question: str
    truth: str | list  # the answer, its letter, or ten people's answers
    group: str = ""  # questions that count together
    category: str = ""
    options: tuple = ()  # texts of a question with letters

    def file(self):
        return self.image if isinstance(self.image, bytes) else self.image.read_bytes()


def load(file):
    return json.loads(file.read_text(encoding="utf-8"))


def one(folder, pattern):
    """The one file below the folder that fits."""
    files = sorted(folder.rglob(pattern))
    if len(files) != 1:
        raise SystemExit(f"{folder}: {len(files)} files {pattern}, one is needed")
    return files[0]


def vqav2(folder):
    answers = {a["question_id"]: [x["answer"] for x in a["answers"]] for a in load(one(folder, "v2_mscoco_*_annotations.json"))["annotations"]}
    file = one(folder, "v2_OpenEnded_mscoco_*_questions.json")
    subset = file.name.split("_")[3]  # e.g. val2014
    for q in load(file)["questions"]:
        image = folder / subset / f"COCO_{subset}_{q['image_id']:012d}.jpg"
        yield Item(image, q["question"] + SHORT, answers[q["question_id"]])


def gqa(folder):
    for q in load(one(folder, "testdev_balanced_questions.json")).values():
        yield Item(folder / "images" / f"{q['imageId']}.jpg", q["question"] + SHORT, q["answer"])


def scienceqa(folder):
    """The test questions that have a picture."""
    problems = load(one(folder, "problems.json"))
    for i in load(one(folder, "pid_splits.json"))["test"]:
        p = problems[i]
        if p.get("image"):
            options = tuple(p["choices"])
            parts = [p["hint"]] * bool(p.get("hint")) + [p["question"]] + lettered(options)
            image = folder / "test" / i / p["image"]
            yield Item(image, "\n".join(parts) + LETTER, LETTERS[p["answer"]], options=options)


def textvqa(folder):
    for q in load(one(folder, "TextVQA_*_val.json"))["data"]:
        yield Item(folder / "train_images" / f"{q['image_id']}.jpg", q["question"] + SHORT, q["answers"])


def vizwiz(folder):
    for q in load(one(folder, "val.json")):
        answers = [a["answer"] for a in q["answers"]]
        yield Item(folder / "val" / q["image"], q["question"] + UNANSWERABLE + SHORT, answers)


def pope(folder):
    for name in ("random", "popular", "adversarial"):
        for line in one(folder, f"coco_pope_{name}.json").read_text(encoding="utf-8").splitlines():
            q = json.loads(line)
            yield Item(folder / "val2014" / q["image"], q["text"] + SHORT, q["label"].lower(), category=name)


def mme(folder):
    """Folders of categories with pictures and one text file for each, together or in two folders."""
    for file in sorted(folder.rglob("*.txt")):
        together = file.parent.name != "questions_answers_YN"
        category = file.parent if together else file.parent.parent
        if category.name not in scoring.PERCEPTION + scoring.COGNITION:
            continue
        pictures = category if together else category / "images"
        image = next(f for f in sorted(pictures.glob(file.stem + ".*")) if f.suffix != ".txt")
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.strip():
                question, truth = line.rsplit("\t", 1)
                question = question.replace("Please answer yes or no.", "").strip() + SHORT
                yield Item(image, question, truth.strip().lower(), file.stem, category.name)


def lettered(options):
    return [f"{c}. {text}" for c, text in zip(LETTERS, options)]


def mmbench(folder, ask=LETTER, pattern="mmbench_dev_[!c]*.tsv"):
    """Every question in all rotations of its options. Indices from a million on are rotations made beforehand."""
    csv.field_size_limit(sys.maxsize)
    with open(one(folder, pattern), encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            if int(row["index"]) >= 1_000_000:
                continue
            options = [row[c] for c in "ABCD" if row.get(c) not in (None, "", "nan")]
            right = options["ABCD".index(row["answer"])]
            hint = [row["hint"]] if row.get("hint") not in (None, "", "nan") else []
            image = base64.b64decode(row["image"])
            for turn in range(len(options)):
                turned = options[turn:] + options[:turn]
                question = "\n".join([*hint, row["question"], *lettered(turned)]) + ask
                truth = LETTERS[turned.index(right)]
                yield Item(image, question, truth, row["index"], row.get("category") or "", tuple(turned))


def mmbench_cn(folder):
    return mmbench(folder, LETTER_CN, "mmbench_dev_cn_*.tsv")


BENCHMARKS = {  # name: reader, metric
    "vqav2": (vqav2, scoring.vqa),
    "gqa": (gqa, scoring.exact),
    "scienceqa": (scienceqa, scoring.choice),
    "textvqa": (textvqa, scoring.vqa),
    "vizwiz": (vizwiz, scoring.vqa),
    "pope": (pope, scoring.pope),
    "mme": (mme, scoring.mme),
    "mmbench": (mmbench, scoring.circular),
    "mmbench-cn": (mmbench_cn, scoring.circular),
}
