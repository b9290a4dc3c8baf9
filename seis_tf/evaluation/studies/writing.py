"""The folder of a study: its numbers, its tables, its report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from seis_tf.evaluation.report.page import Report, write_report
from seis_tf.evaluation.results import Result
from seis_tf.files import write_atomically, write_json


def write_study(out: Path, name: str, result: Result, report: Report, tables: Mapping[str, str] | None = None) -> None:
    """Writes the tables, the report, and last <name>.json.

    Args:
        out: folder, made if it is not there.
        name: of the study.
        result: its numbers.
        report: its page.
        tables: file name to CSV.
    """
    out.mkdir(parents=True, exist_ok=True)
    for file, text in (tables or {}).items():
        write_atomically(out / file, text.encode())
    write_report(out, report)
    write_json(out / f"{name}.json", result.tree())
