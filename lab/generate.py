"""Draws pictures with questions and answers, the same for the same seed.

    python -m lab.generate --seed 1 --kind number --out page.png --answer
"""

import argparse
import functools
import io
import json
import random
from dataclasses import dataclass, field

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

FONTS = "/usr/share/fonts/truetype/"
FACES = [  # fonts-dejavu-core, fonts-liberation
    *("dejavu/DejaVu" + f for f in ("Sans", "Sans-Bold", "SansMono", "SansMono-Bold", "Serif", "Serif-Bold")),
    *("liberation/Liberation" + f for f in ("Sans-Regular", "Sans-Bold", "Serif-Regular", "Serif-Bold")),
    *("liberation/Liberation" + f for f in ("Mono-Regular", "Mono-Bold", "SansNarrow-Regular", "SansNarrow-Bold")),
    # for the vision side's training alone
    *("dejavu/DejaVu" + f for f in ("SansCondensed", "SansCondensed-Bold", "SerifCondensed", "SerifCondensed-Bold")),
    *("dejavu/DejaVu" + f for f in ("Sans-Oblique", "SansMono-Oblique", "Serif-Italic")),
    *("liberation/Liberation" + f for f in ("Sans-Italic", "Serif-Italic", "Mono-Italic", "SansNarrow-Italic")),
]
DRAWN = 14  # so many of them are on the pages that are asked about
PLAIN = (0, 1, 6, 7)
DIGITS, LETTERS = "0123456789", "abcdefghijklmnopqrstuvwxyz"
SHAPES = ("circle", "square", "triangle")
COLORS = {
    "red": (214, 40, 40),
    "green": (38, 150, 60),
    "blue": (40, 80, 205),
    "yellow": (235, 190, 20),
    "purple": (140, 50, 170),
}
WORDS = """acorn adult album angle ankle apple apron arrow atlas badge bakery banjo barrel basin basket beach bean beard beef beer bench
berry bike bird blade board boat bone book bottle bowl box brave bread bridge broom brush bucket bus butter button cabin cable
cake calm camel camera canal candle canoe card carpet carrot castle cat chain chair chalk cheese cherry chess city clay cliff
clock cloud clover coal coast coat cobra coffee coin comet copper coral corn cotton couch court cow crab crane cream crow crown
cup dance desk diary dog door dove dragon drum duck dust eagle earth east echo engine exit ferry field finger fire fish flag
flour flute forest fork fox frog game garden garlic gate giant ginger glass globe glove goat gold grape grass guitar hammer
happy harbor hat hill home honey horse hotel house ice iron island jacket jam jar jazz judge juice jungle kettle key kind king
kitten kiwi knife ladder lake lamp lazy leaf lemon light lion lizard magnet mango maple market mask meadow melon metal milk
mirror monkey moon motor mouse museum music nail needle nest night north oats ocean office olive onion open orange otter oven
owl oxygen palace panda paper parrot pasta peach pear pearl pen pencil pepper phone piano pillow pilot planet plate plug plum
pocket poem police pony potato proud quartz queen quick quiet rabbit radio rain rapid ribbon rice ring river road robin rocket
roof rope rose sail salad salmon salt sand saw scarf school seed shark sheep shelf ship shirt shoes silk silver sister sky snow
soap socks solid soup south spider spoon spring star statue steel stone stool storm street sugar summer sunny swan sword table
tailor tea temple tent ticket tiger toast tomato towel tower toy train tree truck tulip tunnel turtle valley velvet violet
violin vivid wagon wall warm water west whale wheel willow window wine winter wolf wood wool yard year yogurt young zebra zone""".split()


@functools.lru_cache(None)
def font(face, size):
    return ImageFont.truetype(f"{FONTS}{FACES[face]}.ttf", size)


@functools.lru_cache(None)
def advance(face, size, char):
    return font(face, size).getlength(char)


def width(face, size, text):
    return sum(advance(face, size, c) for c in text)


