"""Models that remember: what their file of replies knows is not asked, nor paid for, again."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from evals.asking import ChatModel, Keep, Question, Reply, forget, question_key
from evals.chat_models.reply_file import ReplyFile, models_of
from evals.errors import UserError


class RememberingModel:
    """A chat model that asks only what its file does not know. Failures are not remembered.

    A reply in the file that `is_good` denies is asked for again. `asked` counts the questions put to the model itself, `remembered` those
    answered from the file.
    """

    def __init__(self, model: ChatModel, replies: ReplyFile, is_good: Callable[[Reply], bool] = lambda reply: True) -> None:
        self._model, self._replies, self._is_good = model, replies, is_good
        self.asked = 0
        self.remembered = 0

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def identity(self) -> str:
        return self._model.identity

    @property
    def repeats_itself(self) -> bool:
        return self._model.repeats_itself

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        """Replies from the file, or else from the model. Equal questions are asked once."""
        self._replies.refresh()
        keys = [question_key(self.identity, question) for question in questions]
        wanted: dict[str, list[int]] = {}
        found: dict[int, Reply] = {}
        for number, key in enumerate(keys):
            known = self._replies.get(key)
            if known is None or not self._is_good(known):
                wanted.setdefault(key, []).append(number)
            else:
                found[number] = known
                keep(number, known)
        self.remembered += len(found)
        places = list(wanted.values())

        def take(place: int, reply: Reply) -> None:
            first = places[place][0]
            if not reply.failure:
                self._replies.append(keys[first], self._model, questions[first], reply)
            for number in places[place]:
                found[number] = reply
                keep(number, reply)

        self.asked += len(places)
        replies = self._model.ask([questions[numbers[0]] for numbers in places], take) if places else []
        for place, reply in enumerate(replies):
            # Not every model hands over what it cannot answer, such as a text that is too long for it.
            if places[place][0] not in found:
                take(place, reply)
        return [found[number] for number in range(len(questions))]


class ReplayedModel:
    """A model that is not there: only what it once replied. Give it to a RememberingModel over the same file."""

    repeats_itself: bool = False

    def __init__(self, file: Path) -> None:
        """Raises UserError for a file that holds no replies, or those of several models."""
        models = models_of(file)
        if len(models) != 1:
            what = f"the file holds the replies of {len(models)} models"
            raise UserError(what, str(file), "give a file of replies of one model, as an evaluation leaves it under `replies`")
        ((self.name, self.identity),) = models

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        """Refuse: whatever comes here was not in the file. Only asking again what could not be read fails question by question."""
        new = [question for question in questions if not question.attempt]
        if new:
            what = f"{len(new)} questions were never asked of {self.name}, the first about {new[0].id}"
            raise UserError(what, "the replayed replies", "replay with the same prompts, outputs and settings, or ask the model itself")
        replies = [Reply(failure="never asked again") for _ in questions]
        for number, reply in enumerate(replies):
            keep(number, reply)
        return replies


def remembered(model: ChatModel, directory: Path, is_good: Callable[[Reply], bool] = lambda reply: True) -> RememberingModel:
    """The model with the file of its own replies in `directory`."""
    name = hashlib.sha256(model.identity.encode()).hexdigest()[:16]
    return RememberingModel(model, ReplyFile(directory / f"{name}.jsonl"), is_good)
