"""Adds to the site the pages that are made from the code, and the schema of the settings."""

import json
from typing import Any

from mkdocs.structure.files import File, Files

from orchestrator.report.reference import methods_page, settings_page, settings_schema


def on_files(files: Files, config: Any) -> Files:
    """MkDocs calls this when it has found the pages that are written by hand."""
    schema = json.dumps(settings_schema(), indent=2) + "\n"
    made = {"all-methods.md": methods_page(), "settings.md": settings_page(), "settings.schema.json": schema}
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files
