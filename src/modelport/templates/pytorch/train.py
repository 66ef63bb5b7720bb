"""Trains a small network and writes it as model.pt2 (torch.export) into a folder: `python train.py FOLDER`.

It learns from made-up points whether one lies in the unit circle; put your own data and network here.
"""

import sys
from pathlib import Path

import torch
from torch import nn


def train(folder: Path) -> Path:
    torch.manual_seed(0)
    points = torch.rand(2000, 2) * 3 - 1.5
    inside = (points.norm(dim=1) < 1).float()
    network = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid(), nn.Flatten(0))
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy(network(points), inside).backward()
        optimizer.step()
    # The first axis stays open for any number of rows; two of them here, for one alone would be taken as a constant.
    rows = torch.export.Dim("rows")
    program = torch.export.export(network.eval(), (points[:2],), dynamic_shapes=({0: rows},))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.pt2"
    torch.export.save(program, path)
    return path


if __name__ == "__main__":
    print(f"wrote {train(Path(sys.argv[1] if len(sys.argv) > 1 else 'model'))}")
