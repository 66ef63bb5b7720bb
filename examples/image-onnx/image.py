"""What stands around the network: from the bytes of an image to the numbers that it takes, and back to a digit."""

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

SIDE = 8  # of what the network sees, in pixels


def pixels(images: list[bytes]) -> np.ndarray:
    """Return each image, of any format and size, as shades of grey from 0 to 1: the writing dark on a light ground."""
    return np.stack([decoded(image, index) for index, image in enumerate(images)])


def decoded(data: bytes, index: int = 0) -> np.ndarray:
    """Return one image. Raises ValueError, which callers get as 400, where the bytes are none."""
    if not isinstance(data, bytes):
        raise ValueError(f'instances[{index}] is no image: send its bytes, in JSON as {{"b64": ...}}')
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            grey = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"instances[{index}] is neither PNG nor JPEG: {error}") from error
    return 1 - np.asarray(grey, np.float32) / 255


def digit(probabilities: np.ndarray) -> list[dict]:
    """Return the most probable digit of each row, and how probable it is."""
    return [{"digit": int(row.argmax()), "probability": round(float(row.max()), 4)} for row in probabilities]
