"""Compiled kernels that draw scenes, exact to the bit with the published generator.

All kernels live in this one file because numba's on-disk cache notices changes of a kernel's own file only.

Quirk: floating point is left strictly alone (no fastmath, no reordering): a published checksum depends on
every rounding, and on the order of the random draws.

Source: github.com/michaelisc/cluttered-omniglot at 0cd38ba; Pillow 5.2.0 for the resampling;
Matsumoto and Nishimura 1998 for the Mersenne Twister.
"""

from math import cos, pi, sin
from typing import NamedTuple

import numpy as np

from oneshot.compiled import compiled

DRAWING_SIZE = 105
GLYPH_SIZE = 32  # a drawing of scale 1 becomes 32 x 32
ROW_BYTES = 16  # a packed row of a drawing, padded to a power of two
SCENE_SCALE = 2.0  # glyphs in the scene are scaled by 2 ** U(-1, 1) along each axis
TARGET_SCALE = 1.0
ROTATION_DEGREES = 20.0
SHEAR_DEGREES = 10.0
# The longest side of a warped box is under 105 * 2 * (cos 0 + sin 30 degrees) = 315, of a glyph 96 pixels.
MAX_GLYPH = 128
BEYOND = 1 << 40  # more than any coordinate in 16.16 fixed point, which stays below 2 ** 26

GLYPH_DRAWN, GLYPH_WITHOUT_INK, GLYPH_TOO_THIN = 0, 1, 2
SCENE_DRAWN, GLYPH_TOO_LARGE, NOTHING_TO_DRAW = 0, 1, 2
# Of one glyph in a row. Omniglot needs a few; a dot of a few pixels would be redrawn for ever.
MOST_REDRAWS = 10_000

MT_WORDS = 624
MT_MIDDLE = 397


class Stream(NamedTuple):
    """Mersenne Twister: its state, the state's tempered words, and how many of those are spent."""

    state: np.ndarray  # (624,) uint32
    words: np.ndarray  # (624,) uint32
    spent: np.ndarray  # (1,) int64


class Workspace(NamedTuple):
    """Scratch memory of one glyph, allocated once a job."""

    column_map: np.ndarray  # (MAX_GLYPH,) int64, column of the warped box that a glyph's column shows
    row_map: np.ndarray  # (MAX_GLYPH,) int64
    column_x: np.ndarray  # (MAX_GLYPH,) int64, the column's share of the drawing's x, 16.16 fixed point
    rising_y: np.ndarray  # (MAX_GLYPH,) int64, likewise of y, with its sign turned where y falls along a row
    column_yx: np.ndarray  # (MAX_GLYPH,) int64, both in one word: y * 2 ** 32 + x
    ink: np.ndarray  # (MAX_GLYPH ** 2 + 1,) int32, the glyph's ink, row by row: row * 256 + column


def allocate_workspace() -> Workspace:
    a, b, c, d, e = np.empty((5, MAX_GLYPH), np.int64)
    return Workspace(a, b, c, d, e, np.empty(MAX_GLYPH * MAX_GLYPH + 1, np.int32))


# ---------------------------------------------------------------------------------------- the random stream


@compiled()
def twist(word, following, middle):
    y = (word & np.uint32(0x80000000)) | (following & np.uint32(0x7FFFFFFF))
    return middle ^ (y >> np.uint32(1)) ^ (np.uint32(0x9908B0DF) * (y & np.uint32(1)))


@compiled()
def refill(stream):
    """Advance the twister by 624 words, and temper them all at once, which vectorises."""
    state = stream.state
    # Three ranges instead of indices modulo 624, so that the first two vectorise.
    for k in range(MT_WORDS - MT_MIDDLE):
        state[k] = twist(state[k], state[k + 1], state[k + MT_MIDDLE])
    for k in range(MT_WORDS - MT_MIDDLE, MT_WORDS - 1):
        state[k] = twist(state[k], state[k + 1], state[k + MT_MIDDLE - MT_WORDS])
    state[MT_WORDS - 1] = twist(state[MT_WORDS - 1], state[0], state[MT_MIDDLE - 1])
    for k in range(MT_WORDS):
        y = state[k]
        y ^= y >> np.uint32(11)
        y ^= (y << np.uint32(7)) & np.uint32(0x9D2C5680)
        y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
        stream.words[k] = y ^ (y >> np.uint32(18))
    stream.spent[0] = 0


