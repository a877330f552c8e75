"""A run as a Markdown table, and its place in RESULTS.md."""

import re

BEGIN, END = "<!-- gpu: written by bench/gpu/gpu.py -->", "<!-- /gpu -->"


def digits(value):
    """Three digits, whole numbers from 1000 on, as bench/report.mjs has them."""
    if value >= 1000:
        return f"{value:.0f}"
    text = f"{value:.3g}"
    return text if "e" not in text else f"{value:.2e}"


def size(count):
    return "" if count is None else f"{digits(count / 1e6)} MB"


def aligned(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(cells):
        padded = [cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(cells, widths))]
        return f"| {' | '.join(padded)} |"

    rule = "|" + "|".join("-" * (width + 1) + ":" if i else "-" * (width + 2) for i, width in enumerate(widths)) + "|"
    return "\n".join([line(rows[0]), rule, *map(line, rows[1:])])


def group_table(results):
    first = results[0]
    unit = next((r["unit"] for r in results if r["status"] == "measured"), "")
    limited = next((r for r in results if "limit" in r), None)
    head = [f"{first['suite']}: {first['case']}", unit, "ms", "first row / this", "error", "memory"]
    if limited:
        head.insert(2, f"of {limited['limit']} ({digits(limited['limitValue'])} {unit})")
    rows = [head]
    for r in results:
        name = f"{r['by']} ({r['note']})" if r.get("note") else r["by"]
        if r["status"] != "measured":
            rows.append([f"{name}: {r['status'].replace('|', '/')}", *[""] * (len(head) - 1)])
            continue
        cells = [name, digits(r["value"]), digits(r["seconds"] * 1e3), f"{digits(r['timesAsFast'])}x"]
        cells += [f"{r['error']:.1e}" if "error" in r else "", size(r["workspace"])]
        if limited:
            cells.insert(2, f"{r['ofLimit']:.3f}")
        rows.append(cells)
    return aligned(rows)


def heading(machine, command):
    known = [f"compute capability {machine['capability']}", f"driver {machine['driver']}", f"CUDA {machine['cuda']}"]
    known += [f"torch {machine['torch']}", f"Triton {machine['triton'] or 'not installed'}", f"covn {machine['covn']}"]
    clocks = "; ".join(f"{when}: {text}" for when, text in machine["clocks"].items())
    return f"    {command}\n\n{machine['gpu']}, {', '.join(known)}, {machine['date']}. {clocks}."


def markdown(document):
    groups = {}
    for result in document["results"]:
        groups.setdefault((result["suite"], result["case"]), []).append(result)
    tables = [group_table(results) for results in groups.values()]
    return "\n\n".join([heading(document["machine"], document["command"]), *tables])


def with_section(text, section):
    """The text with what is between the markers replaced; at its end where there are none."""
    block = f"{BEGIN}\n\n{section}\n\n{END}"
    found = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if found.search(text):
        return found.sub(lambda _: block, text, count=1)
    return f"{text.rstrip()}\n\n## GPU\n\n{block}\n"