FIELDS = ("total", "tax", "cash", "change", "name", "city", "code", "room", "age", "date", "price", "count")


@dataclass
class Word:
    text: str
    x: float
    y: float  # of the baseline
    size: int
    face: int
    color: tuple
    facts: dict = field(default_factory=dict)  # its row and column in a table; its label (a word of the page) and field on a receipt


@dataclass
class Shape:
    kind: str
    color: str
    x: float  # of the centre
    y: float
    d: float


@dataclass
class Page:
    w: int
    h: int
    background: tuple
    words: list = field(default_factory=list)
    shapes: list = field(default_factory=list)
    decor: list = field(default_factory=list)  # (ImageDraw method, arguments, keywords)
    questions: list = field(default_factory=list)  # (question, answer)
    about: dict = field(default_factory=dict)  # question: the words or shapes that its answer is read from
    in_line: bool = False  # whether each shape's neighbours are those before and after it in the list


def draw(page):
    image = Image.new("RGB", (page.w, page.h), page.background)
    pen = ImageDraw.Draw(image)
    for method, args, keywords in page.decor:
        getattr(pen, method)(args, **keywords)
    for s in page.shapes:
        r = s.d / 2
        color = COLORS[s.color]
        if s.kind == "circle":
            pen.ellipse((s.x - r, s.y - r, s.x + r, s.y + r), fill=color)
        elif s.kind == "square":
            r *= 0.9
            pen.rectangle((s.x - r, s.y - r, s.x + r, s.y + r), fill=color)
        else:
            pen.polygon([(s.x, s.y - r), (s.x - r, s.y + r), (s.x + r, s.y + r)], fill=color)
    for word in page.words:
        pen.text((word.x, word.y), word.text, word.color, font(word.face, word.size), anchor="ls")
    return image


def wear(rng, image):
    """What becomes of pictures on their way, for training: a tint, the grain of the paper, a slight turn, blur, JPEG."""
    size = image.size
    if rng.random() < 0.4:
        image = ImageChops.multiply(image, Image.new("RGB", size, pastel(rng)))
    if rng.random() < 0.15:
        depth = rng.uniform(2, 12) / 74  # of bytes, whose deviation is 74
        grain = Image.frombytes("L", size, rng.randbytes(size[0] * size[1])).point(lambda v: 128 + (v - 128) * depth)
        image = ImageChops.add(image, Image.merge("RGB", (grain,) * 3), 1, -128)
    if rng.random() < 0.15:
        image = image.rotate(rng.uniform(-1, 1), Image.Resampling.BICUBIC, fillcolor=image.getpixel((0, 0)))
    if rng.random() < 0.15:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.7)))
    if rng.random() < 0.25:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=rng.randint(40, 95))
        image = Image.open(file).convert("RGB")
    return image


def light(rng):
    level = rng.randint(225, 255)
    return tuple(min(255, level + rng.randint(-12, 12)) for _ in range(3))


def pastel(rng):
    return tuple(rng.randint(200, 255) for _ in range(3))


def ink(rng):
    return (rng.randint(0, 40),) * 3 if rng.random() < 0.6 else tuple(rng.randint(0, 110) for _ in range(3))


def number(rng, most=5, least=1):
    digits = rng.randint(least, most)
    return str(rng.randint(10 ** (digits - 1) if digits > 1 else 0, 10**digits - 1))


def letters(rng):
    return rng.choice(WORDS) if rng.random() < 0.5 else "".join(rng.choices(LETTERS, k=rng.randint(3, 6)))


def word(rng):
    return rng.choice(WORDS)


def price(rng):
    return f"{rng.randint(0, 99)}.{rng.randint(0, 99):02d}"


def any_face(rng):
    """Half the time one of the four plainest faces."""
    return rng.choice(PLAIN) if rng.random() < 0.5 else rng.randrange(DRAWN)


