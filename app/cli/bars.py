"""Bars in the terminal."""

from collections.abc import Sequence

from app.cli.console import out, plain

_WIDEST = 100
_FRAME = 3  # lines around the bars: the title and two of the frame


def print_bars(title: str, names: Sequence[str], values: Sequence[int]) -> None:
    """A bar a line, each with its name and number; nothing but a line where there is nothing to show."""
    import plotext  # takes longer to load than most commands run

    if not any(values):
        out.print(f"{title}: none", highlight=False, markup=False)
        return
    lines = list(range(len(values), 0, -1))  # the first on top
    names = [plain(name) for name in names]
    name_width, value_width = max(map(len, names)), max(len(f"{value:,}") for value in values)
    plotext.terminal.limit(width=False, height=False)
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(min(out.width, _WIDEST), len(values) + _FRAME)
    figure.title(title)
    figure.draw(figure.bar(lines, list(values), orientation="horizontal", width=0.001))  # one line high
    figure.ruler("x").lim(0, max(values)).frequency(0)
    figure.ruler("y").lim(1 if len(lines) > 1 else 0, max(len(lines), 2))
    labels = [f"{name:<{name_width}} {value:>{value_width},} " for name, value in zip(names, values, strict=True)]
    figure.ruler("y").ticks(lines, labels=labels)
    out.print(figure.build().string(colorless=True), highlight=False, markup=False, soft_wrap=True)
