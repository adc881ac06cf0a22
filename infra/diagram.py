"""Draw docs/images/aws.svg from the two templates: `python infra/diagram.py`. What they have is what it shows."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

HERE = Path(__file__).parent
DRAWING = HERE.parent / "docs" / "images" / "aws.svg"
WIDTH, ROW, BOX = 1000, 62, 44
BUS = 570  # x of the line by which the functions reach the stores
CAPTIONS = {
    "UploadFunction": "indexes photos, uploads",
    "RecognizeFunction": "recognises, compares",
    "PeopleFunction": "lists, erases, the page",
    "FailedFunction": "marks dead letters failed",
    "AuthorizerFunction": "checks API keys",
    "ReconcileFunction": "daily: expires, repairs",
    "Bucket": "S3: uploaded/…",
    "UploadQueue": "SQS: events wait here",
    "UploadDeadLetters": "SQS: kept failing",
    "Collection": "Rekognition: faces",
    "ApiKeys": "Secrets Manager: hashes",
}
COLOURS = {"api": "#e7d9f7", "function": "#fbe3c8", "store": "#d5e8d4", "queue": "#f8cecc", "other": "#e8e8e8"}


def drawing() -> str:
    """Return the SVG."""
    app, data = (yaml_parse((HERE / f"{name}.yaml").read_text("utf-8"))["Resources"] for name in ("app", "data"))
    functions = _of(app, "AWS::Serverless::Function")
    tables = _of(data, "AWS::DynamoDB::Table")
    rows = max(len(functions) + 1, len(tables) + 2)
    height = 60 + rows * ROW + 20
    parts = [
        *_frames(height),
        *_entry(height),
        *_functions(app, functions),
        *_watch(app, len(functions)),
        *_data(data, tables),
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="12">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs><rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    )
    return "\n".join([head, *parts, "</svg>", ""])


def _of(resources: dict[str, Any], kind: str) -> list[str]:
    return [name for name, resource in resources.items() if resource["Type"] == kind]


def _y(row: int) -> int:
    return 60 + row * ROW


def _frames(height: int) -> Iterator[str]:
    for x, width, title in (
        (160, 390, "mien-<stage>: the application"),
        (590, 395, "mien-<stage>-data: what is kept"),
    ):
        yield (
            f'<rect x="{x}" y="28" width="{width}" height="{height - 40}" rx="8" fill="none" stroke="#999" '
            f'stroke-dasharray="5 4"/><text x="{x + 12}" y="48" font-weight="bold">{escape(title)}</text>'
        )


def _entry(height: int) -> Iterator[str]:
    middle = _y(1)
    yield _box(10, middle, 120, "Clients", "curl, page, Postman", "other")
    yield _box(180, middle, 130, "Api", "API Gateway, a stage", "api")
    yield _arrow((130, middle + 22), (178, middle + 22))
    yield _arrow((70, middle), (70, 14), (900, 14), (900, _y(0) - 2))
    yield _text(420, 10, "a photo copied, or posted by a presigned form, into the bucket")


def _functions(app: dict[str, Any], functions: list[str]) -> Iterator[str]:
    yield _line((BUS, _y(0) + 30), (BUS, _y(len(functions) - 1) + 30))
    for row, name in enumerate(functions):
        yield _box(360, _y(row), 170, name, CAPTIONS.get(name, ""), "function")
        events = {event["Type"] for event in app[name]["Properties"].get("Events", {}).values()}
        yield _line((530, _y(row) + 30), (BUS, _y(row) + 30))
        if "Api" in events or not events:  # the authorizer is asked, not routed to
            yield _arrow((310, _y(1) + 22), (358, _y(row) + 22))
        if "ScheduleV2" in events:
            yield _box(180, _y(row), 130, "Schedule", "daily at 03:30 UTC", "other")
            yield _arrow((310, _y(row) + 22), (358, _y(row) + 22))


def _watch(app: dict[str, Any], row: int) -> Iterator[str]:
    alarms = len(_of(app, "AWS::CloudWatch::Alarm"))
    yield _box(180, _y(row), 350, "CloudWatch", f"logs, {alarms} alarms, dashboard", "other")


def _data(data: dict[str, Any], tables: list[str]) -> Iterator[str]:
    yield _box(815, _y(0), 160, "Bucket", CAPTIONS["Bucket"], "store")
    yield _box(610, _y(0), 165, "UploadQueue", CAPTIONS["UploadQueue"], "queue")
    yield _arrow((815, _y(0) + 22), (777, _y(0) + 22))
    yield _arrow((610, _y(0) + 14), (532, _y(0) + 14))
    yield _box(815, _y(1), 160, "UploadDeadLetters", CAPTIONS["UploadDeadLetters"], "queue")
    yield _arrow((775, _y(0) + 38), (813, _y(1) + 16))
    yield _box(610, _y(1), 165, "Collection", CAPTIONS["Collection"], "store")
    yield _box(815, _y(2), 160, "ApiKeys", CAPTIONS["ApiKeys"], "store")
    for row, name in enumerate(tables, start=2):
        table = data[name]["Properties"]["TableName"]["Ref"]
        yield _box(610, _y(row), 165, name, f"DynamoDB {_default(table)}", "store")
    for row in range(1, len(tables) + 2):
        yield _arrow((BUS, _y(row) + 30), (608, _y(row) + 30))


def _default(parameter: str) -> str:
    parameters = yaml_parse((HERE / "data.yaml").read_text("utf-8"))["Parameters"]
    return str(parameters[parameter]["Default"])


def _box(x: int, y: int, width: int, name: str, caption: str, kind: str) -> str:
    middle = x + width // 2
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{BOX}" rx="5" fill="{COLOURS[kind]}" stroke="#777"/>'
        f'<text x="{middle}" y="{y + 19}" text-anchor="middle" font-weight="bold">{escape(name)}</text>'
        f'<text x="{middle}" y="{y + 35}" text-anchor="middle" font-size="10.5" fill="#333">{escape(caption)}</text>'
    )


def _arrow(*points: tuple[int, int]) -> str:
    return _line(*points).replace("/>", ' marker-end="url(#tip)"/>')


def _line(*points: tuple[int, int]) -> str:
    path = "L".join(f"{x} {y}" for x, y in points)
    return f'<path d="M{path}" fill="none" stroke="#555"/>'


def _text(x: int, y: int, text: str) -> str:
    return f'<text x="{x}" y="{y}" font-size="11" text-anchor="middle" fill="#333">{escape(text)}</text>'


if __name__ == "__main__":
    DRAWING.write_text(drawing(), "utf-8")