def canvas(rng):
    """A page size: 200x200 to 672x1088 and 1344x336, aspect ratio 1:4 to 4:1."""
    if rng.random() < 0.3:
        return rng.choice(((672, 1008), (672, 1088), (1008, 672), (1344, 336), (336, 1344), (672, 672), (336, 336), (200, 200)))
    ratio = 4 ** rng.uniform(-1, 1)
    area = rng.uniform(200, 855) ** 2
    return max(64, round((area * ratio) ** 0.5)), max(64, round((area / ratio) ** 0.5))


def box(word):
    """The word's rectangle, with a little air."""
    w = width(word.face, word.size, word.text)
    return word.x - 5, word.y - word.size - 3, word.x + w + 5, word.y + word.size * 0.3 + 3


def shape_box(s):
    r = s.d / 2 + 4
    return s.x - r, s.y - r, s.x + r, s.y + r


def clear(rect, taken):
    return all(rect[2] < t[0] or t[2] < rect[0] or rect[3] < t[1] or t[3] < rect[1] for t in taken)


def decorate(rng, page, taken, most=12):
    """Colour patches, frames and lines that leave the taken rectangles alone; a patch may lie behind one of them."""
    for _ in range(rng.randint(0, most)):
        x, y = rng.randint(-20, page.w), rng.randint(-20, page.h)
        what = rng.random()
        if what < 0.3:
            rect = (x, y, x + rng.randint(15, 260), y + rng.randint(15, 200))
            if all(clear(rect, [t]) or (rect[0] < t[0] and rect[1] < t[1] and rect[2] > t[2] and rect[3] > t[3]) for t in taken):
                page.decor.append(("rectangle", rect, {"fill": pastel(rng)}))
            continue
        if what < 0.6:
            rect = (x, y, x + rng.randint(30, 500), y) if rng.random() < 0.6 else (x, y, x, y + rng.randint(30, 500))
        elif what < 0.8:
            rect = (x, y, x + rng.randint(20, 300), y + rng.randint(20, 200))
        else:
            rect = (x, y, x + rng.randint(20, 400), y + rng.randint(-60, 60))
            rect = (rect[0], min(rect[1], rect[3]), rect[2], max(rect[1], rect[3]))
        if not clear(rect, taken):
            continue
        color, thick = tuple(rng.randint(60, 220) for _ in range(3)), rng.randint(1, 3)
        if 0.6 <= what < 0.8:
            page.decor.append(("rectangle", rect, {"outline": color, "width": thick}))
        else:
            page.decor.append(("line", rect, {"fill": color, "width": thick}))


def place(rng, page, text, size, taken, borders=()):
    """Puts a word where nothing is yet, and where there are borders (their x) on one of them; None when there is no room."""
    for _ in range(40):
        word = Word(text, 0, 0, size, any_face(rng), ink(rng))
        w = width(word.face, size, text)
        if w + 8 >= page.w or size * 1.4 + 6 >= page.h:
            continue
        word.x = rng.randint(4, int(page.w - w - 4))
        if borders:
            word.x = min(max(4, round(rng.choice(borders) - w * rng.uniform(0.05, 0.95))), int(page.w - w - 4))
        word.y = rng.randint(size + 2, int(page.h - size * 0.3 - 2))
        if clear(box(word), taken):
            taken.append(box(word))
            page.words.append(word)
            return word
    return None