@compiled()
def draw_word(stream):
    if stream.spent[0] == MT_WORDS:
        refill(stream)
    word = stream.words[np.uint64(stream.spent[0])]
    stream.spent[0] += 1
    return word


@compiled()
def draw_double(stream):
    """Draw a 53-bit double in [0, 1)."""
    high = draw_word(stream) >> np.uint32(5)
    low = draw_word(stream) >> np.uint32(6)
    return (np.float64(high) * 67108864.0 + np.float64(low)) / 9007199254740992.0


@compiled()
def draw_uniform(stream, low, high):
    return low + (high - low) * draw_double(stream)


@compiled()
def draw_below(stream, n):
    """Draw an integer in 0..n-1: masked words, redrawn while too large; n = 1 draws nothing."""
    largest = np.uint32(n - 1)
    if largest == 0:
        return np.int64(0)
    mask = largest
    mask |= mask >> np.uint32(1)
    mask |= mask >> np.uint32(2)
    mask |= mask >> np.uint32(4)
    mask |= mask >> np.uint32(8)
    mask |= mask >> np.uint32(16)
    value = draw_word(stream) & mask
    while value > largest:
        value = draw_word(stream) & mask
    return np.int64(value)


# --------------------------------------------------------------------------------------------------- a glyph


@compiled()
def map_nearest(size_in, size_out, source):
    """Find each pixel's source in a nearest-neighbour resize; positions are summed up, as Pillow does."""
    step = size_in / size_out
    position = step * 0.5
    for i in range(size_out):
        source[i] = np.int64(position)
        position += step


@compiled()
def to_fixed(value):
    return np.int64(np.floor(value * 65536.0 + 0.5))


@compiled()
def first_reaching(threshold, shares, n, columns_per_unit):
    """Find the first of n rising shares that reaches the threshold (n if none does).

    The share of column i is that of (i + 0.5) / columns_per_unit rounded down by less than one column of the
    box, itself at most one column of the glyph: so the guess is right or one or two too small.
    """
    guess = min(max(threshold * columns_per_unit - 1.0, 0.0), np.float64(n))
    i = np.uint64(np.int64(guess))
    i += np.uint64(shares[i] < threshold)
    i += np.uint64(shares[i] < threshold)
    return np.int64(i)


