"""Turns a fitted student into the file that ships, and reads outputs back through the shipped code."""

from array import array

import numpy as np

from dynaroute_mcp.classifier.weights import Head, Weights
from training.student import OUTPUTS, Student

_CLIP = 99.97
"""Percentile of a lane's sizes that becomes the largest byte; the few beyond it are clipped."""


def quantize(
    model: Student, index: np.ndarray, temperatures: tuple[float, float], shift: list[float]
) -> Weights:
    """Round every lane to steps of its own size, a hundred and twenty-seven each way."""
    rows = model.table.weight.detach().numpy()[1:]
    scale = np.maximum(np.percentile(np.abs(rows), _CLIP, axis=0), 1e-6) / 127
    steps = np.clip(np.rint(rows / scale), -127, 127).astype(np.int16) + 128
    lanes = rows.shape[1]
    assert lanes % 2 == 0
    mix = model.mix.weight.detach().numpy().T if model.mix is not None else np.zeros((0, OUTPUTS))
    head = Head(
        lanes=lanes,
        scale=[round(float(s), 9) for s in scale],
        bias=[round(float(b), 6) for b in model.bias.detach().numpy()],
        mix=[[round(float(v), 5) for v in unit] for unit in mix],
        category_temperature=round(temperatures[0], 4),
        level_temperature=round(temperatures[1], 4),
        level_shift=[round(v, 4) for v in shift],
    )
    table = bytes([128]) * lanes + steps.astype(np.uint8).tobytes()
    return Weights(head, array("H", index.tolist()), table)
