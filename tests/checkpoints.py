"""Tiny checkpoints with random weights, saved to disk in the layout that the hub has for each model family.

Each function writes into ``folder`` and returns it. The same seed gives the same weights. ``**config`` overrides fields of the configuration.

    xlmr_encoder        as xlm-roberta-base: saved from the masked language model, so with lm_head.* and without a pooler
    bert_encoder        as LaBSE: Transformer, Pooling (cls), Dense (tanh), Normalize; at most 256 tokens
    modernbert_encoder  as mmBERT: saved from the masked language model, so with head.* and decoder.*
    nomic_moe_encoder   as nomic-embed-text-v2-moe: model_type nomic_bert, auto_map, prompts, every second layer a mixture of experts
    qwen3_encoder       as Qwen3-Embedding: last token, left padding, an instruction for queries
    *_reranker          classifiers with one label; causal_reranker as Qwen3-Reranker: the tokens yes and no, a chat template
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizerFast,
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    XLMRobertaForSequenceClassification,
    XLMRobertaTokenizerFast,
)

NOMIC_PROMPTS = {"query": "search_query: ", "passage": "search_document: ", "document": "search_document: "}
QWEN_PROMPT = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"


def xlmr_encoder(folder: Path, seed: int = 0, **config: Any) -> Path:
    """XLMRobertaForMaskedLM and its tokenizer; no sentence-transformers files, as on the hub."""
    tokenizer = xlmr_tokenizer()
    return _save(folder, seed, lambda: XLMRobertaForMaskedLM(_xlmr_config(tokenizer, config)), tokenizer)


def bert_encoder(folder: Path, seed: int = 0, **config: Any) -> Path:
    """A BertModel with its pooler, in a sentence-transformers folder that ends in Dense (tanh) and Normalize."""
    tokenizer, raw = bert_tokenizer(), folder / "raw"
    _save(raw, seed, lambda: BertModel(_bert_config(tokenizer, config)), tokenizer)
    first = Transformer(str(raw), max_seq_length=256)
    width = first.get_embedding_dimension()
    torch.manual_seed(seed + 1)
    modules = [first, Pooling(width, "cls"), Dense(width, width, activation_function=torch.nn.Tanh()), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    _remove(raw)
    return folder


def modernbert_encoder(folder: Path, seed: int = 0, **config: Any) -> Path:
    """ModernBertForMaskedLM and its tokenizer; 8,192 positions."""
    tokenizer = modernbert_tokenizer()
    return _save(folder, seed, lambda: ModernBertForMaskedLM(_modernbert_config(tokenizer, config)), tokenizer)


def nomic_moe_encoder(
    folder: Path, seed: int = 0, experts: int = 8, top_k: int = 2, hidden: int = 48, layers: int = 4, heads: int = 4, inner: int = 96, **config: Any
) -> Path:
    """The tensors and configuration keys of nomic-embed-text-v2-moe, written as they are: no class of ours is asked."""
    folder.mkdir(parents=True)
    xlmr_tokenizer().save_pretrained(folder)
    settings = {**NOMIC_CONFIG, "n_embd": hidden, "n_layer": layers, "n_head": heads, "n_inner": inner, "num_experts": experts, "moe_top_k": top_k, **config}
    (folder / "config.json").write_text(json.dumps(settings, indent=1))
    save_file(nomic_moe_tensors(settings, seed), folder / "model.safetensors", metadata={"format": "pt"})
    _write_modules(folder, hidden, "mean", NOMIC_PROMPTS)
    return folder


def qwen3_encoder(folder: Path, seed: int = 0, **config: Any) -> Path:
    """A Qwen3Model whose config says ForCausalLM, as on the hub; the vector is that of the final end-of-text token."""
    tokenizer = causal_tokenizer(end=True)
    _save(folder, seed, lambda: Qwen3Model(_qwen3_config(tokenizer, config)), tokenizer)
    _edit_json(folder / "config.json", architectures=["Qwen3ForCausalLM"])
    _write_modules(folder, _qwen3_config(tokenizer, config).hidden_size, "lasttoken", {"query": QWEN_PROMPT, "document": ""})
    return folder


def xlmr_reranker(folder: Path, seed: int = 0, **config: Any) -> Path:
    """As bge-reranker-v2-m3."""
    tokenizer = xlmr_tokenizer()
    return _save(folder, seed, lambda: XLMRobertaForSequenceClassification(_xlmr_config(tokenizer, {"num_labels": 1, **config})), tokenizer)


def bert_reranker(folder: Path, seed: int = 0, **config: Any) -> Path:
    """BertForSequenceClassification: token types tell query and document apart."""
    tokenizer = bert_tokenizer()
    return _save(folder, seed, lambda: BertForSequenceClassification(_bert_config(tokenizer, {"num_labels": 1, **config})), tokenizer)


def modernbert_reranker(folder: Path, seed: int = 0, **config: Any) -> Path:
    """ModernBertForSequenceClassification."""
    tokenizer = modernbert_tokenizer()
    return _save(folder, seed, lambda: ModernBertForSequenceClassification(_modernbert_config(tokenizer, {"num_labels": 1, **config})), tokenizer)


def nomic_reranker(folder: Path, seed: int = 0, **config: Any) -> Path:
    """Our own NomicMoeForSequenceClassification, saved by itself: model_type clir_nomic_moe. To load it, ``nomic_moe.register()`` comes first."""
    from clir_bench.parts.nomic_moe import NomicMoeConfig, NomicMoeForSequenceClassification

    settings = {**NOMIC_CONFIG, "n_embd": 48, "n_layer": 4, "n_head": 4, "n_inner": 96, "num_experts": 8, "moe_top_k": 2, "num_labels": 1, **config}
    torch.manual_seed(seed)
    model = NomicMoeForSequenceClassification(NomicMoeConfig.from_dict(settings))
    model.nomic.load_state_dict(nomic_moe_tensors(settings, seed))
    with torch.no_grad():
        for parameter in model.classifier.parameters():
            parameter.normal_(0, 0.2)
    model.save_pretrained(folder)
    xlmr_tokenizer().save_pretrained(folder)
    return folder


def causal_reranker(folder: Path, seed: int = 0, **config: Any) -> Path:
    """Qwen3ForCausalLM whose next token is yes or no; the template takes the roles query and document, as sentence-transformers sends them."""
    tokenizer = causal_tokenizer(end=False)
    tokenizer.chat_template = CHAT_TEMPLATE
    return _save(folder, seed, lambda: Qwen3ForCausalLM(_qwen3_config(tokenizer, config)), tokenizer)


CORPUS = [
    *["yes", "no"] * 20,
    "the river nile flows into the sea, and what is the capital of egypt?",
    "tea and rice grow in the valley; the king read a book about wheat.",
    "search_query: search_document: Instruct: query: passage: Given a web search query, retrieve relevant passages that answer the query",
    "der Fluss fließt durch die Stadt, wo ist die Hauptstadt von Ägypten?",
    "le fleuve coule vers la mer; où se trouve la capitale de l'Égypte ?",
    "el río corre hacia el mar. ¿Cuál es la capital de Egipto?",
    "река течёт в море, где находится столица египта?",
    "النيل نهر يجري في مصر، ما هي العاصمة؟",
    "नदी समुद्र में बहती है और राजधानी कहाँ है",
    "河流入海，埃及的首都在哪里？茶和米",
    "川は海に流れる。エジプトの首都はどこですか。お茶と米",
    "강은 바다로 흐른다 이집트의 수도는 어디입니까",
    "แม่น้ำไหลลงสู่ทะเล เมืองหลวงอยู่ที่ไหน",
    "ο ποταμός ρέει στη θάλασσα",
    "0 1 2 3 4 5 6 7 8 9 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ . , : ; ? ! ( ) - _ ' \"",
]


def xlmr_tokenizer() -> XLMRobertaTokenizerFast:
    """Unigram pieces; ``<s> A </s>`` and ``<s> A </s></s> B </s>``; at most 512 tokens."""
    trained = Tokenizer(models.WordPiece(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    trained.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=460, continuing_subword_prefix="", show_progress=False))
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = sorted(trained.get_vocab(), key=lambda piece: (-len(piece), piece))
    vocab = [*((token, 0.0) for token in special), *((piece, -10.0 + 0.1 * len(piece)) for piece in pieces), ("<mask>", 0.0)]
    return XLMRobertaTokenizerFast(vocab=vocab, model_max_length=512)


def bert_tokenizer() -> BertTokenizerFast:
    """WordPiece, cased; ``[CLS] A [SEP] B [SEP]`` with token types; at most 512 tokens."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # pieces with ## come by hand: the trainer settles ties between them differently from run to run
    trained.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=290, continuing_subword_prefix="", show_progress=False))
    pieces = sorted(trained.get_vocab())
    vocab = {piece: i for i, piece in enumerate([*special, *pieces, *(f"##{piece}" for piece in pieces)])}
    return BertTokenizerFast(vocab=vocab, do_lower_case=False, model_max_length=512)


