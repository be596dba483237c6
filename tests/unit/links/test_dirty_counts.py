"""How many paths wait, for which side, and since when: counted as they come and go."""

import random
from math import inf

from lakelink.links.dirty import FILES, LAKE, Dirty


def walked(dirty):
    marks = [*dirty._marks.values(), *dirty._busy.values()]
    files = [mark for mark in marks if mark.files]
    oldest = [min((m.since_s for m in marks if m.files is side), default=inf) for side in (True, False)]
    return (len(files), len(marks) - len(files)), oldest


def counted(dirty):
    return dirty.counts(), [dirty.oldest_s(files=True), dirty.oldest_s(files=False)]


class Hands:
    """Somebody who does with marks whatever can be done with them."""

    def __init__(self):
        self.choice = random.Random(7)
        self.dirty = Dirty()
        self.now_s = 0.0
        self._held = []

    def act(self):
        self.now_s += 1
        self.choice.choice([self._note, self._note, self._take, self._claim, self._end, self._end])()

    def _note(self):
        path, side = self.choice.choice("abcdefgh"), self.choice.choice([FILES, LAKE])
        self.dirty.note(path, side, self.now_s, ready_s=self.choice.choice([0.0, self.now_s + 2]))

    def _take(self):
        self._held.extend(self.dirty.take(self.choice.randint(1, 3), self.now_s))

    def _claim(self):
        mark = self.dirty.claim(self.choice.choice("abcdefgh"), self.now_s)
        if mark is not None:
            self._held.append(mark)
            if self.choice.random() < 0.5:
                self.dirty.concerns_files(mark)

    def _end(self):
        if not self._held:
            return
        mark = self._held.pop(self.choice.randrange(len(self._held)))
        way = self.choice.choice(["done", "give_back", "again", "later"])
        if way == "give_back":
            self.dirty.give_back(mark)
            return
        if way != "done":
            getattr(self.dirty, way)(mark, self.choice.choice([0.0, self.now_s + 1]))
        self.dirty.done(mark)


def test_the_counts_are_those_of_a_walk_through_all_marks():
    hands = Hands()
    for _ in range(4000):
        hands.act()
        assert counted(hands.dirty) == walked(hands.dirty)


def test_what_is_done_with_is_forgotten_although_nobody_asks_for_ages():
    dirty = Dirty()
    for number in range(10_000):
        dirty.note(f"{number}", FILES, float(number))
        (mark,) = dirty.take(1, float(number))
        dirty.done(mark)
    assert sum(len(heap) for heap in dirty._ages._heaps.values()) < 3000
    assert dirty.oldest_s(files=True) == inf
