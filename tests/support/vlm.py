"""What a vision-language model is given for a conversation, put together by the test itself."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import torch
from jinja2 import Environment
from PIL import Image as Pillow

from searchmesh.catalog import load_card
from searchmesh.images import Cropping, Crops
from support import vlm_reference as reference
from support.checkpoints_vlm import CHAT_TEMPLATE, CROP, END, MARGINS, Published

Turns = list[dict[str, object]]


def cropping(max_crops: int = 6) -> Cropping:
    """As preprocessor_config.json of the checkpoint says. That it is the model's own is `test_crops`' business."""
    image = load_card("jina-vlm").image
    assert image is not None
    assert image.crops is not None
    crops = {"size": CROP, "margins_patches": MARGINS, "max_crops": max_crops, "resize_in_float": False}
    update = {"resample": "bilinear", "max_pixels": 160_000, "crops": image.crops.model_copy(update=crops)}
    return Cropping.of(image.model_copy(update=update))


def prompt(published: Published, turns: Turns, files: list[bytes]) -> tuple[list[int], torch.Tensor]:
    """Ids and features of a conversation, whose images are `files` in order."""
    template = Environment().from_string(CHAT_TEMPLATE)
    text = template.render(
        messages=turns, add_generation_prompt=True, always_start_with_space=True, image_prompt_token="<|image|>"
    )
    cut = [cropping().cut(Pillow.open(BytesIO(data)).convert("RGB")) for data in files]
    ids = [published.id(END)]
    pictures = iter(cut)
    for token in published.tokenizer.encode(text).ids:
        if token == published.id("<|image|>"):
            ids += [published.id(word) for word in cropping().layout(next(pictures).tiling)]
        else:
            ids.append(token)
    seen = [features(published, crops) for crops in cut]
    return ids, torch.cat(seen) if seen else torch.empty(0, 64)


def features(published: Published, crops: Crops) -> torch.Tensor:
    """Those that are used, in the order of their tokens."""
    found = reference.features(published, torch.from_numpy(crops.patches), torch.from_numpy(crops.coverage))
    return found.flatten(0, 1)[torch.from_numpy(np.ascontiguousarray(crops.order))]


def answer(published: Published, turns: Turns, files: list[bytes], most: int) -> tuple[str, int, int]:
    """The text of greedy decoding, and how many tokens were read and written."""
    ids, seen = prompt(published, turns, files)
    tokens = reference.answer(published, ids, seen, most)
    written = tokens[:-1] if tokens[-1] == published.id(END) else tokens
    return published.tokenizer.decode(written), len(ids), len(written)
