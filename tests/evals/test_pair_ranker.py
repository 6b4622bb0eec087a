"""A real pair ranker, of DeBERTa-v3's shape and made on the spot, as a scorer."""

import shutil
from pathlib import Path

import pytest

from evals.asking import Keep, Question, Reply, forget
from evals.chat_models.remembering import remembered
from evals.errors import ModelError
from evals.prompts import EvaluationPrompt, Message
from evals.scorers.pair_ranker import PairRanker, PairRankerScorer, comparison_question
from evals.scoring import ScoredItem
from tests.evals.tiny_pair_ranker import make_pair_ranker, plain_logit
from tests.hostile.damages import DAMAGES

FOX = EvaluationPrompt("fox", (Message("user", "which answer is better?"),))
DOG = EvaluationPrompt("dog", (Message("user", "the dog"), Message("assistant", "jumps"), Message("user", "and says one two " * 9)))
TEXTS = {FOX: ["the quick fox", "dog " * 30, "one, two", "lazy"], DOG: ["three four", "five " * 12, ""]}
ITEMS = [ScoredItem(prompt, text) for prompt, texts in TEXTS.items() for text in texts]


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pair_ranker(tmp_path_factory.mktemp("rankers") / "ranker")


def by_hand(directory: Path, prompt: EvaluationPrompt, texts: list[str], lengths: tuple[int, int] = (1224, 412)) -> list[float]:
    """LLM-Blender's scores: of the K x K logits, the mean over a row of each less its counterpart in the other order."""
    table = [[plain_logit(directory, prompt.text, one, other, lengths) for other in texts] for one in texts]
    return [sum(table[i][j] - table[j][i] for j in range(len(texts))) / len(texts) for i in range(len(texts))]


@pytest.mark.parametrize("batch_size", [1, 6, 64])
def test_scores_are_those_of_every_comparison_alone_by_transformers_own_model_whatever_the_batch(ranker: Path, batch_size: int) -> None:
    scores = PairRankerScorer(PairRanker(str(ranker), batch_size)).score(ITEMS)
    expected = [score for prompt, texts in TEXTS.items() for score in by_hand(ranker, prompt, texts)]
    assert scores == pytest.approx(expected, abs=2e-5)
    assert max(expected) - min(expected) > 0.5


def test_a_prompt_is_cut_at_its_length_and_responses_share_what_it_leaves(ranker: Path) -> None:
    scorer = PairRankerScorer(PairRanker(str(ranker), source_length=20, candidate_length=16))
    for prompt, texts in TEXTS.items():
        expected = by_hand(ranker, prompt, texts, (20, 16))
        assert scorer.score([ScoredItem(prompt, text) for text in texts]) == pytest.approx(expected, abs=2e-5)
        assert expected != pytest.approx(by_hand(ranker, prompt, texts), abs=1e-2)


def test_scores_do_not_depend_on_the_order_of_items_sum_to_zero_and_put_equal_texts_level(ranker: Path) -> None:
    scorer = PairRankerScorer(PairRanker(str(ranker)))
    forward = scorer.score(ITEMS)
    assert scorer.score(ITEMS[::-1]) == pytest.approx(forward[::-1], abs=2e-5)
    assert sum(score for score in forward[: len(TEXTS[FOX])] if score is not None) == pytest.approx(0, abs=1e-5)
    one, other, twin = scorer.score([ScoredItem(FOX, text) for text in ("fox", "dog", "fox")])
    assert one is not None and one == twin
    assert other == pytest.approx(-2 * one)


def test_a_response_that_is_alone_has_no_score(ranker: Path) -> None:
    assert PairRankerScorer(PairRanker(str(ranker))).score([ScoredItem(FOX, "fox"), *ITEMS[4:]])[0] is None
    assert PairRankerScorer(PairRanker(str(ranker))).score([]) == []


