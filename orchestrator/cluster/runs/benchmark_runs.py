"""Models through official benchmarks: warm engines answer, a judge rules, official files and scorecards are left behind."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.markup import escape

from evals.asking import ChatModel
from evals.benchmarks.formats import read_outputs
from evals.benchmarks.score import BenchmarkScore
from evals.capability import CapabilityEvaluation, CapabilitySuite, losses
from evals.chat_models.openai_model import OpenAIModel, OpenAIModelSettings
from evals.chat_models.remembering import remembered
from evals.errors import UnreadableVerdictsError
from evals.generation import Decoding
from evals.judging import Judge, Match, Verdict
from evals.protocols import Benchmark, make_benchmark
from evals.protocols.answering import Candidate, answer, decoding_for
from evals.protocols.contract import aligned
from evals.protocols.running import check_readable, evaluate
from orchestrator.cluster.asking import ask
from orchestrator.cluster.engines.evaluation_actors import EngineActor, JudgeActor, ServedByActor
from orchestrator.cluster.judges import gpus_or_default, judge_gpus, judge_model, make_judge, replies_directory
from orchestrator.cluster.placement import require_gpus
from orchestrator.cluster.runs.candidates import (
    CANDIDATES_KEY,
    absolute,
    base_of_adapter,
    check_candidates,
    is_file,
    is_served,
    largest_rank,
    names_of,
    served_model,
)
from orchestrator.cluster.runs.capability_runs import scores_of, suite_of
from orchestrator.cluster.runs.directories import at_work
from orchestrator.cluster.runs.scorecards import Asked, Evaluated, Scorecards, asked_of_benchmark, asked_of_task
from orchestrator.cluster.session import ray_session
from orchestrator.errors import UserError
from orchestrator.report.narration import Narrator
from orchestrator.run_files import RunFiles
from orchestrator.settings import (
    BenchmarkSettings,
    ClusterSettings,
    JudgeSettings,
    OpenAISettings,
    ReplaySettings,
    RewardModelSettings,
    VllmJudgeSettings,
)

_CPUS = 0.5


@dataclass(frozen=True)
class JudgingActor:
    """A judge of pairs inside an actor."""

    actor: Any

    @property
    def name(self) -> str:
        return ask(self.actor.name)

    def judge(self, matches: Sequence[Match]) -> list[Verdict]:
        """One verdict per match."""
        return ask(self.actor.judge, list(matches))[0]


@dataclass(frozen=True)
class _Replies:
    """Where answers are remembered: `shared` among all runs, or for this run only, since another model may be served under a name later."""

    shared: Path
    own: Path


def evaluate_models(settings: BenchmarkSettings, models: Sequence[str], directory: Path) -> list[Evaluated]:
    """Score models, files of outputs or served models on the settings' benchmarks; everything is written below `directory`.

    A model is a Hugging Face directory or hub identifier, a LoRA adapter's directory, a file of outputs in any official format, or a
    server's `http://host:port/v1#model`. Called again, it pays only for what is missing. Raises, after all else is done and saved,
    UnreadableVerdictsError for a score that too many unreadable verdicts prevent.
    """
    directory = directory.expanduser().resolve()
    benchmarks = [_benchmark(settings, name) for name in settings.benchmarks]
    for benchmark in benchmarks:
        benchmark.prompts(), benchmark.baseline()
    check_candidates(models)
    suite = _suite(settings, models)
    with at_work(directory) as story:
        run = _Run(settings, models, directory)
        with _people(settings, models, directory) as (engine, judge):
            story.say_path("everything goes to", directory)
            for benchmark in benchmarks:
                run.benchmark(benchmark, engine, judge, story)
            if suite is not None:
                run.capability(suite, engine, story)
    if run.refused:
        raise run.refused[0]
    return run.cards.evaluations


def _by_name(models: Sequence[str]) -> dict[str, str]:
    """The models by what they are called in what is written. Raises UserError for one name of two."""
    found: dict[str, str] = {}
    for model, of_path in names_of(models).items():
        name = read_outputs(Path(model)).model if is_file(model) else of_path
        if name in found:
            raise UserError(
                f"two models are called {name!r}: the scores of one would replace the other's", model, "give it a --dir of its own"
            )
        found[name] = model
    return found


class _Run:
    """One call of `evaluate_models`: what it has found so far is on the disk."""

    def __init__(self, settings: BenchmarkSettings, models: Sequence[str], directory: Path) -> None:
        """Raises UserError where `directory` holds scores of these models' names that are of others, or were made otherwise."""
        self._settings, self._models, self._directory = settings, _by_name(models), directory
        self._replies = _Replies(replies_directory(settings.cache), directory / "replies")
        self.cards = Scorecards(directory)
        self.refused: list[UnreadableVerdictsError] = []
        tasks = settings.capability.tasks if settings.capability else ()
        # Before anything is answered: files may change meanwhile.
        self._asked: dict[tuple[str, str], Asked] = {}
        for name, model in self._models.items():
            self._asked |= {(each, name): asked_of_benchmark(settings, each, model) for each in settings.benchmarks}
            self._asked |= {(f"capability {task}", name): asked_of_task(settings, task, model) for task in tasks}
        for (_, name), asked in self._asked.items():
            self.cards.check(name, asked)

    def benchmark(self, benchmark: Benchmark, engine: Any, judge: ChatModel | Judge, story: Narrator) -> None:
        """Answer, judge and save for every model."""
        answering = self._settings.answering
        decoding = decoding_for(benchmark, answering.temperature, answering.top_p, answering.max_tokens)
        for outputs, made in _answers(benchmark, self._models, engine, self._replies, decoding, story):
            with story.waiting(f"{benchmark.name}: judging {outputs.model}"):
                evaluation = evaluate(benchmark, outputs, judge, decoding if made else None)
            try:
                check_readable(evaluation, self._settings.max_unreadable)
            except UnreadableVerdictsError as error:
                # Answers and verdicts are worth keeping; a score that is refused stands on no leaderboard.
                benchmark.save(replace(evaluation, scores=()), self._directory / benchmark.name)
                self.refused.append(error)
                story.say_path(f"{benchmark.name}: no score for {escape(outputs.model)}:", error.what)
                continue
            benchmark.save(evaluation, self._directory / benchmark.name)
            asked = self._asked[benchmark.name, outputs.model]
            self._take(evaluation, {score.benchmark: asked for score in evaluation.scores}, story)

    def capability(self, suite: CapabilitySuite, engine: Any, story: Narrator) -> None:
        """Put the suite's questions to every model; each is held against the first one."""
        first: Sequence[BenchmarkScore] = ()
        for name, model in self._models.items():
            with story.waiting(f"capability: {name} answers"):
                scores = scores_of(suite, model, name, lambda base: _chat_model(base, engine, self._replies))
            first = first or scores
            asked = {score.benchmark: self._asked.get((score.benchmark, name), {"benchmark": score.benchmark}) for score in scores}
            self._take(CapabilityEvaluation(scores, losses(scores, first)), asked, story)

    def _take(self, evaluation: Evaluated, asked: Mapping[str, Asked], story: Narrator) -> None:
        self.cards.take(evaluation, asked)
        for score in evaluation.scores:
            name = " ".join(filter(None, (score.benchmark, score.details.get("category"), score.model)))
            story.say(escape(f"{name}: {score.score:.2f} (95 % {score.low:.2f}–{score.high:.2f})"))
        for finding in evaluation.findings:
            story.say_path(f"[bold]guard {finding.guard}[/bold]:", finding.detail)


