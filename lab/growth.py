"""How much there may be on a page of the language stage: one thing more as soon as pages of that size are mostly answered."""

from .generate import GROWING

ENOUGH = 0.7  # of the answers, by weights whose rate has not fallen yet: their running means answer far more
LARGEST = {"table": 5, "receipt": 9, "count": 6, "relation": 4}


class Growth:
    """Begins with one thing of each kind of page (a row and a column, a line, a shape of a kind)."""

    def __init__(self, state=None):
        self.levels = state or dict.fromkeys(GROWING, 1)
        self.right = dict.fromkeys(GROWING, 0.0)

    def most(self, rng, kind):
        """How much this page may hold: half of the time as much as is known, else less. None: as it comes."""
        level = self.levels.get(kind)
        return level and (level if rng.random() < 0.5 else rng.randint(1, level))

    def learn(self, kind, most, results):
        """results: whether each answer about pages with at most so much on them was right."""
        level = self.levels.get(kind)
        if level is None or most != level:
            return
        self.right[kind] += 0.15 * (sum(results) / len(results) - self.right[kind])
        if self.right[kind] > ENOUGH and level < LARGEST[kind]:
            self.levels[kind], self.right[kind] = level + 1, 0.0
