# SPDX-License-Identifier: BSD-2-Clause
"""The figures as one SVG: plain shapes and text, no fonts, scripts or files of others."""

from xml.sax.saxutils import escape

import counts
import own
import report
import side_by_side as peers
import turns

WIDTH, LEFT, RIGHT = 1100, 60, 30
INK, FAINT, MARK = "#222", "#ddd", "#c0392b"
COLOURS = ("#4878a8", "#e0913a", "#5a9e6f", "#8a6bb1", "#b0b0b0", "#c46a6a", "#7aa6c2", "#9c8b5a")


class Svg:
    def __init__(self):
        self.shapes, self.height = [], 20

    def add(self, shape):
        self.shapes.append(shape)

    def rect(self, x, y, width, height, colour, tip=None):
        self.add('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s">%s</rect>' % (
            x, y, max(width, 0.5), max(height, 0.5), colour,
            "<title>%s</title>" % escape(tip) if tip else ""))

    def line(self, points, colour, width=1.0, dash=""):
        self.add('<polyline points="%s" fill="none" stroke="%s" stroke-width="%g"%s/>' % (
            " ".join("%.1f,%.1f" % point for point in points), colour, width,
            ' stroke-dasharray="%s"' % dash if dash else ""))

    def text(self, x, y, text, size=12, anchor="start", colour=INK, weight="normal"):
        self.add('<text x="%.1f" y="%.1f" font-size="%d" text-anchor="%s" fill="%s" '
                 'font-weight="%s">%s</text>' % (x, y, size, anchor, colour, weight,
                                                 escape(text)))

    def panel(self, heading, height):
        """Reserves a panel; returns the y of its top."""
        self.text(LEFT - 30, self.height + 20, heading, 16, weight="bold")
        top = self.height + 44
        self.height = top + height + 30
        return top

    def legend(self, y, entries):
        x = LEFT
        for name, colour in entries:
            self.rect(x, y - 10, 12, 12, colour)
            self.text(x + 17, y, name)
            x += 30 + 7 * len(name)

    def document(self):
        return ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
                'viewBox="0 0 %d %d" font-family="sans-serif">\n<rect width="100%%" '
                'height="100%%" fill="white"/>\n%s\n</svg>\n' % (
                    WIDTH, self.height, WIDTH, self.height, "\n".join(self.shapes)))


def nice_step(most, about=5):
    """A step of 1, 2 or 5 times a power of ten, so that about so many fit."""
    step = 1.0
    while step * about * 2 < most:
        step *= 10
    while step * about > most * 2:
        step /= 10
    for factor in (1, 2, 5, 10):
        if step * factor * about >= most:
            return step * factor
    return step * 10


def axis(svg, top, height, most, unit):
    """Horizontal grid lines; returns the function from a value to its y."""
    step = nice_step(most)

    def place(value):
        return top + height - height * min(value, most) / most

    value = 0.0
    while value <= most * 1.001:
        svg.line([(LEFT, place(value)), (WIDTH - RIGHT, place(value))], FAINT)
        svg.text(LEFT - 6, place(value) + 4, "%g" % round(value, 6), 11, "end")
        value += step
    svg.text(LEFT, top - 6, unit, 11)
    return place


