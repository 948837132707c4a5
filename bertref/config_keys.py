"""The keys of a `config.json`: what a variant calls its settings and its classes, and what the keys beside the
architecture mean for an encoder's numbers.

A config collects keys for years: Hugging Face's classes write the defaults of text generation into it, training scripts
their options, other programs their own settings. Four kinds are told apart:

    usual       Hugging Face writes them for every BERT, and they change nothing: not worth a word
    harmless    they cannot change what an encoder computes: worth a note
    unsupported they can, and have another value than the one that is computed here
    unknown     nobody knows; one whose value is null says nothing, so it is harmless
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import InputError
from .variants import BERT, REFUSED, VARIANTS, Variant


def variant_of(values: Mapping[str, Any]) -> Variant:
    """BERT where the config names no variant that is known."""
    name = values.get("model_type")
    return VARIANTS.get(name, BERT) if isinstance(name, str) else BERT


def setting_keys(variant: Variant, shared: Iterable[str]) -> dict[str, str]:
    """Setting -> the key that holds it: of those that every variant has (`shared`), the variant's own, and the norms'
    epsilon."""
    settings = (*shared, *variant.own, "layer_norm_eps")
    return {name: variant.keys.get(name, name) for name in settings if name not in variant.fixed}


def class_name(variant: Variant, own: str) -> str:
    """BERT's class -> the variant's of the same kind: "BertForMaskedLM" -> "RobertaForMaskedLM"."""
    return variant.classes + own.removeprefix(BERT.classes)


def berts_class(name: str) -> str:
    """The inverse, for a class of any variant; another name stays."""
    for variant in VARIANTS.values():
        if name.startswith((f"{variant.classes}For", f"{variant.classes}Model")):
            return BERT.classes + name.removeprefix(variant.classes)
    return name


UNSUPPORTED_UNLESS: dict[str, tuple[Any, ...]] = {
    "model_type": tuple(VARIANTS),
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "tie_encoder_decoder": (False,),
    "cross_attention_hidden_size": (None,),
    "chunk_size_feed_forward": (0,),
    "pruned_heads": ({},),
    "down_scale_factor": (1,),
    "gap_size": (0,),
    "net_structure_type": (0,),
    "num_memory_blocks": (0,),
}
"""Settings that would change the numbers, and the values that are computed here, the default first."""

UNSUPPORTED_UNLESS_EMPTY = (
    "adapters", "adapter_fusion_models", "cell", "layers_to_keep", "quantization_config", "structure",
)  # fmt: skip
"""Settings that may add layers or change weights where there is anything in them, at any depth."""

CONDITIONAL = (*UNSUPPORTED_UNLESS, *UNSUPPORTED_UNLESS_EMPTY, "emb_size")
"""With TinyBERT's second name of hidden_size."""

USUAL = frozenset(
    """architectures attn_implementation bos_token_id directionality dtype eos_token_id
    finetuning_task gradient_checkpointing id2label label2id language model_max_length name num_labels
    output_attentions output_hidden_states output_past pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers
    pooler_size_per_head pooler_type problem_type return_dict sep_token_id task_specific_params
    sinusoidal_pos_embds tie_weights_ tie_word_embeddings tokenizer_class
    torch_dtype torchscript transformers_version use_bfloat16 use_cache use_return_dict
    _name_or_path _attn_implementation _attn_implementation_autoset _commit_hash""".split()
)
"""Keys of every model of Hugging Face's; heads read what they need of them. DistilBERT's sinusoidal_pos_embds says what
its table of positions began with; it is stored like any other."""

GENERATION = frozenset(
    """assistant_confidence_threshold assistant_early_exit assistant_lookbehind bad_words_ids begin_suppress_tokens
    cache_config cache_implementation compile_config constraints decoder_start_token_id disable_compile
    diversity_penalty do_sample dola_layers early_stopping encoder_no_repeat_ngram_size encoder_repetition_penalty
    epsilon_cutoff eta_cutoff exponential_decay_length_penalty force_words_ids forced_bos_token_id
    forced_eos_token_id generation_kwargs guidance_scale is_assistant length_penalty low_memory max_length
    max_matching_ngram_size max_new_tokens max_time min_length min_new_tokens min_p no_repeat_ngram_size
    num_assistant_tokens num_assistant_tokens_schedule num_beam_groups num_beams num_return_sequences output_logits
    output_scores penalty_alpha prefill_chunk_size prefix prompt_lookup_num_tokens remove_invalid_values
    renormalize_logits repetition_penalty return_dict_in_generate sequence_bias stop_strings suppress_tokens
    target_lookbehind temperature token_healing top_h top_k top_p typical_p watermarking_config""".split()
)
"""Settings of text generation, which Hugging Face's classes once wrote into the config of every model."""

