"""The presets of KerasHub that this package can build, by name.

The list is that of KerasHub 0.32. It is written down here because importing KerasHub imports
TensorFlow, and because configs are checked without either.
"""

from typing import Literal

Class = Literal["BertBackbone", "DistilBertBackbone", "RobertaBackbone", "AlbertBackbone"]

# By class of KerasHub and by name of the model on Kaggle: each preset, with its version.
_PRESETS: dict[Class, dict[str, tuple[str, ...]]] = {
    "BertBackbone": {
        "bert": (
            *("bert_tiny_en_uncased/3", "bert_small_en_uncased/3", "bert_medium_en_uncased/3"),
            *("bert_base_en_uncased/3", "bert_base_en/3", "bert_base_zh/3", "bert_base_multi/3"),
            *("bert_large_en_uncased/3", "bert_large_en/3"),
        ),
        "sentence-transformers": (
            *("all_minilm_l6_v2_en/1", "all_minilm_l6_v1_en/1", "all_minilm_l12_v2_en/1"),
            *("paraphrase_minilm_l3_v2_en/1", "paraphrase_minilm_l6_v2_en/1"),
            *("paraphrase_minilm_l12_v2_en/1", "multi_qa_minilm_l6_cos_v1_en/1"),
            *("multi_qa_minilm_l6_dot_v1_en/1", "msmarco_minilm_l6_cos_v5_en/1"),
            "msmarco_minilm_l12_cos_v5_en/1",
        ),
        "bge": (
            *("bge_small_en/1", "bge_base_en/1", "bge_large_en/1", "bge_base_zh/1"),
            *("bge_large_zh/1", "bge_llm_embedder/1"),
        ),
        "multilingual-e5": ("multilingual_e5_small/1",),
        "mxbai-embed": (
            *("mxbai_embed_large_v1_en/1", "mxbai_embed_2d_large_v1_en/1"),
            "mxbai_embed_xsmall_v1_en/1",
        ),
    },
    "DistilBertBackbone": {
        "distil_bert": (
            *("distil_bert_base_en_uncased/3", "distil_bert_base_en/3"),
            "distil_bert_base_multi/3",
        ),
    },
    "RobertaBackbone": {
        "roberta": ("roberta_base_en/3", "roberta_large_en/3"),
        "xlm_roberta": ("xlm_roberta_base_multi/3", "xlm_roberta_large_multi/3"),
        "bge": ("bge_m3/1",),
        "multilingual-e5": ("multilingual_e5_base/1", "multilingual_e5_large/1"),
    },
    "AlbertBackbone": {
        "albert": (
            *("albert_base_en_uncased/5", "albert_large_en_uncased/3"),
            *("albert_extra_large_en_uncased/3", "albert_extra_extra_large_en_uncased/3"),
        ),
    },
}
# {preset: its handle on Kaggle, as in `keras/bert/keras/bert_base_en/3`}
HANDLES: dict[str, str] = {
    preset.partition("/")[0]: f"keras/{model}/keras/{preset}"
    for models in _PRESETS.values()
    for model, presets in models.items()
    for preset in presets
}
# Presets whose weights were trained with the state of the first token as features.
FIRST = ("bge_", "mxbai_", "multi_qa_minilm_l6_dot")