def test_text_that_speaks_of_marks_and_ends_is_read_as_text(ranker: Path) -> None:
    scorer = PairRankerScorer(PairRanker(str(ranker)))
    texts = ["fox <|candidate2|> dog", "one[SEP]two <|source|>", "lazy [CLS] <|candidate1|>"]
    plain = ["fox   dog", "one two  ", "lazy    "]
    assert scorer.score([ScoredItem(FOX, text) for text in texts]) == pytest.approx(by_hand(ranker, FOX, plain), abs=2e-5)


def test_comparisons_are_remembered_and_a_further_response_asks_only_for_its_own(ranker: Path, tmp_path: Path) -> None:
    first = remembered(PairRanker(str(ranker)), tmp_path)
    scores = PairRankerScorer(first).score(ITEMS)
    assert first.asked == 6 + 3
    again = remembered(PairRanker(str(ranker), batch_size=2), tmp_path)
    assert PairRankerScorer(again).score(ITEMS[::-1]) == scores[::-1]
    assert (again.asked, again.remembered) == (0, 9)
    PairRankerScorer(again).score([*ITEMS, ScoredItem(FOX, "over")])
    assert again.asked == 4


def test_what_scores_depend_on_is_in_the_identity(ranker: Path, tmp_path: Path) -> None:
    other = make_pair_ranker(tmp_path / "other", seed=1)
    rankers = [
        PairRanker(str(ranker)),
        PairRanker(str(other)),
        PairRanker(str(ranker), source_length=100),
        PairRanker(str(ranker), candidate_length=100),
        PairRanker(str(ranker), precision="bf16"),
    ]
    assert len({each.identity for each in rankers}) == len(rankers)
    assert PairRanker(str(ranker), batch_size=1).identity == rankers[0].identity


def test_half_precision_orders_responses_that_differ_by_much_as_full_precision_does(ranker: Path) -> None:
    full, half = (PairRankerScorer(PairRanker(str(ranker), precision=precision)).score(ITEMS) for precision in ("fp32", "bf16"))
    assert half == pytest.approx(full, abs=0.3)


class Unreadable:
    """A ranker that fails at every comparison with a dog."""

    name = identity = "unreadable"
    repeats_itself = True

    def ask(self, questions: list[Question], keep: Keep = forget) -> list[Reply]:
        return [Reply(failure="no") if "dog" in str(question.messages[1:]) else Reply("1.0 -1.0") for question in questions]


def test_a_comparison_that_failed_leaves_no_score_and_no_zero() -> None:
    scores = PairRankerScorer(Unreadable()).score([ScoredItem(FOX, text) for text in ("ant", "dog")])  # pyright: ignore[reportArgumentType]
    assert scores == [None, None]


def test_a_model_that_is_no_pair_ranker_or_lacks_weights_is_refused_with_the_cure(model_a: Path, tmp_path: Path) -> None:
    question = comparison_question(FOX, "one", "two")
    with pytest.raises(ModelError, match=r"(?s)is no pair ranker.*PairRM-hf"):
        PairRanker(str(model_a)).ask([question])
    for part in ("head_layer.4", "pretrained_model.encoder.layer.1.attention.self.query_proj"):
        broken = make_pair_ranker(tmp_path / part, leave_out=part)
        with pytest.raises(ModelError, match=f"lacks weights, such as {part}"):
            PairRanker(str(broken)).ask([question])


@pytest.mark.parametrize(
    "damage", ["config.json is a list", "a size is a word", "no attention heads", "truncated weights", "code of its own"]
)
def test_a_damaged_pair_ranker_is_refused_and_nothing_of_it_is_run(
    damage: str, ranker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAA_HARM", str(tmp_path / "harm"))
    copy = Path(shutil.copytree(ranker, tmp_path / "copy"))
    DAMAGES[damage](copy)
    with pytest.raises(ModelError) as refused:
        PairRanker(str(copy)).ask([comparison_question(FOX, "one", "two")])
    assert str(copy) in refused.value.where and refused.value.cure
    assert not (tmp_path / "harm").exists()


def test_pickled_weights_are_not_opened(ranker: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    copy = Path(shutil.copytree(ranker, tmp_path / "pickled"))
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        PairRanker(str(copy)).ask([comparison_question(FOX, "one", "two")])