TRAINING = frozenset(
    """adam_beta1 adam_beta2 adam_epsilon batch_size best_metric best_model_checkpoint bf16 class_weight
    class_weights data_dir dataset dataset_name early_stopping_patience epoch epochs eval_batch_size eval_steps
    evaluation_strategy fp16 freeze freeze_bert freeze_encoder gradient_accumulation_steps label_smoothing
    label_smoothing_factor learning_rate logging_steps loss_type loss_weight loss_weights lr lr_scheduler_type
    max_grad_norm max_seq_len max_seq_length max_steps metric_for_best_model mlm_probability num_epochs
    num_train_epochs num_training_steps optim optimizer output_dir padding per_device_eval_batch_size
    per_device_train_batch_size pre_trained random_seed report_to run_name save_steps seed task task_name
    train_batch_size training truncation warmup_proportion warmup_ratio warmup_steps weight_decay""".split()
)
"""Options of training scripts, and what they note of a run."""

OTHERS = frozenset(
    """_attn_implementation_internal _num_labels auto_map base_model_name_or_path cls_token_id custom_pipelines
    do_lower_case mask_token_id model_name model_name_or_path name_or_path onnx_export_version revision
    sbert_ce_default_activation_function sentence_transformers tf_legacy_loss tokenizer_name
    tokenizer_name_or_path transformers.js_config unk_token_id xla_device""".split()
)
"""Names, versions and loaders' settings. `_num_labels` is the number of names in `id2label`; a cross-encoder's
activation follows the head (`checkpoint.activation`); pre_trained and training are TinyBERT's."""

HARMLESS = GENERATION | TRAINING | OTHERS


@dataclass(frozen=True)
class OtherKeys:
    """The keys of a config beside the architecture: names of the harmless and the unknown ones, sorted, and sentences
    about settings that are not supported."""

    harmless: tuple[str, ...]
    unknown: tuple[str, ...]
    unsupported: tuple[str, ...]

    def require(self, where: str) -> None:
        """Raises `InputError` if a setting is not supported or a key is unknown."""
        if self.unsupported:
            raise InputError(f"{where}: {self.unsupported[0]}")
        if self.unknown:
            raise InputError(
                f"{where}: unknown key{_s(self.unknown)} {', '.join(self.unknown)}; correct or remove it"
            )

    def notes(self, where: str) -> tuple[str, ...]:
        """One line that names the harmless keys; nothing if there is none."""
        if not self.harmless:
            return ()
        verb = "does" if len(self.harmless) == 1 else "do"
        names = ", ".join(self.harmless)
        return (f"{where}: the key{_s(self.harmless)} {names} {verb} not change an encoder's numbers",)

    def doubts(self, where: str) -> tuple[str, ...]:
        """One line on what `require` refuses, for a model that is run itself; nothing if it refuses nothing."""
        if not self.unknown and not self.unsupported:
            return ()
        parts = [f"the unknown key{_s(self.unknown)} {', '.join(self.unknown)}"] if self.unknown else []
        return (f"{where}: {'; '.join([*parts, *self.unsupported])}; the verdict shows whether that matters",)


def other_keys(values: Mapping[str, Any], architecture: Collection[str]) -> OtherKeys:
    """Judges the keys of a config that are not among those of the `architecture`."""
    unsupported = [sentence for key in CONDITIONAL if (sentence := _unsupported(key, values))]
    others = sorted(set(values) - set(architecture) - USUAL - set(UNSUPPORTED_UNLESS))
    known = HARMLESS | set(CONDITIONAL)
    harmless = [key for key in others if key in known or values[key] is None]
    unknown = [key for key in others if key not in harmless]
    return OtherKeys(
        tuple(key for key in harmless if not _unsupported(key, values)), tuple(unknown), tuple(unsupported)
    )


def require_network(values: Mapping[str, Any], where: str) -> None:
    """Raises `InputError` if a config names a network that is none of `VARIANTS`, with the reason if it is known."""
    if sentence := _unsupported("model_type", values):
        raise InputError(f"{where}: {sentence}")


def _unsupported(key: str, values: Mapping[str, Any]) -> str:
    """What is wrong with a setting of `CONDITIONAL`; "" where it is absent, null, or as it is computed here."""
    value = values.get(key)
    if key not in CONDITIONAL or _empty(value):
        return ""
    allowed = UNSUPPORTED_UNLESS.get(key, ())
    if key == "emb_size":
        allowed = (values.get("hidden_size"),)
    if value in allowed:
        return ""
    if key == "model_type":
        return _strange(value)
    return f"{key} = {_short(value)} is not supported; only {repr(allowed[0]) if allowed else 'an empty one'} is"


def _strange(model_type: Any) -> str:
    """Why the network of that name is not computed."""
    known = ", ".join(VARIANTS)
    why = REFUSED.get(model_type) if isinstance(model_type, str) else None
    reason = f": {why}; there are {known}" if why else f"; there are {known}"
    return f"model_type = {_short(model_type)} is not supported{reason}"


def _empty(value: Any) -> bool:
    """Whether nothing is in it: null, {}, [], or containers of such."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return value is None or (items is not None and all(_empty(item) for item in items))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _s(names: Collection[str]) -> str:
    return "s" if len(names) > 1 else ""
