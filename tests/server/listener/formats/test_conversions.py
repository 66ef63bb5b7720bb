"""Rows that a caller of one format sends reach a model server of any other, and its answer the caller."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelport.server.listener.formats.base import Call
from modelport.server.listener.formats.known import FORMATS, format_named
from modelport.server.model import Batch
from tests.server.listener.formats.messages import answer, converted, model, plain, received

TABLES = sorted(name for name, kind in FORMATS.items() if not kind.row_by_row)
BOUNDS = [[2**63 - 1, -(2**63)], [2**53 + 1, 0]]


def through(caller: str, server: str, batch: Batch) -> list[Any]:
    """Return what a caller reads who sends rows to a server that answers with them."""
    front = format_named(caller)
    asked = front.read_call(received(front.write_call(Call(batch), model(caller))))
    response = front.write_answer(converted(asked.batch, server), asked, "m")
    return plain(front.read_answer(answer(response), model(caller)))


@pytest.mark.parametrize("server", sorted(set(FORMATS) - {"raw"}))
@pytest.mark.parametrize("caller", TABLES)
@pytest.mark.parametrize("rows", [[[0.5, -1.25e-7], [3.5, 1e300]], BOUNDS])
def test_numbers_pass_through_any_pair_of_formats(caller: str, server: str, rows: list[Any]) -> None:
    assert through(caller, server, np.array(rows)) == rows


# One value in a row of CSV is a row of one, so texts come back from there in lists.
@pytest.mark.parametrize("server", sorted(set(FORMATS) - {"raw", "sagemaker-csv"}))
@pytest.mark.parametrize("caller", sorted(set(TABLES) - {"sagemaker-csv"}))
def test_texts_pass_through_any_pair_of_formats(caller: str, server: str) -> None:
    rows = ["ja", "nein, danke", "é \" '", "2"]
    assert through(caller, server, rows) == rows


@pytest.mark.parametrize("server", ["torchserve", "raw", "oip", "oip-binary", "ai-platform", "tf-serving", "sagemaker"])
@pytest.mark.parametrize("caller", ["torchserve", "raw"])
def test_a_file_passes_through_any_pair_of_formats(caller: str, server: str) -> None:
    image = b"\x89PNG\r\n\x1a\n\x00\xff"
    front = format_named(caller)
    asked = front.read_call(received(front.write_call(Call([image]), model(caller))))
    response = front.write_answer(converted(asked.batch, server), asked, "m")
    assert response.body == image
    assert response.content_type == b"image/png"


@pytest.mark.parametrize("server", sorted(set(FORMATS) - {"raw", "sagemaker-csv"}))
@pytest.mark.parametrize("caller", ["ai-platform", "tf-serving", "mlflow", "sagemaker", "oip", "oip-binary"])
def test_named_values_pass_through_any_pair_of_formats(caller: str, server: str) -> None:
    rows = [{"text": "ja", "length": 2, "weight": 0.5}, {"text": "nein", "length": 4, "weight": -1.5}]
    assert through(caller, server, rows) == rows


@pytest.mark.parametrize("server", ["ai-platform", "tf-serving", "mlflow", "sagemaker", "torchserve"])
def test_ragged_rows_pass_where_json_carries_them(server: str) -> None:
    rows = [[1, 2], [3], []]
    assert through("ai-platform", server, rows) == rows


@pytest.mark.parametrize(
    "server", ["ai-platform", "tf-serving", "mlflow", "sagemaker", "torchserve", "oip-binary", "oip"]
)
@pytest.mark.parametrize("rows", [[2**63, 2**64 - 1], [2**63, 1], [[2**64 - 1, 0], [5, 2**53 + 1]]])
def test_whole_numbers_of_64_bits_stay_exact(server: str, rows: list[Any]) -> None:
    assert through("ai-platform", server, rows) == rows


@pytest.mark.parametrize("server", ["ai-platform", "tf-serving", "mlflow", "sagemaker", "torchserve"])
@pytest.mark.parametrize("rows", [[2**63, -1], [2**53 + 1, None], [[2**53 + 1, 0.5], [1, 2]]])
def test_large_numbers_that_no_array_holds_stay_exact_in_json(server: str, rows: list[Any]) -> None:
    assert through("ai-platform", server, rows) == rows


def test_large_bodies_stay_exact_too() -> None:
    rows = [[2**63 + number, number, 0] for number in range(500)]
    assert through("ai-platform", "oip-binary", rows) == rows
    rows = [[2**53 + number, 0.5] for number in range(500)]
    assert through("ai-platform", "sagemaker", rows) == rows