@compiled()
def warp(drawing, ink_box, scale, stream, work):
    """Draw a warp, and list the ink of the warped, 32/105 as large drawing in the workspace, row by row.

    The published generator resamples twice (affine, then nearest resize); here only the samples that
    survive the second step are taken, and of those only the ones that fall into the drawing's ink box.
    Returns the number of ink pixels.
    """
    phi = draw_uniform(stream, -ROTATION_DEGREES, ROTATION_DEGREES) * (pi / 180.0)
    theta = draw_uniform(stream, -SHEAR_DEGREES, SHEAR_DEGREES) * (pi / 180.0)
    a = scale ** draw_uniform(stream, -1.0, 1.0)
    b = scale ** draw_uniform(stream, -1.0, 1.0)
    cos_plus, sin_plus = cos(phi + theta), sin(phi + theta)
    cos_minus, sin_minus = cos(phi - theta), sin(phi - theta)

    # The corners (0, 0), (x, 0), (0, y), (x, y) of the scaled box give the bounding box of the warped one.
    x, y = DRAWING_SIZE * a, DRAWING_SIZE * b
    left = min(0.0, cos_plus * x, sin_minus * y, cos_plus * x + sin_minus * y)
    right = max(0.0, cos_plus * x, sin_minus * y, cos_plus * x + sin_minus * y)
    top = min(0.0, -sin_plus * x, cos_minus * y, -sin_plus * x + cos_minus * y)
    bottom = max(0.0, -sin_plus * x, cos_minus * y, -sin_plus * x + cos_minus * y)
    width, height = right - left, bottom - top

    # The inverse map, from the warped box to the drawing, in 16.16 fixed point at the pixels' centres.
    determinant = a * cos_plus * b * cos_minus + b * sin_minus * a * sin_plus
    xx, xy = b * cos_minus / determinant, -b * sin_minus / determinant
    yx, yy = a * sin_plus / determinant, a * cos_plus / determinant
    x0, y0 = xx * left + xy * top, yx * left + yy * top
    fixed_xx, fixed_xy = to_fixed(xx), to_fixed(xy)
    fixed_yx, fixed_yy = to_fixed(yx), to_fixed(yy)
    fixed_x0 = to_fixed(x0 + xx * 0.5 + xy * 0.5)
    fixed_y0 = to_fixed(y0 + yx * 0.5 + yy * 0.5)

    n_box_columns, n_box_rows = np.int64(width), np.int64(height)
    n_columns = np.int64(GLYPH_SIZE * width / DRAWING_SIZE)
    n_rows = np.int64(GLYPH_SIZE * height / DRAWING_SIZE)
    map_nearest(n_box_columns, n_columns, work.column_map)
    map_nearest(n_box_rows, n_rows, work.row_map)

    ink_left, ink_top = np.int64(ink_box[0]) << 16, np.int64(ink_box[1]) << 16
    ink_right, ink_bottom = np.int64(ink_box[2]) << 16, np.int64(ink_box[3]) << 16
    # Along a row y may rise, fall or stay: where it falls, everything of y is looked at with its sign turned.
    sign = 1 if fixed_yx >= 0 else -1
    y_from, y_end = (ink_top, ink_bottom) if sign > 0 else (1 - ink_bottom, 1 - ink_top)
    for i in range(n_columns):
        work.column_x[i] = work.column_map[i] * fixed_xx
        work.rising_y[i] = work.column_map[i] * fixed_yx * sign
        work.column_yx[i] = ((work.column_map[i] * fixed_yx) << 32) + work.column_x[i]
    work.column_x[n_columns : n_columns + 2] = BEYOND
    work.rising_y[n_columns : n_columns + 2] = BEYOND
    columns_per_x = n_columns / n_box_columns / fixed_xx
    columns_per_y = n_columns / n_box_columns / (fixed_yx * sign) if fixed_yx != 0 else 0.0

    # Only rows that can meet the ink box: the extent of its warped corners, and one row more for rounding.
    upper = min(-sin_plus * a * ink_box[0], -sin_plus * a * ink_box[2]) + cos_minus * b * ink_box[1] - top
    lower = max(-sin_plus * a * ink_box[0], -sin_plus * a * ink_box[2]) + cos_minus * b * ink_box[3] - top
    first_row = max(np.int64(upper * n_rows / n_box_rows) - 1, 0)
    end_row = min(np.int64(lower * n_rows / n_box_rows) + 2, n_rows)
    n_ink = np.uint64(0)
    for j in range(first_row, end_row):
        row_x = fixed_x0 + work.row_map[j] * fixed_xy
        row_y = fixed_y0 + work.row_map[j] * fixed_yy
        first = first_reaching(ink_left - row_x, work.column_x, n_columns, columns_per_x)
        end = first_reaching(ink_right - row_x, work.column_x, n_columns, columns_per_x)
        if fixed_yx != 0:
            first_y = first_reaching(y_from - sign * row_y, work.rising_y, n_columns, columns_per_y)
            end_y = first_reaching(y_end - sign * row_y, work.rising_y, n_columns, columns_per_y)
            first, end = max(first, first_y), min(end, end_y)
        elif row_y < ink_top or row_y >= ink_bottom:
            continue
        row_yx = (row_y << 32) + row_x
        # Unsigned indices: numba would otherwise look for negative ones at every access.
        for i in range(np.uint64(first), np.uint64(max(first, end))):
            # Within the ink box neither sum is negative, so that one addition serves both coordinates.
            yx = row_yx + work.column_yx[i]
            byte = drawing[np.uint64((yx >> 48) * ROW_BYTES + ((yx >> 19) & 15))]
            # Written always, counted only if ink: a branch would be mispredicted at every stroke.
            work.ink[n_ink] = np.int32(j << 8) | np.int32(i)
            n_ink += np.uint64((byte >> ((yx >> 16) & 7)) & 1)
    return np.int64(n_ink)


