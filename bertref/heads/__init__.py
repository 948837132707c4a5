"""What stands on top of the encoder: for each task a forward and a backward, hand-written over ops.

`params` is the whole model's dict by canonical name; gradients come back under the same names, and with them the
gradient of what the head read: the pooled output (B, H) or the sequence (T, H), which `model.backward` takes.
"""

from .classifier import (
    CLASSIFIER,
    ClassifierCache,
    multiple_choice_backward,
    multiple_choice_forward,
    sequence_classification_backward,
    sequence_classification_forward,
    token_classification_backward,
    token_classification_forward,
)
from .masked_lm import (
    DECODER_BIAS,
    TRANSFORM,
    UNTIED_DECODER,
    WORD_EMBEDDINGS,
    TransformCache,
    decoder_name,
    masked_lm_logits,
    transform_backward,
    transform_forward,
)
from .next_sentence import NEXT_SENTENCE, next_sentence_backward, next_sentence_forward
from .question_answering import SPAN, question_answering_backward, question_answering_forward

__all__ = [
    "CLASSIFIER",
    "DECODER_BIAS",
    "NEXT_SENTENCE",
    "SPAN",
    "TRANSFORM",
    "UNTIED_DECODER",
    "WORD_EMBEDDINGS",
    "ClassifierCache",
    "TransformCache",
    "decoder_name",
    "masked_lm_logits",
    "multiple_choice_backward",
    "multiple_choice_forward",
    "next_sentence_backward",
    "next_sentence_forward",
    "question_answering_backward",
    "question_answering_forward",
    "sequence_classification_backward",
    "sequence_classification_forward",
    "token_classification_backward",
    "token_classification_forward",
    "transform_backward",
    "transform_forward",
]
