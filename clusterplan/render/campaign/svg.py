"""The jobs of a plan over time, as an SVG picture in colours that are readable on white and on black."""

from html import escape

from ...cluster_profiles.units import DAY_S, HOUR_S, plural
from ...cluster_profiles.visible_text import show_controls
from ...estimator.campaign.plan import Plan

_COLOURS = ("#2f7fd6", "#2c9a62", "#c9741a", "#8a63c9", "#b8483f", "#5b8c8c")
_GREY = "#7d7d7d"
_LEFT, _WIDTH, _ROW, _TOP, _RIGHT = 190, 620, 22, 34, 30
_TICKS_S = (HOUR_S, 2 * HOUR_S, 6 * HOUR_S, 12 * HOUR_S, DAY_S, 2 * DAY_S, 7 * DAY_S, 28 * DAY_S)
_MOST_TICKS = 9
_LONGEST_NAME = 26


def draw_gantt(plan: Plan) -> str:
    """Draw a bar for each job from its start to its P50, lighter to its P90, a line at its deadline, and each pool's use."""
    now_s = plan.campaign.now_s
    last_s = max([plan.end_s, *(plan.late_end_s(each) for each in plan.planned)], default=plan.end_s)
    scale = _WIDTH / max(last_s - now_s, 1.0)

    def x(time_s: float) -> float:
        return _LEFT + max(time_s - now_s, 0.0) * scale

    pools = [pool.name for pool in plan.campaign.pools]
    bottom = _TOP + _ROW * len(plan.planned)
    shapes = []
    tick_s = next((each for each in _TICKS_S if (last_s - now_s) / each <= _MOST_TICKS), _TICKS_S[-1])
    for number in range(int((last_s - now_s) / tick_s) + 1):
        at = x(now_s + number * tick_s)
        shapes += [
            f'<line x1="{at:.1f}" y1="{_TOP - 6}" x2="{at:.1f}" y2="{bottom}" stroke="{_GREY}" stroke-opacity="0.3"/>',
            _text(at, _TOP - 12, _tick(number * tick_s), "middle"),
        ]
    for row, each in enumerate(plan.planned):
        y, colour = _TOP + _ROW * row, _COLOURS[pools.index(each.mode.pool) % len(_COLOURS)]
        begin, end, late = x(each.start_s), x(each.end_s), x(plan.late_end_s(each))
        about = f"{each.job}: {plural(each.mode.gpus, 'GPU')} on {plural(each.mode.nodes, 'node')}"
        shapes += [
            f"<g><title>{escape(show_controls(about))}</title>",
            f'<rect x="{end:.1f}" y="{y + 3}" width="{max(late - end, 0):.1f}" height="{_ROW - 6}" fill="{colour}" fill-opacity="0.35"/>',
            f'<rect x="{begin:.1f}" y="{y + 3}" width="{max(end - begin, 1):.1f}" height="{_ROW - 6}" fill="{colour}"/>',
            _text(
                min(end, late) + 4 if late < _LEFT + _WIDTH - 40 else begin - 4,
                y + 15,
                f"{each.mode.gpus}",
                "start" if late < _LEFT + _WIDTH - 40 else "end",
            ),
            "</g>",
            _text(_LEFT - 8, y + 15, each.job[:_LONGEST_NAME], "end"),
        ]
        deadline_s = plan.campaign.job[each.job].deadline_s
        if deadline_s is not None and now_s <= deadline_s <= last_s:
            at = x(deadline_s)
            shapes.append(
                f'<line x1="{at:.1f}" y1="{y}" x2="{at:.1f}" y2="{y + _ROW}" stroke="#b8483f" stroke-width="2"/>'
            )
    height = bottom + 20
    for pool in plan.campaign.pools:
        steps = plan.gpus_in_use(pool.name)
        base, tall = height + 40, 40
        path = [f"M{_LEFT},{base}"]
        for time_s, used in steps:
            path += [f"H{x(time_s):.1f}", f"V{base - tall * used / pool.gpus:.1f}"]
        colour = _COLOURS[pools.index(pool.name) % len(_COLOURS)]
        shapes += [
            f'<path d="{" ".join(path)} V{base} Z" fill="{colour}" fill-opacity="0.5"/>',
            f'<line x1="{_LEFT}" y1="{base - tall}" x2="{_LEFT + _WIDTH}" y2="{base - tall}" stroke="{_GREY}" stroke-dasharray="4"/>',
            _text(_LEFT - 8, base - 14, f"{pool.name}: {plural(pool.gpus, 'GPU')}", "end"),
        ]
        height = base + 14
    width = _LEFT + _WIDTH + _RIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12" role="img"><title>{escape(show_controls(plan.campaign.name or "campaign"))}</title>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_GREY}">{escape(show_controls(words))}</text>'


def _tick(seconds: float) -> str:
    return f"{seconds / DAY_S:g}d" if seconds >= DAY_S and seconds % DAY_S == 0 else f"{seconds / HOUR_S:g}h"