@compiled()
def draw_glyph(drawing, ink_box, scale, stream, work, tint):
    """Warp, crop and tint a drawing: fills the workspace's ink and the tint.

    Returns status, n_ink, and the crop's left, top, width and height. The ink is that of the warped drawing
    above the crop's lower end; ``stamp`` leaves out what lies right of the crop.

    Quirk: the crop leaves out the ink's last row and column. A glyph of width or height 0 fails after its
    three tint draws, as under Pillow 5.2; newer versions of Pillow fail elsewhere, and leave the stream.
    """
    n_ink = warp(drawing, ink_box, scale, stream, work)
    if n_ink == 0:
        return GLYPH_WITHOUT_INK, 0, 0, 0, 0, 0
    left, right = np.int32(255), np.int32(0)
    for k in range(n_ink):
        column = work.ink[k] & np.int32(255)
        left = min(left, column)
        right = max(right, column)
    top, bottom = work.ink[0] >> 8, work.ink[n_ink - 1] >> 8
    for channel in range(3):
        tint[channel] = np.uint8(255 * draw_double(stream))
    if right == left or bottom == top:
        return GLYPH_TOO_THIN, 0, 0, 0, 0, 0
    while work.ink[n_ink - 1] >> 8 == bottom:
        n_ink -= 1
    return GLYPH_DRAWN, n_ink, np.int64(left), np.int64(top), np.int64(right - left), np.int64(bottom - top)


@compiled()
def stamp(canvas, value, n_ink, crop_end, right, down, work):
    """Write the workspace's ink, left of column ``crop_end``, into the canvas, moved right and down."""
    for k in range(n_ink):
        column, row = np.int64(work.ink[k] & 255), np.int64(work.ink[k] >> 8)
        if column < crop_end:
            canvas[np.uint64(row + down), np.uint64(column + right)] = value


# --------------------------------------------------------------------------------------------------- a scene


@compiled()
def redraw_glyph(drawing, ink_box, scale, stream, work, tint):
    """Repeat ``draw_glyph`` until something is left of the drawing, at most MOST_REDRAWS times."""
    glyph = draw_glyph(drawing, ink_box, scale, stream, work, tint)
    n_redraws = 0
    while glyph[0] != GLYPH_DRAWN and n_redraws < MOST_REDRAWS:
        glyph = draw_glyph(drawing, ink_box, scale, stream, work, tint)
        n_redraws += 1
    return glyph


@compiled()
def draw_target(drawing, ink_box, stream, work, ink, tint):
    """Draw a target image: centred, cut by the border where it is larger. Returns whether that succeeded."""
    status, n_ink, left, top, width, height = redraw_glyph(drawing, ink_box, TARGET_SCALE, stream, work, tint)
    right, down = (ink.shape[1] - width) // 2 - left, (ink.shape[0] - height) // 2 - top
    ink[:] = False
    for k in range(n_ink):
        column, row = (work.ink[k] & 255), (work.ink[k] >> 8)
        inside = 0 <= row + down < ink.shape[0] and 0 <= column + right < ink.shape[1]
        if column < left + width and inside:
            ink[row + down, column + right] = True
    return status == GLYPH_DRAWN


@compiled()
def place(labels, label, glyph, stream, work):
    """Put a glyph at a random place. Returns how that went, and how far right and down the glyph moved."""
    status, n_ink, left, top, width, height = glyph
    if status != GLYPH_DRAWN:
        return NOTHING_TO_DRAW, 0, 0
    if width > labels.shape[1] or height > labels.shape[0]:
        return GLYPH_TOO_LARGE, 0, 0
    right = draw_below(stream, labels.shape[1] - width + 1) - left
    down = draw_below(stream, labels.shape[0] - height + 1) - top
    stamp(labels, label, n_ink, left + width, right, down, work)
    return SCENE_DRAWN, right, down


