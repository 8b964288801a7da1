"""Nomic Embed v2 (a mixture of experts) as a transformers model, without code from a model repository.

The hub's checkpoint says ``model_type: nomic_bert``, which transformers 5 takes for the dense NomicBert: half of the weights stay random. After
``register()`` AutoModel, SentenceTransformer, CrossEncoder and the trainers load such a checkpoint as what it is; dense checkpoints keep
transformers' own class. Parameters are called as in the checkpoint, so that a load without missing and unexpected names proves the structure.

What we save carries ``model_type: clir_nomic_moe``: a program that does not know it stops, where it would take ``nomic_bert`` for the dense model.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedModel
from transformers import initialization as init
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from clir_bench.parts.nomic_config import NomicConfig, NomicMoeConfig

__all__ = ["NomicMoeConfig", "NomicMoeForSequenceClassification", "NomicMoeModel", "register"]


def register() -> None:
    """Teach transformers' Auto classes the mixture of experts. Repeated calls do no harm."""
    AutoConfig.register("nomic_bert", NomicConfig, exist_ok=True)
    AutoConfig.register(NomicMoeConfig.model_type, NomicMoeConfig, exist_ok=True)
    AutoModel.register(NomicMoeConfig, NomicMoeModel, exist_ok=True)
    AutoModelForSequenceClassification.register(NomicMoeConfig, NomicMoeForSequenceClassification, exist_ok=True)


class NomicMoePreTrainedModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """What encoder and classifier share."""

    config_class = NomicMoeConfig
    base_model_prefix = "nomic"
    supports_gradient_checkpointing = True
    _no_split_modules = ["NomicMoeBlock"]  # noqa: RUF012 - transformers reads it from the class
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, _ExpertWeights):
            for weight in (module.w1, module.w2):
                init.normal_(weight, std=self.config.initializer_range)
        elif isinstance(module, _Experts):
            init.zeros_(module.bias)


