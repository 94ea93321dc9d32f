"""The table as a picture: one bar for each figure, its length the ratio to raw HTTP."""
from html import escape

ROW, LEFT, UNIT, MOST = 18, 330, 60, 10


def bars(result):
    for row in result["rows"]:
        best = min(row["raw"].values(), default=None)
        if not best:
            continue
        for name, figures in row["mounts"].items():
            for label, seconds in figures.items():
                if not isinstance(seconds, str):
                    yield row["work"], name, label, seconds, seconds / best


def draw(result):
    lines, y, last = [], 40, None
    for work, name, label, seconds, ratio in bars(result):
        if work != last:
            y += 10
            lines.append(f'<text x="8" y="{y + 13}" font-weight="bold">{escape(work)}</text>')
            y += ROW
            last = work
        width = max(min(ratio, MOST) * UNIT, 1)
        colour = "#2a6f97" if name == "pail" else "#adb5bd"
        lines.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}, {escape(label)}</text>'
                     f'<rect x="{LEFT}" y="{y + 2}" width="{width:.0f}" height="{ROW - 4}" fill="{colour}"/>'
                     f'<text x="{LEFT + width + 6:.0f}" y="{y + 13}">{ratio:.2f} ({seconds:.2f} s)</text>')
        y += ROW
    rule = f'<line x1="{LEFT + UNIT}" y1="30" x2="{LEFT + UNIT}" y2="{y}" stroke="#c1121f" stroke-dasharray="4"/>'
    title = f'{result["store"]}, {result["wire"]}: time as a multiple of raw HTTP (dashed: as fast as raw)'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="1080" height="{y + 20}" font-family="sans-serif" font-size="12">'
            f'<rect width="100%" height="100%" fill="white"/><text x="8" y="22" font-size="15">{escape(title)}</text>'
            f'{rule}{"".join(lines)}</svg>\n')
