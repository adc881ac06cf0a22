"""Enrols people by a table of names and files: `python examples/enrol_folder.py people.csv`.

Each line of the table is a name, a comma and the path of a photo, relative to the table. Empty lines count for
nothing. Ends with 1 if a photo was not enrolled.
"""

import csv
import sys
from pathlib import Path

import mien
from mien.domain.errors import MienError


def main(table: Path) -> int:
    failures = 0
    with mien.open_app() as app, table.open(newline="", encoding="utf-8-sig") as rows:
        for name, photo in filter(None, csv.reader(rows)):
            try:
                upload = app.enroll((table.parent / photo).read_bytes(), name=name)
            except OSError as error:
                problems = [f"{error.strerror}."]
            except MienError as error:
                problems = [str(error)]
            else:
                problems = [reason.message for reason in upload.reasons]
                for warning in upload.warnings:
                    print(f"{name}, {photo}: {warning.message}")
            if problems:
                failures += 1
                print(f"{name}, {photo}: not enrolled. {' '.join(problems)}")
            else:
                print(f"{name}, {photo}: enrolled")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