def place_shape(rng, page, taken, kind=None, color=None):
    for _ in range(40):
        d = rng.randint(24, 44)
        s = Shape(kind or rng.choice(SHAPES), color or rng.choice(list(COLORS)), 0, 0, d)
        s.x, s.y = rng.randint(d // 2 + 2, page.w - d // 2 - 2), rng.randint(d // 2 + 2, page.h - d // 2 - 2)
        if clear(shape_box(s), taken):
            taken.append(shape_box(s))
            page.shapes.append(s)
            return s
    return None


ASK_NUMBER = (
    "What is the number?",
    "What number is written in the picture?",
    "Which number do you see?",
    "Read the number.",
)
ASK_WORD = ("What is the word?", "What word is written in the picture?", "Which word do you see?", "Read the word.")


def small_print(rng):
    return rng.randint(15, 18) if rng.random() < 0.75 else rng.randint(19, 26)


def any_print(rng):
    return rng.randint(15, 48)


def number_page(rng, size=None, shapes=2, words=0, digits=5, print_size=small_print):
    page = Page(*(size or canvas(rng)), light(rng))
    taken = []
    target = None
    while target is None:
        target = place(rng, page, number(rng, digits), print_size(rng), taken)
    for _ in range(rng.randint(0, shapes)):
        place_shape(rng, page, taken)
    for _ in range(words):
        place(rng, page, word(rng), small_print(rng), taken)
    decorate(rng, page, taken)
    page.questions = [(rng.choice(ASK_NUMBER), target.text)]
    if words and len(page.words) == 2:
        page.questions.append((rng.choice(ASK_WORD), page.words[1].text))
    page.about = {question: [word] for (question, _), word in zip(page.questions, page.words)}
    return page


def print_page(rng, size=None):
    """A number in small or large print."""
    return number_page(rng, size, print_size=any_print)


def word_page(rng, size=None):
    page = Page(*(size or canvas(rng)), light(rng))
    taken = []
    target = None
    while target is None:
        target = place(rng, page, word(rng), small_print(rng), taken)
    for _ in range(rng.randint(0, 2)):
        place_shape(rng, page, taken)
    decorate(rng, page, taken)
    page.questions = [(rng.choice(ASK_WORD), target.text)]
    page.about = {page.questions[0][0]: [target]}
    return page


def read_page(rng, size, text, asks, borders=()):
    """A page with this text, on one of the borders if there are any."""
    page = Page(*(size or canvas(rng)), light(rng))
    taken = []
    target = None
    while target is None:
        target = place(rng, page, text, small_print(rng), taken, borders)
    for _ in range(rng.randint(0, 2)):
        place_shape(rng, page, taken)
    decorate(rng, page, taken)
    page.questions = [(rng.choice(asks), target.text)]
    page.about = {page.questions[0][0]: [target]}
    return page


def long_page(rng, size=None):
    """A number of five digits, of which `number_page` draws few."""
    return read_page(rng, size, number(rng, 5, 5), ASK_NUMBER)


def cut_page(rng, size=None):
    """A number, or one time in three a word, that lies on the border of two slices, where the page has such borders."""
    from . import slicing  # needs NumPy, which drawing the other kinds does without

    size = size or canvas(rng)
    text, asks = (word(rng), ASK_WORD) if rng.random() < 1 / 3 else (number(rng, 5, 2), ASK_NUMBER)
    return read_page(rng, size, text, asks, slicing.borders(*size))


def both_page(rng, size=None):
    page = number_page(rng, size, words=1)
    rng.shuffle(page.questions)
    return page


def table_page(rng, size=None, most=None):
    """most: no more rows and columns than this, and perhaps a single one."""
    page = Page(*(size or canvas(rng)), light(rng))
    least = 1 if most else 2
    rows = rng.randint(least, min(most or 5, 5, max(2, page.h // 50)))
    columns = rng.randint(least, min(most or 4, 4, max(2, page.w // 100)))
    left, top = rng.uniform(4, page.w * 0.12), rng.uniform(4, page.h * 0.15)
    pitch_x = (page.w - left - 6) / columns * rng.uniform(0.85, 1)
    pitch_y = (page.h - top - 6) / rows * rng.uniform(0.7, 1)
    face, color = any_face(rng), ink(rng)
    size = min(small_print(rng), int(pitch_y / 1.4))
    if rng.random() < 0.7:
        line = {"fill": tuple(rng.randint(60, 200) for _ in range(3)), "width": rng.randint(1, 2)}
        for r in range(rows + 1):
            y = top + r * pitch_y
            page.decor.append(("line", (left, y, left + columns * pitch_x, y), line))
        for c in range(columns + 1):
            x = left + c * pitch_x
            page.decor.append(("line", (x, top, x, top + rows * pitch_y), line))
    numbers = rng.random() < 0.5
    for r in range(rows):
        for c in range(columns):
            for _ in range(20):
                text = number(rng) if numbers or rng.random() < 0.5 else word(rng)
                if width(face, size, text) < pitch_x - 14:
                    break
            else:
                text = number(rng, 2)
            y = top + (r + 0.5) * pitch_y + size * 0.36
            page.words.append(Word(text, left + c * pitch_x + 7, y, size, face, color, {"row": r + 1, "column": c + 1}))
            page.questions.append((f"What is in row {r + 1}, column {c + 1}?", text))
            page.about[page.questions[-1][0]] = [page.words[-1]]
    rng.shuffle(page.questions)
    return page


def receipt_lines(rng, most):
    """Labels and values of a receipt (things, then what is to be paid) or of a form."""
    if rng.random() < 0.6:
        whole = rng.random() < 0.4
        fields = ["total", *sorted(rng.sample(("tax", "cash", "change"), rng.randint(0, 3)), key=FIELDS.index)][:most]
        things = rng.sample(WORDS, rng.randint(0, min(5, most - len(fields))))
        return [(label, number(rng, 4) if whole else price(rng)) for label in (*things, *fields)]
    fields = rng.sample(FIELDS[4:], rng.randint(min(2, most), min(6, most)))
    return [(label, word(rng) if label in ("name", "city") else number(rng, 4)) for label in fields]


def receipt_page(rng, size=None, most=9):
    """most: no more lines than this."""
    page = Page(*(size or canvas(rng)), light(rng))
    face, color = any_face(rng), ink(rng)
    size = small_print(rng)
    pitch = size * rng.uniform(1.4, 2.4)
    left = rng.uniform(6, max(8, page.w * 0.3))
    right = min(page.w - 8, left + rng.uniform(170, 420))
    lines = receipt_lines(rng, max(1, min(most, int((page.h - 16) / pitch) - 1)))
    y = rng.uniform(size + 4, max(size + 5, page.h - pitch * (len(lines) + 0.6)))
    for label, value in lines:
        if label == "total":
            page.decor.append(("line", (left, y - pitch * 0.35 - size * 0.36, right, y - pitch * 0.35 - size * 0.36), {"fill": color, "width": 1}))
            y += pitch * 0.3
        facts = {"label": len(page.words)} | ({"field": 1 + FIELDS.index(label)} if label in FIELDS else {})
        page.words.append(Word(label, left, y, size, face, color))
        page.words.append(Word(value, right - width(face, size, value), y, size, face, color, facts))
        if "field" in facts:
            page.questions.append((f"What is the {label}?", value))
            page.about[page.questions[-1][0]] = [page.words[-1]]
        y += pitch
    rng.shuffle(page.questions)
    if rng.random() < 0.6:
        page.questions.sort(key=lambda q: q[0] != "What is the total?")
    return page


def count_page(rng, size=None, most=6):
    """most: no more shapes of a kind than this."""
    page = Page(*(size or canvas(rng)), light(rng))
    taken = []
    combos = [(k, c) for k in SHAPES for c in COLORS]
    rng.shuffle(combos)
    room = page.w * page.h // 6000
    for kind, color in combos[: rng.randint(1, 3)]:
        for _ in range(rng.randint(1, max(1, min(most, room)))):
            place_shape(rng, page, taken, kind, color)
    decorate(rng, page, taken, 4)
    for kind, color in combos[:4]:
        those = [s for s in page.shapes if s.kind == kind and s.color == color]
        page.questions.append((f"How many {color} {kind}s are there?", str(len(those))))
        page.about[page.questions[-1][0]] = those
    return page


def relation_page(rng, size=None, most=4):
    """Two to four, or at most most, different shapes, side by side or one above the other."""
    page = Page(*(size or canvas(rng)), light(rng), in_line=True)
    sideways = page.w > page.h if max(page.w, page.h) > 1.6 * min(page.w, page.h) else rng.random() < 0.5
    length, across = (page.w, page.h) if sideways else (page.h, page.w)
    n = rng.randint(2, max(2, min(most, 4, length // 80)))
    combos = rng.sample([(k, c) for k in SHAPES for c in COLORS], n)
    line = rng.uniform(24, across - 24)
    for i, (kind, color) in enumerate(combos):
        d = rng.randint(24, 44)
        along = (i + rng.uniform(0.35, 0.65)) * length / n
        side = min(max(line + rng.uniform(-12, 12), d / 2 + 2), across - d / 2 - 2)
        page.shapes.append(Shape(kind, color, *((along, side) if sideways else (side, along)), d))
    before, after = ("left of", "right of") if sideways else ("above", "below")
    for i in range(n - 1):
        a, b = combos[i], combos[i + 1]
        page.questions.append((f"What is {before} the {b[1]} {b[0]}?", f"{a[1]} {a[0]}"))
        page.about[page.questions[-1][0]] = [page.shapes[i]]
        page.questions.append((f"What is {after} the {a[1]} {a[0]}?", f"{b[1]} {b[0]}"))
        page.about[page.questions[-1][0]] = [page.shapes[i + 1]]
    decorate(rng, page, [shape_box(s) for s in page.shapes], 4)
    rng.shuffle(page.questions)
    return page


def corner_page(rng, size=None):
    """A number in each quarter of the page."""
    page = Page(*(size or canvas(rng)), light(rng))
    taken, print_size = [], min(small_print(rng), page.w // 8)
    for part in ("top left", "top right", "bottom left", "bottom right"):
        target = Word(number(rng, 3), 0, 0, print_size, any_face(rng), ink(rng))
        left, top = (page.w * 0.54 if "right" in part else 4), (page.h * 0.54 if "bottom" in part else 4)
        target.x = round(rng.uniform(left, max(left, left + page.w * 0.44 - width(target.face, print_size, target.text))))
        target.y = round(rng.uniform(top + print_size, top + page.h * 0.42))
        taken.append(box(target))
        page.words.append(target)
        page.questions.append((f"What number is at the {part}?", target.text))
        page.about[page.questions[-1][0]] = [target]
    decorate(rng, page, taken, 4)
    rng.shuffle(page.questions)
    return page


def demo_page(rng):
    """The demo's kind: a light 672x1008 page, decorated, with one number of up to four digits in small print anywhere."""
    page = number_page(rng, (672, 1008), shapes=3, digits=4)
    page.questions = [(ASK_NUMBER[0], page.questions[0][1])]
    page.about = {ASK_NUMBER[0]: page.words[:1]}
    return page


KINDS = {
    "number": number_page,
    "print": print_page,
    "long": long_page,
    "cut": cut_page,
    "word": word_page,
    "both": both_page,
    "table": table_page,
    "receipt": receipt_page,
    "count": count_page,
    "relation": relation_page,
    "corner": corner_page,
    "demo": demo_page,
}


APART = ("corner", "long", "cut")  # corners are for the comparison of forms; the others are what numbers fail by, asked about by name only
TASKS = tuple(kind for kind in KINDS if kind not in APART)  # of the bundled model
LARGEST = {"table": 5, "receipt": 9, "count": 6, "relation": 4}  # kinds that can be told how much there may be on a page, and how much there may


def make(kind, seed, size=None, **limits):
    """The page of this kind and seed."""
    rng = random.Random(f"{kind}:{seed}")
    return KINDS[kind](rng, size, **limits) if size else KINDS[kind](rng, **limits)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--kind", choices=KINDS, default="demo")
    parser.add_argument("--out", required=True, help="PNG file to write")
    parser.add_argument("--answer", action="store_true", help="print the question and answer as JSON")
    args = parser.parse_args()
    page = make(args.kind, args.seed)
    draw(page).save(args.out, optimize=True)
    if args.answer:
        question, answer = page.questions[0]
        print(json.dumps({"image": args.out, "question": question, "answer": answer}))


if __name__ == "__main__":
    main()
