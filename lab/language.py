"""Stage 2: the language model learns to answer, from perfect tokens or from both kinds."""

import random
from itertools import groupby

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from . import data, facts, generate, slicing, text
from .export import assemble, language_part, vision_part
from .optim import optimizers
from .precision import autocast
from .progress import Progress, add_hits, descend, hit_shares, weights
from .tokens import PerfectTokens, RealTokens

# Groups of kinds of pages whose conversations are about equally long, with the embeddings these take, and their share
# of the steps.
READING = (("number", "long", "cut", "cut", "print", "word", "word", "both"), 25)
CUT = (("cut",), 25)
TABLES, RECEIPTS, COUNTS, RELATIONS = (("table",), 80), (("receipt",), 60), (("count",), 45), (("relation",), 60)
MIXES = {
    "number": ((("number", "print"), 20, 1.0),),
    "corner": ((("corner",), 60, 1.0),),
    "reading": ((*READING, 1.0),),
    "cut": ((*CUT, 0.35), (*READING, 0.2), (*TABLES, 0.12), (*RECEIPTS, 0.13), (*COUNTS, 0.1), (*RELATIONS, 0.1)),
    "mostly reading": ((*READING, 0.45), (*TABLES, 0.1), (*RECEIPTS, 0.15), (*COUNTS, 0.15), (*RELATIONS, 0.15)),
    "spatial": ((*READING, 0.18), (*TABLES, 0.14), (*RECEIPTS, 0.14), (*COUNTS, 0.27), (*RELATIONS, 0.27)),
    "all": ((*READING, 0.26), (*TABLES, 0.17), (*RECEIPTS, 0.19), (*COUNTS, 0.19), (*RELATIONS, 0.19)),
}


def canvas(rng, slices):
    """A page size that is cut into this many slices (0: overview alone)."""
    while True:
        size = generate.canvas(rng)
        p = slicing.plan(*size)
        if slices == (p.grid[0] * p.grid[1] if p.grid else 0):
            return size


