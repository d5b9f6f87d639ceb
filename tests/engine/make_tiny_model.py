"""Make a random Llama of 140,000 parameters and train a tokenizer for it here. Nothing is downloaded.

python make_tiny_model.py FOLDER, in the engine's own environment.
"""

from __future__ import annotations

import random
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HIDDEN, LAYERS, LENGTH = 64, 2, 2048
WORDS = (
    "the a operator reads metrics from every pod and reports cache hits tokens requests queue speculative "
    "draft accepted offload prefill decode kubernetes serving engine model random tiny test page counter"
)


def make_tokenizer(folder: str) -> int:
    """Saves a byte-level BPE tokenizer; returns the size of its vocabulary."""
    words = WORDS.split()
    corpus = [" ".join(random.choice(words) for _ in range(40)) for _ in range(400)]
    tokenizer = Tokenizer(models.BPE(unk_token=None, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(corpus, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=LENGTH,
    )
    fast.save_pretrained(folder)
    return len(fast)


def make_model(folder: str, vocabulary: int) -> None:
    config = LlamaConfig(
        vocab_size=max(512, (vocabulary + 63) // 64 * 64),
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=HIDDEN // 2,
        max_position_embeddings=LENGTH,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        tie_word_embeddings=False,
        dtype="bfloat16",
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)


if __name__ == "__main__":
    random.seed(0)
    torch.manual_seed(0)
    make_model(sys.argv[1], make_tokenizer(sys.argv[1]))