def modernbert_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE; ``[CLS] A [SEP] B [SEP]`` without token types; at most 8,192 tokens."""
    special = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"]
    trained = _byte_level(special)
    tokens = [(token, trained.token_to_id(token)) for token in special[:2]]
    trained.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=tokens)
    return PreTrainedTokenizerFast(
        tokenizer_object=trained,
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        mask_token="[MASK]",
        model_max_length=8192,
        model_input_names=["input_ids", "attention_mask"],
    )


def causal_tokenizer(end: bool) -> PreTrainedTokenizerFast:
    """Byte-level BPE, padded on the left; ``end`` puts the end-of-text token behind every text."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trained = _byte_level(special)
    if end:
        token = (special[0], trained.token_to_id(special[0]))
        trained.post_processor = processors.TemplateProcessing(single="$A <|endoftext|>", pair="$A $B <|endoftext|>", special_tokens=[token])
    return PreTrainedTokenizerFast(
        tokenizer_object=trained,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=special[1:],
        padding_side="left",
        model_max_length=32768,
        model_input_names=["input_ids", "attention_mask"],
    )


NOMIC_CONFIG: dict[str, Any] = {
    "architectures": ["NomicBertModel"],
    "auto_map": {
        "AutoConfig": "nomic-ai/nomic-bert-2048--configuration_hf_nomic_bert.NomicBertConfig",
        "AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel",
        "AutoModelForMaskedLM": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertForPreTraining",
    },
    "model_type": "nomic_bert",
    "activation_function": "gelu",
    "attn_pdrop": 0.0,
    "causal": False,
    "dense_seq_output": True,
    "embd_pdrop": 0.0,
    "expert_choice_router": False,
    "ffn_div": 1,
    "fused_bias_fc": True,
    "fused_dropout_add_ln": True,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "max_trained_positions": 2048,
    "mlp_fc1_bias": True,
    "mlp_fc2_bias": True,
    "moe_every_n_layers": 2,
    "moe_impl": "megablocks",
    "moe_normalize_expert_weights": False,
    "moe_resid_pdrop": 0.0,
    "moe_top_k": 2,
    "n_embd": 768,
    "n_head": 12,
    "n_inner": 3072,
    "n_layer": 12,
    "n_positions": 2048,
    "num_experts": 8,
    "num_shared_experts": 0,
    "pad_token_id": 1,
    "pad_vocab_size_multiple": 64,
    "parallel_block": False,
    "parallel_block_tied_norm": False,
    "prenorm": False,
    "qkv_proj_bias": True,
    "reorder_and_upcast_attn": False,
    "resid_pdrop": 0.0,
    "rotary_emb_base": 10000,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
    "summary_activation": None,
    "summary_first_dropout": 0.0,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "type_vocab_size": 1,
    "use_cache": True,
    "use_flash_attn": True,
    "use_rms_norm": None,
    "use_xentropy": True,
    "vocab_size": 512,
    "torch_dtype": "float32",
}

