"""The commands of data: `daa data select`. Heavy imports wait until the work starts."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="data", help="Look at preference data, and choose among them.", no_args_is_help=True, rich_markup_mode="rich")


@app.command()
def select(  # noqa: PLR0913 (the options of the command)
    file: Annotated[str, typer.Argument(help="Preference data, as `data.train` takes them.")],
    metric: Annotated[str, typer.Option(help="alignment_potential, reward_margin, implicit_margin, rejection_sampling or random.")],
    out: Annotated[Path, typer.Option(help="The JSON Lines file to write; a page with its name and .md tells what was kept.")],
    model: Annotated[str | None, typer.Option(help="The model that training will start from; it scores where needed.")] = None,
    fraction: Annotated[float | None, typer.Option(help="The share to keep. Default: 0.4.")] = None,
    weight: Annotated[float | None, typer.Option(help="M_AP's weight of the implicit margin. Default: 1.")] = None,
    tau: Annotated[float | None, typer.Option(help="RS-DPO's temperature. Default: 1.")] = None,
    eta: Annotated[float | None, typer.Option(help="RS-DPO's bound. Default: 0.8.")] = None,
    seed: Annotated[int | None, typer.Option(help="That of `random`. Default: 0.")] = None,
    context: Annotated[int, typer.Option(help="Prompt and response together, in tokens.")] = 2048,
    precision: Annotated[str, typer.Option(help="bf16 or fp32, as training will have it.")] = "bf16",
    limit: Annotated[int | None, typer.Option(help="Only the first so many rows.")] = None,
    cache: Annotated[Path, typer.Option(help="Where scores are kept for a search's trials.")] = Path("~/.cache/daa-orchestrator"),
) -> None:
    """Keep the pairs that are worth training on, and tell what was kept.

    Example: daa data select pairs.jsonl --model base/model --metric alignment_potential --fraction 0.4 --out selected.jsonl
    """
    from orchestrator.settings import SelectionSettings, TrainingSettings
    from orchestrator.settings_file import validated

    given = {"metric": metric, "fraction": fraction, "weight": weight, "tau": tau, "eta": eta, "seed": seed}
    where = "the command line"
    settings = validated(SelectionSettings, {name: value for name, value in given.items() if value is not None}, where)
    training = validated(TrainingSettings, {"precision": precision}, where)
    from orchestrator.selecting_files import select_file

    select_file(file, out, settings, training, (model, context, limit), cache)
