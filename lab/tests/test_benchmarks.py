"""Reads and scores small files in the format of each public benchmark.

    python -m lab.tests.test_benchmarks
"""

import base64
import csv
import json
import tempfile
from pathlib import Path

from lab import scoring
from lab.benchmarks import BENCHMARKS, Item
from lab.client import file_of

PNG = None  # bytes of a small picture, made in main


def picture(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(PNG)


def put(file, value):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def run(name, folder, replies):
    """Figures of a benchmark whose questions get these replies; every picture can be read."""
    read, score = BENCHMARKS[name]
    items = list(read(folder))
    assert len(items) == len(replies), (name, [i.question for i in items])
    assert all(item.file() == PNG for item in items)
    return items, score(list(zip(items, replies)))


def near(value, wanted):
    assert abs(value - wanted) < 1e-6, (value, wanted)


def ten(**counts):
    return [a for a, n in counts.items() for _ in range(n)]


def check_vqav2(folder):
    put(folder / "v2_OpenEnded_mscoco_val2014_questions.json", {"questions": [
        {"question_id": 1, "image_id": 42, "question": "What is it?"}, {"question_id": 2, "image_id": 42, "question": "How many?"}]})
    answers = ({1: ten(dog=2, cat=8), 2: ten(two=10)})
    put(folder / "v2_mscoco_val2014_annotations.json", {"annotations": [
        {"question_id": q, "answers": [{"answer": a, "answer_id": i} for i, a in enumerate(given)]} for q, given in answers.items()]})
    picture(folder / "val2014/COCO_val2014_000000000042.jpg")
    items, figures = run("vqav2", folder, ["A dog.", "2"])
    assert items[0].question.startswith("What is it?\n")
    near(figures["accuracy"], 100 * ((2 * 1 / 3 + 8 * 2 / 3) / 10 + 1) / 2)


def check_textvqa(folder):
    put(folder / "TextVQA_0.5.1_val.json", {"data": [{"question_id": 1, "question": "brand?", "image_id": "ab", "answers": ten(nokia=3, sony=7)}]})
    picture(folder / "train_images/ab.jpg")
    _, figures = run("textvqa", folder, ["Nokia"])
    near(figures["accuracy"], 100 * (3 * 2 / 3 + 7 * 1) / 10)


def check_vizwiz(folder):
    given = [{"answer": a, "answer_confidence": "yes"} for a in ten(unanswerable=9, can=1)]
    put(folder / "val.json", [{"image": "VizWiz_val_00000000.jpg", "question": "What?", "answers": given, "answerable": 0}])
    picture(folder / "val/VizWiz_val_00000000.jpg")
    _, figures = run("vizwiz", folder, ["Unanswerable"])
    near(figures["accuracy"], 100)


def check_gqa(folder):
    put(folder / "testdev_balanced_questions.json", {
        "1": {"imageId": "n1", "question": "Which?", "answer": "left"}, "2": {"imageId": "n1", "question": "Who?", "answer": "man"}})
    picture(folder / "images/n1.jpg")
    _, figures = run("gqa", folder, ["Left.", "a man"])
    near(figures["accuracy"], 50)


def check_scienceqa(folder):
    problem = {"question": "Which?", "choices": ["iron", "wood"], "answer": 1, "hint": "Look.", "image": "image.png"}
    put(folder / "problems.json", {"7": problem, "8": problem | {"image": None}, "9": problem})
    put(folder / "pid_splits.json", {"test": ["7", "8", "9"], "train": []})
    for i in "79":
        picture(folder / "test" / i / "image.png")
    items, figures = run("scienceqa", folder, ["B", "The answer is A."])
    assert items[0].question.startswith("Look.\nWhich?\nA. iron\nB. wood\n")
    near(figures["accuracy"], 50)


def check_pope(folder):
    for name in ("random", "popular", "adversarial"):
        lines = [{"question_id": i, "image": "a.jpg", "text": "Is there a dog?", "label": label} for i, label in enumerate(("yes", "no", "yes"))]
        put(folder / f"coco_pope_{name}.json", "\n".join(map(json.dumps, lines)) + "\n")
    picture(folder / "val2014/a.jpg")
    _, figures = run("pope", folder, ["Yes", "Yes.", "No, there is not"] + ["yes", "no", "yes"] * 2)
    near(figures["accuracy, random"], 100 / 3)
    near(figures["precision, random"], 50)
    near(figures["recall, random"], 50)
    near(figures["yes, random"], 200 / 3)
    near(figures["F1"], (50 + 100 + 100) / 3)


def check_mme(folder):
    lines = "Is it red? Please answer yes or no.\tYes\nIs it blue? Please answer yes or no.\tNo\n"
    for n in "12":
        put(folder / f"color/{n}.txt", lines)
        picture(folder / f"color/{n}.jpg")
    put(folder / "scene/questions_answers_YN/x.txt", lines)
    picture(folder / "scene/images/x.jpg")
    put(folder / "readme.txt", "not a category")
    _, figures = run("mme", folder, ["Yes", "No", "Yes", "yes, it is", "no", "no"])
    near(figures["score, color"], 75 + 50)
    near(figures["score, scene"], 50)
    near(figures["perception"], 175)
    near(figures["cognition"], 0)


def check_mmbench(folder, name, file):
    rows = [
        {"index": 3, "question": "Which?", "A": "sun", "B": "moon", "C": "star", "answer": "B", "category": "sky"},
        {"index": 4, "question": "Who?", "hint": "Think.", "A": "he", "B": "she", "answer": "A", "category": "people"},
        {"index": 1_000_003, "question": "Which?", "A": "moon", "B": "star", "C": "sun", "answer": "A", "category": "sky"},
    ]
    with open(folder / file, "w", newline="") as out:
        writer = csv.DictWriter(out, ["index", "question", "hint", *"ABCD", "answer", "category", "image"], delimiter="\t")
        writer.writeheader()
        writer.writerows(row | {"image": base64.b64encode(PNG).decode()} for row in rows)
    items, figures = run(name, folder, ["B", "A. moon", "moon", "A", "A"])
    assert [i.truth for i in items] == ["B", "A", "C", "A", "B"]
    near(figures["accuracy"], 50)
    near(figures["accuracy, sky"], 100)


def check_answers():
    for text, wanted in (("The two dogs.", "2 dogs"), ("1,000", "1000"), ("dont know", "don't know"), ("3.5", "3.5"),
                         ("red/green", "red green"), ("red, green", "red green"), ("none", "0"), ("yes!", "yes")):
        assert scoring.normal_answer(text) == wanted, (text, scoring.normal_answer(text))
    options = ("a cat", "a dog", "a bird")
    for text, wanted in (("B", "B"), ("(C)", "C"), ("A. a dog", "A"), ("I think the answer is B.", "B"), ("A Bird.", "C"),
                         ("D", None), ("a cat or a dog", None), ("", None), ("It is a dog", "B"), ("A cat", "A")):
        assert scoring.letter(text, options) == wanted, (text, scoring.letter(text, options))
    for text, wanted in (("No", "no"), ("There is no dog", "no"), ("It is not. Yes", "no"), ("Yes, nothing else", "yes")):
        assert scoring.pope_says(text) == wanted
    assert [scoring.mme_says(t) for t in ("Yes", "no.", "perhaps")] == ["yes", "no", "other"]
    assert scoring.mme([(Item(b"", "", "yes", "1", "OCR"), "perhaps")])["perception"] == 0


def main():
    global PNG
    from PIL import Image

    PNG = file_of(Image.new("RGB", (8, 8)))
    check_answers()
    for check in (check_vqav2, check_gqa, check_scienceqa, check_textvqa, check_vizwiz, check_pope, check_mme):
        with tempfile.TemporaryDirectory() as folder:
            check(Path(folder))
    for name, file in (("mmbench", "mmbench_dev_20230712.tsv"), ("mmbench", "mmbench_dev_en_20231003.tsv"), ("mmbench-cn", "mmbench_dev_cn_20231003.tsv")):
        with tempfile.TemporaryDirectory() as folder:
            check_mmbench(Path(folder), name, file)
    print("all benchmarks read and scored")


if __name__ == "__main__":
    main()