def _suite(settings: BenchmarkSettings, models: Sequence[str]) -> CapabilitySuite | None:
    """The suite to ask, if any. Raises UserError for one that cannot be asked."""
    asked = settings.capability
    if asked is None:
        return None
    files = [model for model in models if is_file(model)]
    if files:
        raise UserError("a file of outputs cannot be asked what it knows", files[0], "give the model itself, or leave out `capability`")
    return suite_of(asked)


def _benchmark(settings: BenchmarkSettings, name: str) -> Benchmark:
    swapped = getattr(settings.judge, "swapped", 0)
    return make_benchmark(name, settings.limit, settings.mt_bench_references, settings.mt_bench_baseline, swapped)


def _answers(
    benchmark: Benchmark, models: Mapping[str, str], engine: Any, replies: _Replies, decoding: Decoding, story: Narrator
) -> Iterator[tuple[Any, bool]]:
    """The named models' outputs, keyed by prompt id, and whether they were made here; adapters of one base answer together."""
    adapters: dict[str, list[Candidate]] = {}
    for name, model in models.items():
        base = base_of_adapter(model)
        if base is not None:
            adapters.setdefault(base, []).append(Candidate(name, str(Path(model).resolve())))
        elif is_file(model):
            outputs = read_outputs(Path(model))
            yield aligned(benchmark.prompts(), outputs, model), False
        else:
            chat = _chat_model(model, engine, replies)
            with story.waiting(f"{benchmark.name}: {name} answers"):
                (outputs,) = answer(benchmark, chat, [Candidate(name)], decoding)
            yield outputs, True
    for base, group in adapters.items():
        chat = ServedByActor(engine, absolute(base), str(replies.shared))
        with story.waiting(f"{benchmark.name}: {len(group)} adapters of {base} answer in one batch"):
            several = answer(benchmark, chat, group, decoding)
        yield from ((outputs, True) for outputs in several)


