"""Trains both models and writes them into a folder: `python train.py FOLDER`.

`embed/model.onnx` is a small network that turns the parts of a text into 16 numbers, `classify/model.joblib` a
classifier of scikit-learn over those and a few marks. The sentences are made up here, so that nothing is downloaded
and the result is the same each time; put your own texts in their place.
"""

import random
import sys
from pathlib import Path

import joblib
import numpy as np
import onnx
import text
from onnx import TensorProto, helper, numpy_helper
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression

SIZE = 16
SENTENCES = {
    "billing": (
        ["I was charged", "You billed me", "My card was debited", "The invoice shows"],
        ["twice this month", "$49 too much", "for a subscription that I cancelled", "£12 for nothing", "the wrong tax"],
        ["Correct the payment", "Send me a receipt", "Refund the amount", "Explain this price"],
    ),
    "delivery": (
        ["My parcel", "Order #4711", "The package", "Shipment #90210"],
        ["has not arrived", "is stuck at the courier", "was left in the rain", "is late by a week", "went astray"],
        ["Where is it", "When will it be delivered", "Track it for me", "Tell the driver to ring"],
    ),
    "returns": (
        ["The shoes", "These trousers", "The lamp from order #512", "Both jackets"],
        ["do not fit", "arrived broken", "have the wrong colour", "are of poor quality", "are too small"],
        ["I want to send them back", "Exchange it", "Where do I return this", "Give me a label for the return"],
    ),
    "account": (
        ["I forgot my password", "I cannot log in", "My address a.person@mail.example has changed", "The login code"],
        ["and the link has expired", "since the update", "on my new phone", "and never get the mail", "any more"],
        ["Reset it", "Unlock my account", "Change my user name", "Delete my profile"],
    ),
}


def made_up() -> tuple[list[str], list[int]]:
    """Return texts and the index of the topic of each."""
    chance = random.Random(0)
    texts, topics = [], []
    for index, topic in enumerate(text.TOPICS):
        for _ in range(150):
            beginning, middle, end = (chance.choice(one) for one in SENTENCES[topic])
            texts.append(f"{beginning} {middle}{chance.choice('.!')} {end}{chance.choice('?!')}")
            topics.append(index)
    return texts, topics


def table_of(texts: list[str]) -> np.ndarray:
    """Return a vector for each part of a text: latent semantic analysis, so that parts of like texts are alike."""
    counts = np.zeros((len(texts), text.BUCKETS), np.float32)
    for row, one in zip(counts, texts, strict=True):
        np.add.at(row, text.parts(one), 1)
    weights = TfidfTransformer(norm=None).fit(counts).idf_
    weights[counts.sum(axis=0) == 0] = 0  # never seen: says nothing
    weighted = counts * weights
    svd = TruncatedSVD(SIZE, random_state=0).fit(weighted / np.linalg.norm(weighted, axis=1, keepdims=True))
    table = (svd.components_ * weights).T.astype(np.float32)
    table[0] = 0
    return table


def network(table: np.ndarray) -> onnx.ModelProto:
    """Return the network: look up the vector of each part, add them up, and scale the sum to length one."""
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["vectors"]),
            helper.make_node("ReduceSum", ["vectors", "parts"], ["sum"], keepdims=0),
            helper.make_node("LpNormalization", ["sum"], ["embedding"], axis=1, p=2),
        ],
        "embed",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows", text.LENGTH])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["rows", SIZE])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1]), "parts")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def train(folder: Path) -> None:
    texts, topics = made_up()
    table = table_of(texts)
    sums = table[text.ids(texts)].sum(axis=1)
    embedding = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    classifier = LogisticRegression(C=10, max_iter=1000).fit(text.features(embedding, text.marks(texts)), topics)
    for name in ("embed", "classify"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "embed" / "model.onnx").write_bytes(network(table).SerializeToString())
    joblib.dump(classifier, folder / "classify" / "model.joblib")


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "model")
    train(target)
    print(f"wrote {target}")