class NomicMoeModel(NomicMoePreTrainedModel):  # type: ignore[no-untyped-call]
    """The encoder: token vectors [texts, tokens, width]."""

    def __init__(self, config: NomicMoeConfig) -> None:
        super().__init__(config)
        self.embeddings = _Embeddings(config)
        self.emb_ln = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.encoder = _Encoder(config)
        self.post_init()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings."""
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word embeddings."""
        self.embeddings.word_embeddings = value  # type: ignore[assignment]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutput | tuple[Tensor, ...]:
        """Token vectors; those of padding tokens (attention_mask 0) are zero, since nothing but attention is computed on padding."""
        words = self.embeddings.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        types = self.embeddings.token_type_embeddings
        x = self.emb_ln(words + (types.weight[0] if token_type_ids is None else types(token_type_ids)))
        if position_ids is None:
            position_ids = torch.arange(x.shape[1], device=x.device)[None]
        batch = _Batch(x.shape[0], x.shape[1], _real_tokens(attention_mask))
        mask = create_bidirectional_mask(self.config, x, attention_mask)
        rotary = self._rotary(position_ids, x.dtype)
        x = batch.flat(x)
        for block in self.encoder.layers:
            x = block(x, batch, mask, rotary, **kwargs)
        output = BaseModelOutput(last_hidden_state=batch.padded(x))
        return output if return_dict is not False else output.to_tuple()

    def _rotary(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines [texts, 1, tokens, head]; computed here, since a buffer stays uninitialised after loading on the meta device."""
        head = self.config.n_embd // self.config.n_head
        steps = torch.arange(0, head, 2, device=positions.device, dtype=torch.float32) / head
        angles = positions[:, None, :, None].float() * (1.0 / self.config.rotary_emb_base**steps)
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos().to(dtype), angles.sin().to(dtype)


class NomicMoeForSequenceClassification(NomicMoePreTrainedModel):  # type: ignore[no-untyped-call]
    """The encoder and a head on ``<s>``: dense, tanh, linear. A checkpoint of the encoder alone loads into it, the head is then new."""

    def __init__(self, config: NomicMoeConfig) -> None:
        super().__init__(config)
        self.num_labels = int(config.num_labels or 1)
        self.nomic = NomicMoeModel(config)
        self.classifier = _Head(config.n_embd, self.num_labels)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput | tuple[Tensor, ...]:
        """Logits [texts, labels]; with labels also the loss that transformers takes for such a problem."""
        encoded = self.nomic(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **kwargs)
        logits = self.classifier(encoded.last_hidden_state[:, 0])
        loss = None if labels is None else self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        output = SequenceClassifierOutput(loss=loss, logits=logits)
        return output if return_dict is not False else output.to_tuple()


class _Batch(NamedTuple):
    """The places of the real tokens: numbers of rows in the flattened batch, None for all."""

    texts: int
    longest: int
    real: Tensor | None

    def flat(self, x: Tensor) -> Tensor:
        """[texts, longest, width] to [real tokens, width]."""
        x = x.reshape(self.texts * self.longest, x.shape[-1])
        return x if self.real is None else x.index_select(0, self.real)

    def padded(self, x: Tensor) -> Tensor:
        """The way back, with zeros for padding."""
        if self.real is not None:
            x = x.new_zeros(self.texts * self.longest, x.shape[-1]).index_copy(0, self.real, x)
        return x.view(self.texts, self.longest, x.shape[-1])


class NomicMoeBlock(GradientCheckpointingLayer):  # type: ignore[no-untyped-call]
    """Attention and a dense or expert layer, each followed by its norm."""

    def __init__(self, config: NomicMoeConfig, experts: bool) -> None:
        super().__init__()
        norm = partial(nn.LayerNorm, config.n_embd, eps=config.layer_norm_epsilon)
        self.attn, self.norm1, self.norm2 = _Attention(config), norm(), norm()
        self.mlp = _MixtureOfExperts(config) if experts else _Dense(config)

    def forward(self, x: Tensor, batch: _Batch, mask: Tensor | None, rotary: tuple[Tensor, Tensor], **kwargs: Any) -> Tensor:
        """Vectors [real tokens, width] to the same shape."""
        x = self.norm1(x + self.attn(x, batch, mask, rotary, **kwargs))
        result: Tensor = self.norm2(x + self.mlp(x))
        return result


class _Encoder(nn.Module):
    def __init__(self, config: NomicMoeConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(NomicMoeBlock(config, experts=layer % 2 == 1) for layer in range(config.n_layer))


class _Head(nn.Module):
    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.dense, self.out_proj = nn.Linear(width, width), nn.Linear(width, labels)

    def forward(self, first: Tensor) -> Tensor:
        result: Tensor = self.out_proj(torch.tanh(self.dense(first)))
        return result


class _Embeddings(nn.Module):
    def __init__(self, config: NomicMoeConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.n_embd, padding_idx=config.pad_token_id)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.n_embd)


class _Attention(nn.Module):
    def __init__(self, config: NomicMoeConfig) -> None:
        super().__init__()
        self.config, self.is_causal = config, False
        self.head_dim = config.n_embd // config.n_head
        self.scaling = self.head_dim**-0.5
        self.Wqkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.out_proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x: Tensor, batch: _Batch, mask: Tensor | None, rotary: tuple[Tensor, Tensor], **kwargs: Any) -> Tensor:
        shape = (batch.texts, batch.longest, -1, self.head_dim)
        query, key, value = (part.view(shape).transpose(1, 2) for part in batch.padded(self.Wqkv(x)).chunk(3, dim=-1))
        query, key = _rotate(query, *rotary), _rotate(key, *rotary)
        attend: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, _attend)
        attended, _ = attend(self, query, key, value, mask, dropout=0.0, scaling=self.scaling, **kwargs)
        result: Tensor = self.out_proj(batch.flat(attended.flatten(2)))
        return result


class _Dense(nn.Module):
    def __init__(self, config: NomicMoeConfig) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(config.n_embd, config.n_inner), nn.Linear(config.n_inner, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return result


class _MixtureOfExperts(nn.Module):
    """Every token goes through its ``top_k`` experts, weighted by its share of the softmax over all; one bias for all experts."""

    def __init__(self, config: NomicMoeConfig) -> None:
        super().__init__()
        self.top_k, self.count = config.moe_top_k, config.num_experts
        self.router = _Router(config)
        self.experts = _Experts(config)

    def forward(self, x: Tensor) -> Tensor:
        shares, chosen = self.router.layer(x).softmax(-1, dtype=torch.float32).topk(self.top_k, -1)  # upstream does not make them sum to 1
        order = chosen.reshape(-1).argsort(stable=True)  # (token, rank) in the order of experts: one product an expert
        counts = torch.bincount(chosen.reshape(-1), minlength=self.count).tolist()
        sorted_rows = torch.split(x.index_select(0, order // self.top_k), counts)
        made = torch.cat([self.experts.mlp(rows, expert) for expert, rows in enumerate(sorted_rows)])
        made = made.index_select(0, order.argsort()).view(len(x), self.top_k, x.shape[-1])
        result: Tensor = (made * shares.to(made.dtype).unsqueeze(-1)).sum(1) + self.experts.bias
        return result


class _Router(nn.Module):
    def __init__(self, config: NomicMoeConfig) -> None:
        super().__init__()
        self.layer = nn.Linear(config.n_embd, config.num_experts, bias=False)


class _Experts(nn.Module):
    def __init__(self, config: NomicMoeConfig) -> None:
        super().__init__()
        self.mlp = _ExpertWeights(config)
        self.bias = nn.Parameter(torch.zeros(config.n_embd))


class _ExpertWeights(nn.Module):
    """All experts' weights stacked, [experts x inner, width] each."""

    def __init__(self, config: NomicMoeConfig) -> None:
        super().__init__()
        self.inner = config.n_inner
        self.w1 = nn.Parameter(torch.empty(config.num_experts * config.n_inner, config.n_embd))
        self.w2 = nn.Parameter(torch.empty(config.num_experts * config.n_inner, config.n_embd))

    def forward(self, rows: Tensor, expert: int) -> Tensor:
        place = slice(expert * self.inner, (expert + 1) * self.inner)
        return functional.gelu(functional.linear(rows, self.w1[place])) @ self.w2[place]


def _real_tokens(attention_mask: Tensor | None) -> Tensor | None:
    if attention_mask is None or attention_mask.dim() != 2:
        return None
    real = attention_mask.reshape(-1).nonzero().squeeze(1)
    return None if len(real) == attention_mask.numel() else real


def _rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cosines + torch.cat((-second, first), dim=-1) * sines


def _attend(_module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, **_: Any) -> tuple[Tensor, Tensor]:
    """Attention written out, for ``attn_implementation="eager"``."""
    weights = query @ key.transpose(2, 3) * scaling
    weights = (weights if mask is None else weights + mask).softmax(-1)
    return (weights @ value).transpose(1, 2).contiguous(), weights
