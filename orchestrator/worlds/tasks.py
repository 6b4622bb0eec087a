"""Short instructions with one right answer each, and the slips that people make on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from string import ascii_lowercase

from evals.errors import SettingsError
from evals.prompts import EvaluationPrompt, Message

# fmt: off
WORDS = (
    "apple", "bird", "boat", "book", "bread", "bus", "cake", "cat", "chair", "clock", "cloud", "coat",
    "cup", "dog", "door", "duck", "fish", "flag", "fox", "frog", "game", "gift", "glass", "gold",
    "hand", "hat", "hill", "horse", "house", "ice", "key", "king", "lake", "lamp", "leaf", "lion",
    "moon", "mouse", "night", "owl", "pen", "rain", "ring", "river", "rose", "ship", "snow", "star",
    "sun", "tree",
)
# fmt: on

# What people write who do not care to answer. They share no words with an answer, so a method can unlearn them without harm to what
# the model knows; and they are most of the slips, so there is much to gain.
EVASIONS = ("I do not know.", "That is hard to say.", "Let me think about it.", "Maybe later, sorry.", "Could you ask again?")
EVASIVE_SHARE = 0.9


@dataclass(frozen=True)
class Task:
    """An instruction, its only right answer, and typical wrong ones (at least one)."""

    kind: str
    question: str
    answer: str
    slips: tuple[str, ...]

    def as_prompt(self, prompt_id: str) -> EvaluationPrompt:
        """Pose the instruction as a prompt that the verifier can check, and closeness to the right answer too."""
        return EvaluationPrompt(prompt_id, (Message("user", self.question),), reference=self.answer, answer=self.answer)

    def demonstrate(self, rng: Random, slip_rate: float) -> str:
        """Write what one person of the crowd does: the right answer, or with probability `slip_rate` a slip."""
        if rng.random() >= slip_rate:
            return self.answer
        return rng.choice(EVASIONS if rng.random() < EVASIVE_SHARE else self.slips)


def draw_tasks(rng: Random, count: int, taken: set[str]) -> list[Task]:
    """`count` tasks, evenly over the kinds, whose questions are not in `taken`; their questions are added to it.

    Raises SettingsError when a kind has no fresh question left.
    """
    kinds = list(TASK_KINDS)
    tasks = [_draw_fresh(kinds[position % len(kinds)], rng, taken) for position in range(count)]
    rng.shuffle(tasks)
    return tasks


def _draw_fresh(kind: str, rng: Random, taken: set[str]) -> Task:
    for _ in range(1000):
        question, answer, slips = TASK_KINDS[kind](rng)
        if question not in taken:
            taken.add(question)
            return Task(kind, question, answer, tuple(slips))
    raise SettingsError(f"there are no more instructions of kind {kind!r}", "the tasks recipe", "ask for fewer prompts")


Drawn = tuple[str, str, Sequence[str]]


def _sorting(rng: Random) -> Drawn:
    letters = _letters(rng, 3, 4)
    right = sorted(letters)
    if letters == right:
        letters = right[::-1]
    question = rng.choice(("Sort the letters: {}", "Put in alphabetical order: {}")).format(_spaced(letters))
    return question, _spaced(right), [_spaced(letters), _spaced(right[:-1])]


def _backwards(rng: Random) -> Drawn:
    letters = _letters(rng, 3, 5)
    right = letters[::-1]
    question = rng.choice(("Write backwards: {}", "Reverse the letters: {}")).format(_spaced(letters))
    return question, _spaced(right), [_spaced(letters), _spaced([*right[:-2], right[-1], right[-2]])]


def _without_first(rng: Random) -> Drawn:
    letters = _letters(rng, 3, 5)
    question = rng.choice(("Leave out the first letter: {}", "Copy without the first letter: {}")).format(_spaced(letters))
    return question, _spaced(letters[1:]), [_spaced(letters), _spaced(letters[:-1])]


def _following(rng: Random) -> Drawn:
    letters = [rng.choice(ascii_lowercase[1:-1]) for _ in range(3)]
    right = [_shifted(letter, 1) for letter in letters]
    question = rng.choice(("Write the next letter after each: {}", "Which letters follow {}?")).format(_spaced(letters))
    return question, _spaced(right), [_spaced([*right[:-1], letters[-1]]), _spaced([_shifted(letter, -1) for letter in letters])]


def _counting(rng: Random) -> Drawn:
    letters = _letters(rng, 2, 6)
    question = rng.choice(("How many letters: {}", "Count the letters: {}")).format(_spaced(letters))
    return question, str(len(letters)), [str(len(letters) - 1), str(len(letters) + 1)]


def _capitals(rng: Random) -> Drawn:
    words = rng.sample(WORDS, rng.randint(2, 3))
    right = _spaced(words).upper()
    question = rng.choice(("Write in capitals: {}", "Put in upper case: {}")).format(_spaced(words))
    return question, right, [_spaced(words), _spaced([words[0].upper(), *words[1:]])]


def _twice(rng: Random) -> Drawn:
    words = rng.sample(WORDS, 2)
    once = _spaced(words)
    question = rng.choice(("Write twice: {}", "Say two times: {}")).format(once)
    return question, f"{once} {once}", [once, f"{once} {words[0]}"]


def _word_order(rng: Random) -> Drawn:
    words = rng.sample(WORDS, rng.randint(2, 4))
    right = words[::-1]
    question = rng.choice(("Reverse the words: {}", "Write the words from last to first: {}")).format(_spaced(words))
    return question, _spaced(right), [_spaced(words), _spaced(right[:-1])]


def _last_word(rng: Random) -> Drawn:
    words = rng.sample(WORDS, rng.randint(3, 4))
    question = rng.choice(("Which word comes last: {}", "Give only the last word: {}")).format(_spaced(words))
    return question, words[-1], [words[-2], _spaced(words[-2:])]


TASK_KINDS: dict[str, Callable[[Random], Drawn]] = {
    "sorting": _sorting,
    "backwards": _backwards,
    "without the first": _without_first,
    "following letters": _following,
    "counting": _counting,
    "capitals": _capitals,
    "twice": _twice,
    "word order": _word_order,
    "last word": _last_word,
}


def _letters(rng: Random, least: int, most: int) -> list[str]:
    return rng.sample(ascii_lowercase, rng.randint(least, most))


def _spaced(parts: Sequence[str]) -> str:
    return " ".join(parts)


def _shifted(letter: str, by: int) -> str:
    return ascii_lowercase[ascii_lowercase.index(letter) + by]
