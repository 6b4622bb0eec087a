"""Settings to judges, and what they hold of the cluster."""

from pathlib import Path

import ray

from evals.asking import ChatModel
from evals.chat_models.remembering import RememberingModel, ReplayedModel, remembered
from evals.chat_models.reply_file import ReplyFile
from evals.judging import Judge
from orchestrator.search.budget import Meter
from orchestrator.search.ledger import read_ledger
from orchestrator.settings import (
    BudgetSettings,
    CustomJudgeSettings,
    JudgeSettings,
    OpenAISettings,
    ReferenceSettings,
    ReplaySettings,
    RewardModelSettings,
    Section,
    VllmJudgeSettings,
)
from orchestrator.settings.scoring import PairRankerSettings, RatingSettings, ScorerSettings

# What these settings say about pairs is not the model's business.
_OF_PAIRS = {"kind", "protocol", "order", "swap_sample", "seed"}


def make_judge(settings: JudgeSettings, replies: Path) -> Judge:
    """A judge of pairs. Language models remember their replies in the directory `replies`."""
    if isinstance(settings, OpenAISettings | VllmJudgeSettings | ReplaySettings):
        from evals.judges.pairwise import PairwiseJudge

        return PairwiseJudge(judge_model(settings, replies), settings.protocol, settings.seed, settings.swapped)
    if isinstance(settings, RewardModelSettings):
        from evals.judges.reward_model import RewardModelJudge

        return RewardModelJudge(reward_model(settings, replies))
    if isinstance(settings, ReferenceSettings):
        from evals.judges.reference import ReferenceJudge

        return ReferenceJudge(settings.tie_margin)
    if isinstance(settings, CustomJudgeSettings):
        return settings.make()
    from evals.judges.verifier import VerifierJudge

    return VerifierJudge()


def judge_model(settings: OpenAISettings | VllmJudgeSettings | ReplaySettings, replies: Path) -> RememberingModel:
    """The language model behind a judge, with its memory."""
    if isinstance(settings, ReplaySettings):
        return RememberingModel(ReplayedModel(settings.file), ReplyFile(settings.file))
    return remembered(_asked_model(settings), replies)


def reward_model(settings: RewardModelSettings, replies: Path) -> RememberingModel:
    """The reward model behind a judge or a scorer, with its memory."""
    from evals.judges.reward_model import RewardModel, is_reward

    return remembered(RewardModel(**settings.model_dump(exclude={"kind", "gpus"})), replies, is_reward)


def _asked_model(settings: OpenAISettings | VllmJudgeSettings) -> ChatModel:
    if isinstance(settings, OpenAISettings):
        from evals.chat_models.openai_model import OpenAIModel, OpenAIModelSettings

        return OpenAIModel(OpenAIModelSettings(**settings.model_dump(exclude=_OF_PAIRS)))
    from evals.chat_models.vllm_model import VllmModel
    from evals.vllm_engine import VllmEngine

    engine = VllmEngine(settings.max_model_len, settings.gpu_memory_utilization, settings.seed, settings.tensor_parallel)
    return VllmModel(engine, settings.model)


def judge_gpus(settings: Section, default: float | None = None) -> float:
    """GPUs that the actor of a judge or a scorer holds; see `gpus_or_default`."""
    if isinstance(settings, VllmJudgeSettings):
        return gpus_or_default(settings.gpus, default) * settings.tensor_parallel
    return gpus_or_default(settings.gpus, default) if isinstance(settings, RewardModelSettings | PairRankerSettings) else 0.0


def scorer_gpus(settings: ScorerSettings, default: float | None = None) -> float:
    """GPUs that one actor of a scorer holds; see `gpus_or_default`."""
    return judge_gpus(settings.model if isinstance(settings, RatingSettings) else settings, default)


def within_budget(settings: JudgeSettings, budget: BudgetSettings, ledger: Path) -> JudgeSettings:
    """The same judge, who may not be paid more than the search may still spend, after what its ledger tells."""
    if not isinstance(settings, OpenAISettings) or budget.cost is None:
        return settings
    left = max(0.0, budget.cost - Meter(read_ledger(ledger)).spent(0.0).cost)
    return settings.model_copy(update={"max_cost": min(left, settings.max_cost or left)})


def gpus_or_default(given: float | None, default: float | None = None) -> float:
    """As many GPUs as given, or else the default: one where the cluster has any, which must then be joined."""
    if given is not None:
        return given
    return min(1.0, ray.cluster_resources().get("GPU", 0.0)) if default is None else default


def replies_directory(cache: Path) -> Path:
    """Where replies are remembered, below a run's cache."""
    return cache.expanduser().resolve() / "replies"