def ratios_panel(svg, samples, size, dpdk):
    """Bars of the ratios to DPDK's pair; one group a mode and direction."""
    groups = [(mode, direction) for mode in peers.MODES for direction in own.DIRECTIONS
              if any(samples.ratio(peers.PART, (size, mode, direction, combination), peers.PART,
                                   (size, mode, direction, "dpdk/dpdk"))
                     for combination in peers.OURS)]
    if not groups:
        return
    height = 240
    top = svg.panel("Throughput by that of DPDK's pair (driver/device), %d-byte frames%s, medians of "
                    "%s" % (size, report.as_told(dpdk, size), turns.told(samples, peers.PART)),
                    height + 74)
    ratios = {combination: report.peer_ratios(samples, combination, size,
                                              directions=own.DIRECTIONS)
              for combination in peers.OURS}
    most = max(1.2, 1.05 * max(max(each.values(), default=0) for each in ratios.values()))
    place = axis(svg, top, height, most, "ratio")
    width = (WIDTH - LEFT - RIGHT) / len(groups)
    for number, group in enumerate(groups):
        x = LEFT + number * width
        bar = width * 0.8 / len(peers.OURS)
        for index, combination in enumerate(peers.OURS):
            ratio = ratios[combination].get(group)
            if ratio is not None:
                at = x + width * 0.1 + index * bar
                svg.rect(at, place(ratio), bar - 1, place(0) - place(ratio), COLOURS[index],
                         "%s, %s, %s: %.2f" % (group + (combination, ratio)))
                svg.text(at + bar / 2, place(ratio) - 3, "%.1f" % ratio, 9, "middle")
        svg.text(x + width / 2, place(0) + 14, {own.TO_DEVICE: "to device",
                                                own.TO_DRIVER: "to driver"}.get(
                                                    group[1], group[1]), 10, "middle")
        if number == 0 or groups[number - 1][0] != group[0]:
            svg.text(x + 2, place(0) + 30, group[0], 12, weight="bold")
    svg.line([(LEFT, place(1)), (WIDTH - RIGHT, place(1))], MARK, 1.5)
    svg.legend(top + height + 58, list(zip(peers.OURS, COLOURS)) + [("DPDK's pair", MARK)])


def sizes_panel(svg, samples):
    """Throughput by size of frame, in bits, so that all sizes fit one scale."""
    sizes = report.measured_sizes(samples)
    curves = []
    for name in (own.BARE, *own.DIRECTIONS):
        points = [(number, samples.median(own.SIZE, size, name) * size * 8 / 1000)
                  for number, size in enumerate(sizes)
                  if samples.median(own.SIZE, size, name) is not None]
        if points:
            curves.append((name, points))
    if not curves:
        return
    height = 260
    top = svg.panel("Our driver and our device, two processes, by size of frame", height + 60)
    most = 1.05 * max(value for _, points in curves for _, value in points)
    place = axis(svg, top, height, most, "Gbit/s of frames")
    step = (WIDTH - LEFT - RIGHT - 80) / max(1, len(sizes) - 1)
    for number, size in enumerate(sizes):
        svg.text(LEFT + 40 + number * step, place(0) + 16, "%d" % size, 12, "middle")
    for index, (name, points) in enumerate(curves):
        limit = name == own.BARE
        colour = MARK if limit else COLOURS[index]
        places = [(LEFT + 40 + number * step, place(value)) for number, value in points]
        svg.line(places, colour, 2, "6,4" if limit else "")
        for (x, y), (_, value) in zip(places, points):
            svg.add('<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"><title>%s: %.1f Gbit/s'
                    '</title></circle>' % (x, y, colour, escape(name), value))
    svg.legend(top + height + 44, [(name, MARK if name == own.BARE else COLOURS[index])
                                   for index, (name, _) in enumerate(curves)])


def counts_panel(svg, results):
    """A bar for each path, of the folders that its instructions come from."""
    if not results:
        return
    each, label = 17, 250
    top = svg.panel("Instructions per 64-byte frame, by source folder", each * len(results) + 30)
    most = max(map(counts.total, results.values()))
    scale = (WIDTH - LEFT - RIGHT - label - 50) / most
    for number, (name, folders) in enumerate(results.items()):
        y, x = top + number * each, LEFT + label
        svg.text(x - 8, y + 11, name, 11, "end")
        for index, folder in enumerate(counts.FOLDERS):
            width = folders.get(folder, 0) * scale
            if width:
                svg.rect(x, y, width, each - 4, COLOURS[index],
                         "%s, %s: %.1f" % (name, folder, folders[folder]))
                x += width
        svg.text(x + 5, y + 11, "%.0f" % counts.total(folders), 11)
    svg.legend(top + each * len(results) + 20, zip(counts.FOLDERS, COLOURS))


def draw(samples, counted, dpdk):
    """The whole SVG, or None when there is nothing to draw. `dpdk`: which kind of its halves was
    used, by size."""
    svg = Svg()
    for size in sorted({key[0] for key in samples.keys(peers.PART)}):
        ratios_panel(svg, samples, size, dpdk)
    sizes_panel(svg, samples)
    counts_panel(svg, counted)
    return svg.document() if svg.shapes else None