CHAT_TEMPLATE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query. Note that the answer can only be yes or no.<|im_end|>\n"
    "<|im_start|>user\n<Query>: {{ messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first }}\n"
    "<Document>: {{ messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first }}<|im_end|>\n<|im_start|>assistant\n"
)


def nomic_moe_tensors(settings: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    """Names and shapes of the upstream checkpoint: even layers dense, odd ones a router and stacked experts."""
    generator = torch.Generator().manual_seed(seed)
    width, inner, experts = settings["n_embd"], settings["n_inner"], settings["num_experts"]

    def normal(std: float, *shape: int, mean: float = 0.0) -> torch.Tensor:
        return mean + std * torch.randn(*shape, generator=generator)

    def norm(name: str) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": normal(0.1, width, mean=1.0), f"{name}.bias": normal(0.1, width)}

    def linear(name: str, rows: int, columns: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": normal(0.2, rows, columns), f"{name}.bias": normal(0.1, rows)}

    tensors = {
        "embeddings.word_embeddings.weight": normal(0.5, settings["vocab_size"], width),
        "embeddings.token_type_embeddings.weight": normal(0.1, settings["type_vocab_size"], width),
        **norm("emb_ln"),
    }
    for layer in range(settings["n_layer"]):
        at = f"encoder.layers.{layer}"
        tensors |= linear(f"{at}.attn.Wqkv", 3 * width, width) | linear(f"{at}.attn.out_proj", width, width) | norm(f"{at}.norm1") | norm(f"{at}.norm2")
        if layer % settings["moe_every_n_layers"] == 1:
            tensors[f"{at}.mlp.router.layer.weight"] = normal(0.5, experts, width)
            tensors[f"{at}.mlp.experts.mlp.w1"] = normal(0.2, experts * inner, width)
            tensors[f"{at}.mlp.experts.mlp.w2"] = normal(0.2, experts * inner, width)
            tensors[f"{at}.mlp.experts.bias"] = normal(0.1, width)
        else:
            tensors |= linear(f"{at}.mlp.fc1", inner, width) | linear(f"{at}.mlp.fc2", width, inner)
    return tensors


def _xlmr_config(tokenizer: PreTrainedTokenizerBase, config: dict[str, Any]) -> XLMRobertaConfig:
    return XLMRobertaConfig(**{**_sizes(tokenizer), "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5, **config})


def _bert_config(tokenizer: PreTrainedTokenizerBase, config: dict[str, Any]) -> BertConfig:
    return BertConfig(**{**_sizes(tokenizer), "max_position_embeddings": 512, **config})


def _modernbert_config(tokenizer: PreTrainedTokenizerBase, config: dict[str, Any]) -> ModernBertConfig:
    special = {"cls_token_id": 0, "sep_token_id": 1, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    return ModernBertConfig(**{**_sizes(tokenizer), **special, "max_position_embeddings": 8192, "initializer_cutoff_factor": 2.0, **config})


def _qwen3_config(tokenizer: PreTrainedTokenizerBase, config: dict[str, Any]) -> Qwen3Config:
    heads = {"num_key_value_heads": 1, "head_dim": 16, "tie_word_embeddings": True, "max_position_embeddings": 32768, "eos_token_id": 2, "pad_token_id": 0}
    return Qwen3Config(**{**_sizes(tokenizer), **heads, **config})


def _sizes(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "initializer_range": 0.15,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _save(folder: Path, seed: int, build: Any, tokenizer: PreTrainedTokenizerBase) -> Path:
    torch.manual_seed(seed)
    model: PreTrainedModel = build()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _byte_level(special: list[str]) -> Tokenizer:
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.NFC()
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=480, special_tokens=special, initial_alphabet=alphabet, show_progress=False))
    return trained


def _write_modules(folder: Path, width: int, pooling: str, prompts: dict[str, str]) -> None:
    """The sentence-transformers files in the form of version 3, as the hub's copies still have them."""
    kinds = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling"), ("2", "2_Normalize", "Normalize")]
    modules = [{"idx": int(i), "name": i, "path": path, "type": f"sentence_transformers.models.{kind}"} for i, path, kind in kinds]
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    chosen = {"mean": "mean_tokens", "lasttoken": "lasttoken"}[pooling]
    settings = {"word_embedding_dimension": width, **{f"pooling_mode_{mode}": mode == chosen for mode in modes}, "include_prompt": True}
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 512, "do_lower_case": False}))
    stated = {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(stated))


def _edit_json(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}, indent=1))


def _remove(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
