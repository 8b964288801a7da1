"""Nomic's mixture of experts written out in float64, text by text and token by token: the referee of ``clir_bench.parts.nomic_moe``.

Made from the published layout of the checkpoint, shares no line with the package. ``renormalise`` is the mistake that is easy to make:
weights of the chosen experts that sum to 1.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from scipy.special import erf

Array = np.ndarray[Any, Any]


class SlowNomic:
    def __init__(self, folder: Path, renormalise: bool = False) -> None:
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        self.w = {name: tensor.astype(np.float64) for name, tensor in load_file(folder / "model.safetensors").items()}
        self.renormalise = renormalise
        self.chosen: list[tuple[int, ...]] = []

    def encode(self, ids: Array, mask: Array) -> Array:
        """Token vectors [texts, tokens, width], padding zero."""
        out = np.zeros((*ids.shape, self.config["n_embd"]))
        for text, (row, keep) in enumerate(zip(ids, mask, strict=True)):
            places = np.flatnonzero(keep)
            out[text, places] = self._text(row[places], places)
        return out

    def pool(self, ids: Array, mask: Array) -> Array:
        """Means over the real tokens [texts, width]."""
        return self.encode(ids, mask).sum(1) / mask.sum(1, keepdims=True)

    def _text(self, ids: Array, positions: Array) -> Array:
        x = self.w["embeddings.word_embeddings.weight"][ids] + self.w["embeddings.token_type_embeddings.weight"][0]
        x = self._norm("emb_ln", x)
        for layer in range(self.config["n_layer"]):
            at = f"encoder.layers.{layer}"
            x = self._norm(f"{at}.norm1", x + self._attention(at, x, positions))
            feed = self._experts if layer % 2 else self._dense
            x = self._norm(f"{at}.norm2", x + np.array([feed(at, token) for token in x]))
        return x

    def _attention(self, at: str, x: Array, positions: Array) -> Array:
        width, heads = self.config["n_embd"], self.config["n_head"]
        size = width // heads
        stacked = x @ self.w[f"{at}.attn.Wqkv.weight"].T + self.w[f"{at}.attn.Wqkv.bias"]
        joined = np.zeros_like(x)
        for head in range(heads):
            query, key, value = (stacked[:, part * width + head * size : part * width + (head + 1) * size] for part in range(3))
            scores = self._turn(query, positions) @ self._turn(key, positions).T / np.sqrt(size)
            joined[:, head * size : (head + 1) * size] = _softmax(scores) @ value
        return joined @ self.w[f"{at}.attn.out_proj.weight"].T + self.w[f"{at}.attn.out_proj.bias"]

    def _turn(self, x: Array, positions: Array) -> Array:
        """Component i of the first half turns together with component i of the second half."""
        half = x.shape[1] // 2
        turned = np.empty_like(x)
        for i in range(half):
            angle = positions / self.config["rotary_emb_base"] ** (2 * i / x.shape[1])
            turned[:, i] = x[:, i] * np.cos(angle) - x[:, half + i] * np.sin(angle)
            turned[:, half + i] = x[:, half + i] * np.cos(angle) + x[:, i] * np.sin(angle)
        return turned

    def _dense(self, at: str, token: Array) -> Array:
        inner = _gelu(self.w[f"{at}.mlp.fc1.weight"] @ token + self.w[f"{at}.mlp.fc1.bias"])
        return self.w[f"{at}.mlp.fc2.weight"] @ inner + self.w[f"{at}.mlp.fc2.bias"]

    def _experts(self, at: str, token: Array) -> Array:
        inner = self.config["n_inner"]
        shares = _softmax(self.w[f"{at}.mlp.router.layer.weight"] @ token)
        best = np.argsort(-shares, kind="stable")[: self.config["moe_top_k"]]
        self.chosen.append(tuple(int(expert) for expert in best))
        total = shares[best].sum() if self.renormalise else 1.0
        out = self.w[f"{at}.mlp.experts.bias"].copy()
        for expert in best:
            first = self.w[f"{at}.mlp.experts.mlp.w1"][expert * inner : (expert + 1) * inner]
            second = self.w[f"{at}.mlp.experts.mlp.w2"][expert * inner : (expert + 1) * inner]
            out += shares[expert] / total * (_gelu(first @ token) @ second)
        return out

    def _norm(self, at: str, x: Array) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + self.config["layer_norm_epsilon"])
        return scaled * self.w[f"{at}.weight"] + self.w[f"{at}.bias"]


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _gelu(x: Array) -> Array:
    return x * (1 + erf(x / np.sqrt(2))) / 2
