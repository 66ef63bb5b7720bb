"""Twice what comes: `[1, 2]` gives `[2, 4]`; a text comes back reversed, and "raise" raises."""

import json

import torch


def handle(data, context):
    """Return one answer for each request of the batch that TorchServe made; none where it only loads the model."""
    return [_answer(json.loads(raw) if isinstance(raw := _body(one), bytes | bytearray) else raw) for one in data or []]


def _body(request):
    return request["data"] if "data" in request else request["body"]


def _answer(value):
    if value == "raise":
        raise ValueError("the handler was asked to raise")
    if isinstance(value, str):
        return value[::-1]
    return (torch.tensor(value) * 2).tolist()
