"""Brings README.md up to date with the stored outputs of the notebooks.

    python .ci/front_page.py           write the pictures and the table of figures
    python .ci/front_page.py --check   only say whether they are up to date

A picture is the figure of the cell tagged `front-page` in notebooks 04, 12 and 01, with
the figure's own description. Nothing is run: refresh with `gancourse run NN --write`.
"""

import base64
import io
import json
import re
import sys
from pathlib import Path

from gancourse import course

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PICTURES = ["04", "12", "01"]  # in the order of the page
LIMIT = 150_000  # bytes a picture


def notebooks() -> dict[str, dict]:
    """Number to content of each committed notebook."""
    files = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    return {file.name[:2]: json.loads(file.read_text("utf-8")) for file in files}


def picture(number: str, notebook: dict) -> tuple[str, bytes, str]:
    """Path, bytes and description of the figure that stands for this notebook."""
    for cell in notebook["cells"]:
        if "front-page" not in cell["metadata"].get("tags", []):
            continue
        for output in cell["outputs"]:
            for kind in ("image/png", "image/jpeg"):
                if kind in output.get("data", {}):
                    data = base64.b64decode("".join(output["data"][kind]))
                    ending = kind.split("/")[1].replace("jpeg", "jpg")
                    alt = output["metadata"][kind]["alt"]
                    name = f"notebooks/images/{number}.{ending}"
                    return name, smaller(data, kind), alt
    sys.exit(f"Notebook {number} has no figure in a cell tagged `front-page`. Tag one.")


def smaller(data: bytes, kind: str) -> bytes:
    """The same picture in at most LIMIT bytes: fewer colours, or lower quality."""
    if len(data) <= LIMIT:
        return data
    from PIL import Image

    image = Image.open(io.BytesIO(data)).convert("RGB")
    for level in (256, 64, 16):
        buffer = io.BytesIO()
        if kind == "image/png":
            image.quantize(level).save(buffer, "PNG", optimize=True)
        else:
            image.save(buffer, "JPEG", quality=20 + level // 4, optimize=True)
        if len(buffer.getvalue()) <= LIMIT:
            return buffer.getvalue()
    sys.exit(
        f"A picture of {len(data):,} bytes does not fit {LIMIT:,}. Make it smaller."
    )


def measured(books: dict[str, dict]) -> str:
    """The metrics stored in the notebooks and their bands, what is promised first."""
    head = ["| notebook | measured | value | band |", "| --- | --- | --- | --- |"]
    promised, others = [], []
    for number, book in books.items():
        outputs = (o for cell in book["cells"] for o in cell.get("outputs", []))
        for output in outputs:
            report = output.get("data", {}).get(course.MIME, {"metrics": {}})
            where = [report.get(k) for k in ("profile", "device", "precision")]
            for name, value in report["metrics"].items():
                band = course.band(number, name, *where)
                limits = f"{band[0]:.4g} … {band[1]:.4g}" if band else ""
                shown = "not a number" if value is None else f"{value:.4g}"
                row = f"| {number} | {name.replace('_', ' ')} | {shown} | {limits} |"
                known = course.IDENTITIES.keys() | course.LIMITS.keys()
                (promised if (number, name) in known else others).append(row)
    rest = f"<details><summary>{len(others)} more</summary>"
    return "\n".join([*head, *promised, "", rest, "", *head, *others, "", "</details>"])


def between(page: str, name: str, text: str) -> str:
    """`page` with `text` between the comments that mark the place called `name`."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    pattern = re.escape(begin) + ".*?" + re.escape(end)
    return re.sub(pattern, lambda _: f"{begin}\n{text}\n{end}", page, flags=re.DOTALL)


def main() -> None:
    books = notebooks()
    pictures = [picture(number, books[number]) for number in PICTURES]
    shown = "\n\n".join(f"![{alt}]({path})" for path, _, alt in pictures)
    page = between(README.read_text("utf-8"), "pictures", shown)
    page = between(page, "measured", measured(books))
    files = {ROOT / path: data for path, data, _ in pictures}
    files[README] = page.encode()
    stale = [f for f, new in files.items() if not f.exists() or f.read_bytes() != new]
    if "--check" in sys.argv[1:]:
        names = ", ".join(str(file.relative_to(ROOT)) for file in stale)
        sys.exit(
            f"Run python .ci/front_page.py: not up to date: {names}" if stale else 0
        )
    for file in stale:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(files[file])
        print(f"wrote {file.relative_to(ROOT)} ({len(files[file]):,} bytes)")


if __name__ == "__main__":
    main()
