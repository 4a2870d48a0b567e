"""The benchmarks' official metrics, from pairs of an item and a reply."""

import re
from itertools import combinations

NUMBERS = {w: str(i) for i, w in enumerate("zero one two three four five six seven eight nine ten".split())} | {"none": "0"}
ARTICLES = ("a", "an", "the")
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
WITH_APOSTROPHE = """ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't
he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't
not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're
there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all
y'all'll y'all'd've you'd you'd've you'll you're you've""".split()


def without_apostrophes(word):
    """The word with one or more of its apostrophes left out, in every way."""
    places = [i for i, c in enumerate(word) if c == "'"]
    for n in range(1, len(places) + 1):
        for left_out in combinations(places, n):
            yield "".join(c for i, c in enumerate(word) if i not in left_out)


CONTRACTIONS = {short: word for word in WITH_APOSTROPHE for short in without_apostrophes(word)} | {"somebody'd": "somebodyd"}


def normal_answer(text):
    """The normalisation of the VQA evaluation: punctuation, number words, articles, contractions."""
    text = text.replace("\n", " ").replace("\t", " ").strip()
    out = text
    grouped = re.search(r"\d,\d", text) is not None
    for p in PUNCTUATION:
        out = out.replace(p, "" if grouped or p + " " in text or " " + p in text else " ")
    out = re.sub(r"\.(?!\d)", "", out)
    words = [NUMBERS.get(w, w) for w in out.lower().split()]
    return " ".join(CONTRACTIONS.get(w, w) for w in words if w not in ARTICLES)


def vqa_accuracy(reply, answers):
    """How far a reply agrees with ten people: each is left out in turn, three of the others suffice."""
    reply, answers = normal_answer(reply), [normal_answer(a) for a in answers]
    equal = [a == reply for a in answers]
    return sum(min(1, (sum(equal) - e) / 3) for e in equal) / len(equal)


def percent(values):
    values = list(values)
    return 100 * sum(values) / len(values) if values else 0.0


def vqa(pairs):
    return {"accuracy": percent(vqa_accuracy(reply, item.truth) for item, reply in pairs)}


def exact(pairs):
    """GQA: the one short answer."""
    return {"accuracy": percent(reply.strip().rstrip(".").lower() == item.truth.lower() for item, reply in pairs)}


def letter(reply, options):
    """The option a reply names, as a letter, or None: the letter itself ("B", "B.", "(B) ...", "The answer is B."),
    or the text of exactly one option."""
    reply = reply.strip()
    letters = "ABCDEFGH"[: len(options)]
    for pattern in (r"\(?([A-H])\)?[.:,)]?$", r"\(?([A-H])[.:)](?:\s|$)", r".*\b[Aa]nswer is:? \(?([A-H])\b"):
        found = re.match(pattern, reply, re.DOTALL)
        if found and found[1] in letters:
            return found[1]
    low = reply.rstrip(".").lower()
    equal = [c for c, o in zip(letters, options) if o.lower() == low]
    within = equal or [c for c, o in zip(letters, options) if o.lower() in low]
    return within[0] if len(within) == 1 else None


def choice(pairs):
    """ScienceQA."""
    return {"accuracy": percent(letter(reply, item.options) == item.truth for item, reply in pairs)}


def circular(pairs):
    """MMBench: an item counts when it is answered in every rotation of its options. The official evaluation lets a
    language model read replies that name no option; here these are wrong."""
    right = {}
    for item, reply in pairs:
        right[item.group] = right.get(item.group, True) and letter(reply, item.options) == item.truth
    figures = {"accuracy": percent(right.values())}
    categories = {item.group: item.category for item, _ in pairs}
    for category in sorted(set(categories.values())):
        figures[f"accuracy, {category}"] = percent(r for g, r in right.items() if categories[g] == category)
    return figures


def pope_says(reply):
    words = reply.split(".")[0].replace(",", "").split()
    return "no" if any(w in ("No", "not", "no") for w in words) else "yes"


def pope(pairs):
    """Accuracy, precision, recall, F1 and share of "yes" of each of the three sets, and the mean F1."""
    figures = {}
    sets = sorted({item.category for item, _ in pairs})
    for name in sets:
        said = [(pope_says(reply) == "yes", item.truth == "yes") for item, reply in pairs if item.category == name]
        hit = sum(s and t for s, t in said)
        precision, recall = hit / max(sum(s for s, _ in said), 1), hit / max(sum(t for _, t in said), 1)
        f1 = 2 * precision * recall / (precision + recall) if hit else 0.0
        figures |= {f"{k}, {name}": 100 * v for k, v in (
            ("accuracy", sum(s == t for s, t in said) / len(said)), ("precision", precision), ("recall", recall),
            ("F1", f1), ("yes", sum(s for s, _ in said) / len(said)))}
    return figures | {"F1": sum(figures[f"F1, {name}"] for name in sets) / len(sets)}


PERCEPTION = "existence count position color posters celebrity scene landmark artwork OCR".split()
COGNITION = "commonsense_reasoning numerical_calculation text_translation code_reasoning".split()


def mme_says(reply):
    reply = reply.strip().lower()
    if reply in ("yes", "no"):
        return reply
    return "yes" if "yes" in reply[:4] else "no" if "no" in reply[:4] else "other"


def mme(pairs):
    """Score of a category: percent of questions, plus percent of pictures with both questions right."""
    figures = {}
    for name in sorted({item.category for item, _ in pairs}):
        pictures = {}
        for item, reply in pairs:
            if item.category == name:
                pictures.setdefault(item.group, []).append(mme_says(reply) == item.truth)
        one, both = percent(r for p in pictures.values() for r in p), percent(map(all, pictures.values()))
        figures |= {f"acc, {name}": one, f"acc+, {name}": both, f"score, {name}": one + both}
    for total, names in (("perception", PERCEPTION), ("cognition", COGNITION)):
        figures[total] = sum(figures.get(f"score, {n}", 0) for n in names)
    return figures
