"""The checks of one machine, in order. None depends on another, and each has its time."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from orchestrator.doctor.apart import Answer, Check, run_apart
from orchestrator.doctor.facts import Facts, gather
from orchestrator.doctor.findings import Finding, warn
from orchestrator.doctor.hub import check_hub, check_models
from orchestrator.doctor.inputs import check_data, check_optional, check_prompts, check_writable
from orchestrator.doctor.known_bad import check_known_bad
from orchestrator.doctor.machine import Limits, check_machine
from orchestrator.doctor.starts import check_engine, check_gpus, check_libraries
from orchestrator.doctor.subject import Subject
from orchestrator.doctor.versions import check_needs, check_versions
from orchestrator.preferences.sources import is_hub_name

_TORCH_FIX = "install requirements/cpu.txt or requirements/gpu.txt into a new environment"
_GPUS_FIX = "does another process hold their memory (`nvidia-smi`), and do the driver and requirements/gpu.txt go together?"
_ENGINE_FIX = "the reason is vLLM's own: `python -m vllm.entrypoints.openai.api_server --model DIR` shows all of it"
_JUDGE_FIX = "is the judge's server up, its address right and its key exported?"
# What loads for long.
_LOCAL_JUDGE = "the judge's model"
_SLOW = ("libraries", _LOCAL_JUDGE, "engine")
_SLOW_DISK = "a file system does not answer: is it mounted?"


@dataclass(frozen=True)
class Step:
    """Something to wait for, and what finds out about it."""

    name: str
    run: Callable[[], list[Finding]]


@dataclass(frozen=True)
class Asked:
    """What is looked at: a run's settings, where it writes (by purpose), and what a machine must have."""

    subject: Subject = field(default_factory=Subject)
    paths: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


def quick(steps: Iterable[Step]) -> Iterator[Step]:
    """The same without those that load for long, and what was left out."""
    left_out: list[str] = []
    for step in steps:
        if step.name in _SLOW:
            left_out.append(step.name)
        else:
            yield step
    what = f"not tried: {', '.join(dict.fromkeys(left_out)) or 'nothing'}"
    yield Step("quick", lambda: [warn("quick", what, "leave --quick away, before the first run on these machines")])


def facts_check(asked: Asked) -> Check:
    """The check that gathers facts."""
    return Check("machine", gather, (dict(asked.paths),), 60, _SLOW_DISK)


def of_facts(facts: Facts, limits: Limits) -> list[Finding]:
    """What facts say by themselves."""
    return [*check_versions(facts), *check_needs(facts), *check_known_bad(facts), *check_machine(facts, limits)]


def input_checks(subject: Subject) -> list[Check]:
    """What can be read on every machine of a run."""
    checks = [Check("model", check_models, (subject.all_models,), 60, _SLOW_DISK)] if subject.all_models else []
    checks += [Check("data", check_data, (source,), 120, _SLOW_DISK) for source in subject.sources]
    checks += [Check("prompts", check_prompts, (file,), 60, _SLOW_DISK) for file in subject.prompts]
    return [*checks, *([Check("optional packages", check_optional, (subject.optional,))] if subject.optional else [])]


def hub_check(subject: Subject) -> Check:
    """The hub, as the settings need it."""
    data_sets = tuple(source.source for source in subject.sources if is_hub_name(source.source))
    return Check("hub", check_hub, (subject.all_models, data_sets), 60, "set HTTPS_PROXY, or HF_ENDPOINT of a mirror")


def libraries_check(precision: str) -> Check:
    """Torch and the libraries beside it; of a machine without GPUs, whether its processor is made for a precision ("": none)."""
    return Check("libraries", check_libraries, (precision,), 180, _TORCH_FIX)


def gpus_check(gpus: int, are_given: bool = True) -> Check:
    """So many GPUs, for torch; see check_gpus."""
    return Check("GPUs", check_gpus, (gpus, are_given), 180, _GPUS_FIX)


def engine_check(subject: Subject) -> Check:
    """A vLLM engine."""
    model = subject.models[0] if subject.models else None
    return Check("engine", check_engine, (model, subject.engine), 540, _ENGINE_FIX)


def judge_checks(subject: Subject, check_judge: Callable[..., list[Finding]]) -> list[Check]:
    """Each judge of the settings, those that are loaded here by a name of their own; `check_judge` asks it."""
    names = [_LOCAL_JUDGE if judge.local_model else "judge" for judge in subject.judges]
    return [Check(name, check_judge, (judge, subject.prompts), 540, _JUDGE_FIX) for name, judge in zip(names, subject.judges, strict=True)]


def local_steps(asked: Asked, check_judge: Callable[..., list[Finding]]) -> Iterator[Step]:
    """All checks of this machine."""
    answer: list[Answer] = []

    def machine() -> list[Finding]:
        answer.append(run_apart(facts_check(asked)))
        found = answer[0]
        return [found.failure] if found.failure is not None else of_facts(found.value, asked.limits)

    yield Step("versions, disks and limits", machine)
    checks = [Check("writable", check_writable, (purpose, path), 60, _SLOW_DISK) for purpose, path in asked.paths.items()]
    checks += [*input_checks(asked.subject), hub_check(asked.subject), libraries_check(asked.subject.precision)]
    checks += [gpus_check(_gpus(answer), are_given=False), *judge_checks(asked.subject, check_judge), engine_check(asked.subject)]
    for check in checks:
        yield Step(check.name, partial(_found, check))


def _found(check: Check) -> list[Finding]:
    return run_apart(check).findings


def _gpus(answer: list[Answer]) -> int:
    """As many GPUs as the driver shows and this process may use; none where that could not be found out."""
    return answer[0].value.visible_gpus if answer and answer[0].failure is None else 0