@compiled()
def draw_others(
    bits, ink_boxes, first_drawer, n_drawers, first_label, n_others, stream, work, labels, palette, characters
):
    """Draw and place distractors or occluders; returns how that went."""
    for label in range(first_label, first_label + n_others):
        glyph, character, n_redraws = (GLYPH_WITHOUT_INK, 0, 0, 0, 0, 0), np.int64(0), 0
        while glyph[0] != GLYPH_DRAWN and n_redraws < MOST_REDRAWS:
            character = draw_below(stream, bits.shape[0])
            drawer = first_drawer + draw_below(stream, n_drawers)
            glyph = draw_glyph(
                bits[character, drawer],
                ink_boxes[character, drawer],
                SCENE_SCALE,
                stream,
                work,
                palette[label],
            )
            n_redraws += 1
        status, _, _ = place(labels, label, glyph, stream, work)
        if status != SCENE_DRAWN:
            return status
        characters[label - 1] = character
    return SCENE_DRAWN


@compiled(nogil=True)
def draw_scenes(
    bits, ink_boxes, first_drawer, n_drawers, n_distractors, n_occluders, empty_share, stream, work,
    labels, palette, masks, characters, target_inks, target_tints, target_characters,
):  # fmt: skip
    """Draw scenes one after another from one stream into the arrays given (see ``scenes.Scenes``).

    Returns how the last scene went, and the number of scenes before it; all of them if it went well.
    """
    target_label = n_distractors + 1
    for n in range(labels.shape[0]):
        labels[n] = 0
        masks[n] = False
        target = draw_below(stream, bits.shape[0])
        target_drawer = first_drawer + draw_below(stream, n_drawers)
        status = draw_others(
            bits, ink_boxes, first_drawer, n_drawers, 1, n_distractors, stream, work,
            labels[n], palette[n], characters[n],
        )  # fmt: skip
        if status != SCENE_DRAWN:
            return status, n
        character, drawer = target, target_drawer
        empty = draw_double(stream) < empty_share
        if empty:
            character = draw_below(stream, bits.shape[0])
            drawer = first_drawer + draw_below(stream, n_drawers)
        glyph = redraw_glyph(
            bits[character, drawer], ink_boxes[character, drawer], SCENE_SCALE, stream, work,
            palette[n, target_label],
        )  # fmt: skip
        status, right, down = place(labels[n], target_label, glyph, stream, work)
        if status != SCENE_DRAWN:
            return status, n
        characters[n, target_label - 1] = character
        if not empty:
            stamp(masks[n], True, glyph[1], glyph[2] + glyph[4], right, down, work)
        status = draw_others(
            bits, ink_boxes, first_drawer, n_drawers, target_label + 1, n_occluders, stream, work,
            labels[n], palette[n], characters[n],
        )  # fmt: skip
        if status != SCENE_DRAWN:
            return status, n
        if not draw_target(
            bits[target, target_drawer], ink_boxes[target, target_drawer], stream, work,
            target_inks[n], target_tints[n],
        ):  # fmt: skip
            return NOTHING_TO_DRAW, n
        target_characters[n] = target
    return SCENE_DRAWN, labels.shape[0]


@compiled(nogil=True)
def draw_targets(bits, ink_boxes, first_drawer, n_drawers, characters, stream, work, inks, tints):
    """Draw one target image for every entry of ``characters``, each by a random drawer.

    Returns whether all of them could be drawn.
    """
    for n in range(characters.shape[0]):
        for k in range(characters.shape[1]):
            character = characters[n, k]
            drawer = first_drawer + draw_below(stream, n_drawers)
            if not draw_target(
                bits[character, drawer], ink_boxes[character, drawer], stream, work, inks[n, k], tints[n, k]
            ):
                return False
    return True


@compiled(nogil=True)
def colour_labels(labels, palette, images):
    """Colour label maps: ``images[n, y, x] = palette[n, labels[n, y, x]]``."""
    for n in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                label = labels[n, y, x]
                images[n, y, x, 0] = palette[n, label, 0]
                images[n, y, x, 1] = palette[n, label, 1]
                images[n, y, x, 2] = palette[n, label, 2]
