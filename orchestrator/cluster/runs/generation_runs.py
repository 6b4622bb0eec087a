"""Answers of one model to a file of prompts, without rounds."""

from collections.abc import Sequence
from pathlib import Path

from evals.model_files import check_model
from evals.prompts import EvaluationPrompt
from evals.whole_files import save_json, save_rows
from orchestrator.cluster.engines.generating import Generation, start_engines
from orchestrator.cluster.engines.workshop import MADE, RESPONSES, told
from orchestrator.cluster.judges import gpus_or_default, replies_directory
from orchestrator.cluster.placement import check_gpus, nodes_of_cluster, of_answers, require
from orchestrator.cluster.runs.candidates import absolute, largest_rank
from orchestrator.cluster.runs.directories import at_work
from orchestrator.cluster.session import ray_session
from orchestrator.rounds.sampling import Sampling
from orchestrator.run_files import RunFiles
from orchestrator.settings import AnsweringSettings, ClusterSettings, EvaluationSettings, GenerationSettings


def generate(
    model: str,
    prompts: Sequence[EvaluationPrompt],
    settings: GenerationSettings,
    engines: tuple[ClusterSettings, EvaluationSettings | AnsweringSettings],
    places: tuple[Path, Path],
) -> Sampling:
    """Write `responses.jsonl`, a row of different answers for each prompt that has two, and `made.json`, how many and how fast.

    `places` are the directory to write to and the cache, where each answer is kept as it comes: called again, only what is missing is
    asked. An engine has a GPU where the cluster has any and nothing is said of its GPUs. Raises ModelError for a model that cannot be
    loaded and ClusterError for a cluster without room.
    """
    directory, cache = places[0].expanduser().resolve(), places[1]
    check_model(model)
    cluster, answering = of_answers(engines[0]), engines[1]
    with at_work(directory) as story, ray_session(cluster, directory):
        story.say_path(f"{settings.responses} answers to each of {len(prompts)} prompts by", model)
        cluster = on_gpus(cluster)
        check_gpus(cluster, story.say, trains=False)
        started = start_engines(cluster, answering, RunFiles(directory).logs, largest_rank([model]))
        name = absolute(model)
        sampling, throughput = Generation(started, replies_directory(cache)).sample(name, prompts, settings)
        save_rows(directory / RESPONSES, (each.as_dict() for each in sampling.sampled))
        save_json(directory / MADE, {"model": name, **sampling.as_dict(), **throughput.as_dict()})
        story.say(told(sampling, throughput))
        story.say_path("the answers:", directory / RESPONSES)
        return sampling


def on_gpus(cluster: ClusterSettings) -> ClusterSettings:
    """The same with a GPU for each engine, where the joined cluster has any and the settings leave it open. Raises ClusterError."""
    if "gpus_per_engine" in cluster.model_fields_set:
        return cluster
    held = cluster.model_copy(update={"gpus_per_engine": gpus_or_default(None)})
    require(held, nodes_of_cluster())
    return held
