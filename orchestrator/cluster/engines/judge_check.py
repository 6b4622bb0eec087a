"""One real question to the judge of a run, as the run will ask it."""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from evals.judging import Match
from evals.prompts import EvaluationPrompt, Message, load_prompts
from orchestrator.cluster.judges import make_judge
from orchestrator.doctor.findings import Finding, ok, warn
from orchestrator.doctor.hub import kept_model
from orchestrator.settings import (
    CustomJudgeSettings,
    JudgeSettings,
    OpenAISettings,
    ReferenceSettings,
    ReplaySettings,
    VerifierSettings,
    VllmJudgeSettings,
)

# A judge that does not answer is known sooner than a run would know it.
_ATTEMPTS, _LONGEST_WAIT_S = 2, 30.0
_RIGHT, _WRONG = "Paris", "I do not know."
_PROMPT = EvaluationPrompt("doctor", (Message("user", "What is the capital of France?"),), reference=_RIGHT, answer=_RIGHT)


def check_judge(settings: JudgeSettings, prompts: Sequence[Path]) -> list[Finding]:
    """One verdict, which costs one question; replies are not remembered. Raises what the judge raises."""
    model = settings.local_model
    if model is not None and kept_model(model) is None:
        return [warn("judge", f"{model} is not on this machine yet and was not asked", f"`hf download {model}`")]
    with TemporaryDirectory() as replies:
        judge = make_judge(_once(settings), Path(replies))
        if isinstance(settings, ReplaySettings):
            return [ok("judge", f"{judge.name}: its replies in {settings.file} can be read")]
        started = time.monotonic()
        (verdict,) = judge.judge([_match(settings, prompts)])
        name = judge.name
    seconds = f"after {time.monotonic() - started:.1f} s"
    if verdict.candidate_score is None:
        fix = 'try protocol = "text" in [judge], or a model that follows instructions'
        fix = "see that it can judge the first prompt" if isinstance(settings, CustomJudgeSettings) else fix
        return [warn("judge", f"{name} answers {seconds}, and its verdict cannot be read: {verdict.reason or 'no label'}"[:400], fix)]
    cost = f", for {verdict.cost:.6f}" if verdict.cost else ""
    return [ok("judge", f"{name} gives a right answer {verdict.candidate_score:.2f} beside a wrong one, {seconds}{cost}")]


def _once(settings: JudgeSettings) -> JudgeSettings:
    """The same judge, asked once about each pair, and given up sooner."""
    if isinstance(settings, OpenAISettings):
        bounds = {"max_attempts": min(_ATTEMPTS, settings.max_attempts), "timeout_s": min(_LONGEST_WAIT_S, settings.timeout_s)}
        return settings.model_copy(update={"order": "seeded", "swap_sample": 0, **bounds})
    return settings.model_copy(update={"order": "seeded", "swap_sample": 0}) if isinstance(settings, VllmJudgeSettings) else settings


def _match(settings: JudgeSettings, prompts: Sequence[Path]) -> Match:
    """A pair with a right answer; judges that need to know it are shown the run's own first prompt."""
    prompt = _PROMPT
    if isinstance(settings, VerifierSettings | ReferenceSettings | CustomJudgeSettings) and prompts:
        prompt = load_prompts(prompts[0]).prompts[0]
    known = prompt.reference if isinstance(settings, ReferenceSettings) else prompt.answer
    return Match(prompt, known or _RIGHT, _WRONG)