def page_batch(rng, slices, tokens, budget, groups):
    """Pages of one group that are cut into equally many slices, for about this many embeddings; tokens: of one picture. Half
    of the time there is less on them than there may be: who learns to find things begins with few."""
    kinds, length, _ = rng.choices(groups, [g[2] for g in groups])[0]
    most = rng.randint(1, generate.LARGEST.get(kinds[0], 1)) if rng.random() < 0.5 else None
    count = max(min(6, budget // 200), int(budget / (tokens + length)))
    pages = [data.random_page(rng, kinds, canvas(rng, slices), most) for _ in range(count)]
    for page in pages:
        rng.shuffle(page.questions)  # so that the order says nothing about the answers
    return pages


def conversation(page, limit):
    """Ids after the picture and, for each, whether it is to be learnt; and for those that are, the question."""
    ids, learn, questions = [], [], []
    for n, (question, answer) in enumerate(page.questions[:limit]):
        asked, said = text.turn(question, n == 0), text.encode(answer) + [text.EOS]
        ids += asked + said
        learn += [False] * len(asked) + [True] * len(said)
        questions += [question] * len(said)
    return ids, learn, questions


def kept(busy, share, rng, known, separators):
    """Places [B, n] of the picture's embeddings that a step looks at: all that hold something, the separators, and some
    empty ones of the views that are known, equally many for every page."""
    pages, views, cells = busy.shape
    places = cells + 1 if separators else cells  # a view's tokens, and the separator after it
    full = np.zeros((pages, views, places), bool)
    full[:, :, :cells] = busy
    full[:, :-1, cells:] = True
    last = -1 if separators else None
    full = full.reshape(pages, -1)[:, :last]
    unknown = np.repeat(~known, places, 1)[:, :last] & ~full
    n = max(full.sum(1).max(), min(int(share * full.shape[1]), (~unknown).sum(1).min()))
    order = np.random.default_rng(rng.getrandbits(32)).random(full.shape) - full + unknown
    return torch.from_numpy(np.sort(np.argsort(order, 1)[:, :n], 1))


class Shown:
    """Pages as a language step sees them. tokens: their visual tokens; places [B, n]: the picture's embeddings that are shown,
    every one of which keeps its position."""

    def __init__(self, model, tokens, pages, places):
        self.pages, self.places, self.form = pages, places, model.form
        self.facts = [facts.PageFacts(p, model.form) for p in pages]
        rows = torch.stack([model.image_embeddings(t, model.form.marks(p.w, p.h)) for t, p in zip(tokens, pages)])
        self.length = rows.shape[1]
        bos = model.model.embed_tokens.weight[text.BOS].expand(len(pages), 1, -1)
        self.embeddings = torch.cat([bos, rows.gather(1, places[..., None].expand(-1, -1, rows.shape[2]))], 1)
        self.positions = torch.cat([torch.zeros(len(pages), 1), 1 + places], 1)
        self.row_of = [{place: 1 + n for n, place in enumerate(p.tolist())} for p in places]

    def rows(self, page, weights, sink):
        """{row: weight} of those of the places {(view, cell): weight} that are shown, and of the prompt's start."""
        numbers = {self.row_of[page].get(v * (self.form.cells**2 + self.form.separators) + cell): w for (v, cell), w in weights.items()}
        numbers.pop(None, None)
        return numbers | {0: sink} if sink else numbers

    def looks(self):
        """Where heads of the visual tokens should look, as `facts.look_loss` takes it."""
        result = []
        for b, page in enumerate(self.facts):
            for name, place, weights, sink in page.looks():
                row, wanted = self.rows(b, {place: 1}, 0), self.rows(b, weights, sink)
                if row and wanted:
                    result.append((facts.LOOKS[name], b, next(iter(row)), wanted))
        return result

    def answer_looks(self, talks):
        """The same for the rows whose next token belongs to an answer, for each of three layers: at what the question names; where
        the answer is read; where it is read once more."""
        named, pointers, last = [], [], []
        for b, page in enumerate(self.facts):
            _, learn, questions = talks[b]
            rows = [self.embeddings.shape[1] - 1 + n for n, k in enumerate(learn) if k]
            at = 0
            while at < len(rows):
                length = next((n for n in range(1, len(rows) - at) if rows[at + n] != rows[at] + n), len(rows) - at)
                name = self.rows(b, dict.fromkeys(page.named(questions[at]), 1), 0)
                named += [(facts.NAMED, b, row, name) for row in rows[at : at + length] if name]
                for row, (spots, whole, sink) in zip(rows[at:], page.pointers(questions[at], length)):
                    if wanted := self.rows(b, dict.fromkeys(spots, 1), sink):
                        pointers.append((facts.POINTERS, b, row, wanted))
                        last.append((facts.LAST_POINTERS, b, row, wanted))
                    if wanted := self.rows(b, dict.fromkeys(whole, 1), sink):
                        pointers.append((facts.WHOLE, b, row, wanted))
                at += length
        return named, pointers, last

    def in_slice(self, talks):
        """`facts.SLICE_FACTS` of every token of the answers."""
        answers = [(page, q, len(list(same))) for page, (_, _, questions) in zip(self.facts, talks) for q, same in groupby(questions)]
        return [{"local": target} for page, q, length in answers for target in page.in_slice(q, length)]


def picture_loss(model, heads, shown, x, positions):
    """The hidden states before and after the last of `facts.LAYER` layers of the embeddings x, which begin with the pages shown; loss and
    hits of what the picture's rows should find out until there; the part of that loss about where to look."""
    picture = slice(1, 1 + shown.places.shape[1])
    early = model.layers(x, positions, 0, facts.PLACES)
    late = model.layers(early, positions, facts.PLACES, facts.LAYER - 1)
    middle = model.layers(late, positions, facts.LAYER - 1, facts.LAYER)
    place_loss, place_hits = facts.loss(heads, facts.PLACE_FACTS, early[:, picture], shown.places, shown.form, shown.facts)
    fact_loss, fact_hits = facts.loss(heads, facts.WORD_FACTS | facts.SHAPE_FACTS, middle[:, picture], shown.places, shown.form, shown.facts)
    look_loss = facts.look_loss(model.model.layers[facts.PLACES], early, model.angles(positions), shown.looks())
    return (late, middle), place_loss + fact_loss + look_loss, place_hits | fact_hits, {"look": look_loss.item()}


def answer_loss(model, heads, shown, limit):
    """Loss of the answers, whether each of them was right (teacher forced, which equals greedy decoding), loss and hits
    of what the middle is told, and the parts of that loss about where to look."""
    pages = shown.pages
    talks = [conversation(p, limit) for p in pages]
    longest = max(len(ids) for ids, _, _ in talks)
    ids = torch.tensor([i + [text.EOS] * (longest - len(i)) for i, _, _ in talks])
    learn = torch.tensor([k + [False] * (longest - len(k)) for _, k, _ in talks])
    x = torch.cat([shown.embeddings, model.model.embed_tokens(ids)], 1)
    after = (1 + shown.length + torch.arange(longest)).expand(len(pages), -1)
    positions = torch.cat([shown.positions, after], 1)
    (late, middle), told, hits, looked = picture_loss(model, heads, shown, x, positions)
    read = model.layers(middle, positions, facts.LAYER, facts.LAYER + 1)
    layers, given = model.model.layers[facts.LAYER - 1 : facts.LAYER + 2], (late, middle, read)
    looks = [facts.look_loss(layer, y, model.angles(positions), wanted) for layer, y, wanted in zip(layers, given, shown.answer_looks(talks))]
    questions = [question for _, _, of_page in talks for question in of_page]
    question_loss, question_hits = facts.answer_fact_loss(heads, facts.QUESTION_FACTS, middle[:, -longest - 1 : -1][learn], [facts.asked(q) for q in questions])
    local_loss, local_hits = facts.answer_fact_loss(heads, facts.SLICE_FACTS, read[:, -longest - 1 : -1][learn], shown.in_slice(talks))
    hidden = model.model.norm(model.layers(read, positions, facts.LAYER + 1, None))
    logits = model.lm_head(hidden[:, -longest - 1 : -1][learn]).float()
    loss = F.cross_entropy(logits, ids[learn])
    good = torch.ones_like(learn)
    good[learn] = logits.argmax(-1) == ids[learn]
    results = []
    for b in range(len(pages)):
        ends = [n for n in range(longest) if learn[b, n] and ids[b, n] == text.EOS]
        first = 0
        for end in ends:
            results.append(bool(good[b, first : end + 1].all()))
            first = end + 1
    told = told + question_loss + local_loss + sum(looks)
    return loss, results, told, hits | question_hits | local_hits, looked | dict(zip(("named", "pointer", "last"), (look.item() for look in looks)))


def language(args):
    """Stage 2. With --tune the projector learns too, from the answers and from the codes of its tokens."""
    torch.manual_seed(2)
    model = assemble([args.vision] if args.vision else (), [args.init] if args.init else (), args.form)
    part, projector, heads = language_part(model), model.model.mm_projector, facts.Heads(model.config["hidden_size"])
    if args.init and len(modules := weights(args.init)) > 1:
        heads.load_state_dict(modules[1], strict=False)
    trained = nn.ModuleList([part, heads])
    modules, optims = [part, heads], optimizers(trained, args.muon, args.adam)
    if args.tune:
        modules.append(projector)
        optims += optimizers(projector, args.tune, args.tune / 10)
    progress = Progress(args, modules, optims)
    perfect = PerfectTokens(model)
    real = RealTokens(model, keep=60, fresh=args.fresh)
    sums, known_facts, points, saved, losses, errors = {}, {}, {}, 0, [], []
    while progress.tick(hold=args.hold):
        rng = random.Random(f"language:{args.seed}:{progress.step}")
        done = progress.used / progress.seconds
        small = 0.3 if args.vision or args.init else max(0.15, 0.8 - 2 * done)
        slices = 0 if rng.random() < small else rng.choice((2, 3, 4, 5, 6, 6, 6))
        share = 1.0 if rng.random() < 0.05 + 0.2 * done else rng.uniform(0.1, 0.3)
        looking = rng.random() < args.looking

        def draw_pages(mix=args.mix):
            size = model.form.cells**2 if model.form.square else 65 * slices + 64
            groups = [(kinds, 0 if looking else length, weight) for kinds, length, weight in MIXES[mix]]
            return page_batch(rng, slices, size * share, args.budget, groups)

        if args.vision and rng.random() < args.real:
            drawn = real.batch(rng, lambda: draw_pages(args.real_mix or args.mix), share == 1)
            mark, pages, busy, known = "r", drawn.pages, drawn.busy, drawn.known
            with torch.set_grad_enabled(args.tune > 0), autocast():
                tokens = real.tokens(drawn)
        else:
            drawn, mark, pages = None, "", draw_pages()
            tokens, busy = perfect(pages, rng)
            known = np.ones(busy.shape[:2], bool)
        with autocast():
            shown = Shown(model, tokens, pages, kept(busy, share, rng, known, model.form.separators))
            if looking:
                _, loss, hits, looked = picture_loss(model, heads, shown, shown.embeddings, shown.positions)
                loss = args.facts * loss
            else:
                loss, results, told, hits, looked = answer_loss(model, heads, shown, args.questions)
                losses.append(loss.item())
                count_answers(sums, pages, results, mark, args.questions)
                loss = loss + args.facts * told
        if args.tune and drawn:
            asked = ~drawn.perfect[..., 0].isnan()
            error = (tokens[asked] - drawn.perfect[asked]).square()
            loss = loss + error.mean() + error[torch.from_numpy(busy)[asked]].mean()
            errors.append(error.mean().item())
        descend(loss, progress.optims)
        add_hits(known_facts, hits)
        for name, value in looked.items():
            points.setdefault(name, []).append(value)
        if progress.step % 50 == 0:
            progress.log(loss=mean(losses), error=mean(errors), **shares(sums), **{name: mean(values) for name, values in points.items()}, facts=hit_shares(known_facts))
            sums, known_facts, points, losses, errors = {}, {}, {}, [], []
        if progress.used - saved > 60:
            save(progress, model)
            saved = progress.used
    save(progress, model)


def save(progress, model):
    """The stage's state and, where the projector learns too, the vision side with its mean."""
    progress.save()
    if len(progress.means) > 2:
        state = vision_part(model).state_dict() | {f"1.{name}": t for name, t in progress.means[2].state_dict().items()}
        torch.save({"modules": [state]}, progress.folder / "vision.pt")


def mean(values):
    return round(sum(values) / len(values), 3) if values else None


def count_answers(sums, pages, results, mark, limit):
    """Adds right and all answers by kind of question and by small (overview alone, 0) or large (+) picture."""
    i = 0
    for page in pages:
        small = slicing.plan(page.w, page.h).grid is None
        for question, _ in page.questions[:limit]:
            key = kind_of(question) + mark + ("0" if small else "+")
            right, n = sums.get(key, (0, 0))
            sums[key] = (right + results[i], n + 1)
            i += 1


def kind_of(question):
    for mark, kind in (("at the", "corner"), ("umber", "number"), ("word", "word"), ("column", "table"), ("many", "count"), ("of the", "relation"), ("above", "relation"), ("below", "relation")):
        if mark in question:
            return kind
    return "receipt"


def shares(sums):
    return {k: round(a / n, 2) for k, (a, n) in sorted(sums.items())}
