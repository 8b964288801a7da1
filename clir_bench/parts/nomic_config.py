"""Configurations of Nomic's models: which class a ``nomic_bert`` is of, and what the mixture of experts must be like to be computed here."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import NomicBertConfig, PreTrainedConfig


class NomicMoeConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """The upstream keys. Raises ValueError for a model that this module does not compute."""

    model_type = "clir_nomic_moe"
    attribute_map = {  # noqa: RUF012 - transformers reads it from the class
        "hidden_size": "n_embd",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "intermediate_size": "n_inner",
        "max_position_embeddings": "n_positions",
    }

    vocab_size: int = 250048
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int = 3072
    n_positions: int = 2048
    type_vocab_size: int = 1
    pad_token_id: int = 1
    num_experts: int = 8
    moe_top_k: int = 2
    rotary_emb_base: float = 10000.0
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02

    def __post_init__(self, **others: Any) -> None:
        """Check all at once; keys that change nothing (``use_flash_attn``, ``fused_bias_fc``) are dropped."""
        for alias, name in self.attribute_map.items():
            if alias in others:
                setattr(self, name, others.pop(alias))
        problems = [f"{key} is {others[key]!r}, expected {value!r}" for key, value in _ONLY.items() if others.get(key, value) not in (value, None)]
        problems += [f"{key} is {others[key]}, expected 0" for key in others if key.endswith("pdrop") and others[key]]
        if self.num_experts < 1 or not 1 <= self.moe_top_k <= self.num_experts:
            problems.append(f"moe_top_k is {self.moe_top_k} of {self.num_experts} experts")
        if self.n_embd % (2 * self.n_head):
            problems.append(f"n_embd {self.n_embd} does not divide into {self.n_head} heads of even size")
        if problems:
            raise ValueError(f"this NomicBert with experts is of a kind that clir-bench does not compute: {'; '.join(problems)}")
        known = {field.name for field in dataclasses.fields(PreTrainedConfig)} | _KEPT
        super().__post_init__(**{key: value for key, value in others.items() if key in known})  # type: ignore[no-untyped-call]


class NomicConfig(NomicBertConfig):  # type: ignore[no-untyped-call]
    """Stands for ``nomic_bert`` in AutoConfig and gives the class that fits: ours with experts, transformers' own without."""

    model_type = "nomic_bert"

    def __new__(cls, *args: Any, **settings: Any) -> PreTrainedConfig:  # type: ignore[misc]
        """For ``AutoConfig.for_model``."""
        return _class_for(settings)(*args, **settings)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> PreTrainedConfig:  # type: ignore[override]
        """For ``AutoConfig.from_pretrained``."""
        return _class_for(config_dict).from_dict(config_dict, **kwargs)


def _class_for(settings: dict[str, Any]) -> type[PreTrainedConfig]:
    return NomicMoeConfig if settings.get("num_experts") else NomicBertConfig


_KEPT = {"num_labels", "torch_dtype", "attn_implementation", "name_or_path"}
_ONLY = {
    "activation_function": "gelu",
    "causal": False,
    "expert_choice_router": False,
    "ffn_div": 1,
    "mlp_fc1_bias": True,
    "mlp_fc2_bias": True,
    "moe_every_n_layers": 2,
    "moe_normalize_expert_weights": False,
    "num_shared_experts": 0,
    "parallel_block": False,
    "prenorm": False,
    "qkv_proj_bias": True,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
    "use_rms_norm": False,
}