def _chat_model(model: str, engine: Any, replies: _Replies) -> ChatModel:
    if not is_served(model):
        return ServedByActor(engine, absolute(model), str(replies.shared))
    served = served_model(model)
    return remembered(OpenAIModel(OpenAIModelSettings(served.model, served.url, CANDIDATES_KEY, timeout_s=600)), replies.own)


@contextmanager
def _people(settings: BenchmarkSettings, models: Sequence[str], directory: Path) -> Iterator[tuple[Any, Any]]:
    """The engine that answers and the judge, where they are needed; Ray is started only when one of them lives in an actor."""
    needs_engine = any(not is_served(model) and not is_file(model) for model in models)
    judge_lives_here = settings.judge is None or settings.judge.local_model is None
    replies, logs = replies_directory(settings.cache), RunFiles(directory).logs
    with ExitStack() as stack:
        if not needs_engine and judge_lives_here:
            yield None, settings.judge and _judge(settings.judge, str(logs / "judge.log"), replies)
            return
        stack.enter_context(ray_session(ClusterSettings(cpus_per_worker=0), directory))
        gpus = gpus_or_default(settings.answering.engine_gpus) if needs_engine else 0.0
        held = gpus + (judge_gpus(settings.judge) if settings.judge else 0.0)
        require_gpus(held, "engine and judge", "lower answering.engine_gpus and judge.gpus")
        options = EngineActor.options(num_cpus=_CPUS, num_gpus=gpus)
        log, rank = str(logs / "engine.log"), largest_rank(models)
        engine = options.remote(settings.answering, log, max(1, int(gpus)), rank) if needs_engine else None
        yield engine, settings.judge and _judge(settings.judge, str(logs / "judge.log"), replies)


def _judge(judge: JudgeSettings, log: str, replies: Path) -> ChatModel | Judge:
    if isinstance(judge, VllmJudgeSettings):
        # An engine of its own: the answering one is swapped from model to model.
        actor = EngineActor.options(num_cpus=_CPUS, num_gpus=judge_gpus(judge)).remote(judge, log, judge.tensor_parallel)
        return ServedByActor(actor, absolute(judge.model), str(replies))
    if isinstance(judge, RewardModelSettings):
        actor = JudgeActor.options(num_cpus=_CPUS, num_gpus=judge_gpus(judge)).remote(judge, log, str(replies))
        return JudgingActor(actor)
    if isinstance(judge, OpenAISettings | ReplaySettings):
        return judge_model(judge, replies)
    return make_judge(judge, replies)
