"""Cases and answers as folders that any language reads and writes. Format version 1.

A **case folder** is a question: weights, a batch, the optimiser's moments, and every setting. A program that computes
a BERT reads it and writes an **answers folder**. Reading takes `fread` and `fscanf`, nothing else.

    index.tsv       one line a tensor, fields separated by tabs, no spaces inside a field:
                        name  dtype  ndim  size_1 ... size_ndim  offset  file
                    The first line starts with `#bertref` and says which case this is. Other lines that start with #
                    are comments.
    settings.tsv    key, tab, value: sizes, dialect, optimiser, denominators of the losses (list below)
    index.json      the same and more in one JSON object, for those who have a parser
    parameter.bin   batch.bin  moment.bin  (and expected.bin, if asked for)

**Data.** A tensor is its elements in row-major order (the last index runs fastest), little-endian, without gaps, from
byte `offset` of `file`. dtypes: float64 float32 float16 bfloat16, int8 to int64, uint8 to uint64, bool (one byte). A
scalar has ndim 0. Files may also be `.npy` or `.safetensors`; `offset` then points behind their header, so that
they too can be read as raw bytes.

**What is in a case.** Names and shapes are those of Hugging Face's `BertForPreTraining`; a dense weight is (out, in),
y = x Wᵀ + b. B examples, S tokens a padded row, P predictions a row, H hidden, A heads, D = H/A, I intermediate, V
words.

    parameters  bert.embeddings.word_embeddings.weight (V,H), ...; the decoder is tied to it and not stored
    batch       input_ids, attention_mask (1 = token), token_type_ids (B,S); masked_lm_positions, masked_lm_ids,
                masked_lm_weights (B,P), weight 0 = no prediction; next_sentence_label (B), 1 = random sentence
    moments     NAME/m and NAME/v of every parameter, as they stand before the step
    targets     what other heads are compared with: labels (-100 = ignored), start_positions and end_positions (S = the
                answer lies outside, and the row counts for nothing), or upstream.sequence, .pooled, .sentence, the
                gradients of outputs that have no loss (`bertref.verify.cases.targets` has shapes)
    expected    right answers in float64, under the names below

**settings.tsv.** Booleans are 0 and 1, lists have commas, what is absent is `none`. These are its
keys, one for each word in the place of the star:

    sizes.*         B, S, T (real tokens), P, N (real predictions), H, A, D, I, V, layers
    config.*        as in Hugging Face's config.json; dropout is not applied in a case: vocab_size, hidden_size,
                    num_hidden_layers, num_attention_heads, intermediate_size, hidden_act, hidden_dropout_prob,
                    attention_probs_dropout_prob, max_position_embeddings, type_vocab_size, initializer_range,
                    pad_token_id, classifier_dropout, model_type, embedding_size, num_hidden_groups,
                    inner_group_num, qa_dropout (the last five where they are not BERT's)
    numerics.*      the dialect: gelu, mask_value, scale_scores, layer_norm_eps, mlm_denominator_epsilon, optimizer,
                    decay_exclusions, clip_epsilon, schedule, span_padding (if not "excluded"), initializer
    activation      gelu_erf, gelu_tanh, relu or tanh
    scale           of the scores, 1/sqrt(D)
    loss.*          mlm_denominator, nsp_denominator
    optimizer.*     kind, beta1, beta2, epsilon, weight_decay, decay_exclusions, adapt_excluded, step (the number of
                    this update, from 1), rate, clip_norm ("none" = no clipping), clip_epsilon; `optimizer` is none
                    where no step is asked for
    decay.*         1 for the parameters that weight_decay applies to, by their names

    loss.mlm = sum(masked_lm_weights * cross entropy) / mlm_denominator
    loss.nsp = sum(cross entropy of next_sentence_label) / nsp_denominator       loss.total = loss.mlm + loss.nsp

Cases with another head than that of pre-training have the lines `head.name`, `head.labels`, `head.choices`, `head.tied`
(0: the decoder has its own cls.predictions.decoder.weight), and `loss.denominator`, where there is one: index.json says
under "loss" what loss.total is. Their answers are classifier.logits (B,labels), (B,S,labels) or, side by side,
(B/choices,choices); qa.logits (B,S,2), start and end; sentence.mean and sentence.embedding (B,H).

All gradients are first multiplied by clip_norm / max(norm of all gradients + clip_epsilon, clip_norm). Then, with m and
v updated as in Adam, c1 = 1 - beta1^step, c2 = 1 - beta2^step, and d = weight_decay for decayed parameters, else 0:

    google               p -= rate * (m / (sqrt(v) + epsilon) + d * p)
    adamw                p -= rate * (m/c1 / (sqrt(v/c2) + epsilon) + d * p)
    adamw-epsilon-hat    p -= rate * (sqrt(c2)/c1 * m / (sqrt(v) + epsilon) + d * p)
    adamw-eps-root       p -= rate * (m/c1 / sqrt(v/c2 + epsilon) + d * p)
    adamw-no-correction  p -= rate * (m / (sqrt(v) + epsilon) + d * p)
    adam-l2              p -= rate * m/c1 / (sqrt(v/c2) + epsilon), m and v made of the clipped gradient + d * p
    lamb, lamb-all       u = m/c1 / (sqrt(v/c2) + epsilon) + d * p;   p -= rate * r * u, with r = |p|/|u| where both
                         norms are positive, else 1; in lamb only where decayed, or optimizer.adapt_excluded is 1

**Answers.** Any subset of these, in a folder of its own with an `index.tsv` (or `index.json`) and files as above:

    embeddings.word|position|token_type|sum|norm                                       (B,S,H)
    layer.0.query|key|value (after the bias), .context, .attention_output (after the bias, before the residual),
        .attention_sum (input of the norm), .attention_norm, .ffn_output, .ffn_sum, .output      (B,S,H)
    layer.0.scores (scaled, before the mask), .probs                                   (B,A,S,S)
    layer.0.ffn_pre, .ffn_act                                                          (B,S,I)
    pooled_pre, pooled (B,H)    nsp.logits (B,2)    loss.mlm, loss.nsp, loss.total     ()
    mlm.dense (before the activation), mlm.act, mlm.transform (B,P,H)    mlm.logits (B,P,V); (B,S,...) is accepted
    grad:<any of the above>, grad:<parameter>      the gradient of loss.total, before clipping
    update:<parameter>                             new minus old value after the optimiser's step

The first line of `index.tsv` must say which case was answered: copy the first line of the case's. It may also say what
the program computed in: `precision=float32` (float64, float32, tf32, bfloat16, float16, mixed-bfloat16, mixed-float16).

    #bertref<TAB>version=1<TAB>case=DIGEST<TAB>precision=float32
    layer.0.output<TAB>float32<TAB>3<TAB>4<TAB>16<TAB>32<TAB>0<TAB>answers.bin

Where gradients come from another run of the program than the values that they belong to, it has to say `apart=grad`;
`apart=update`, where updates come from another run than the gradients; `apart=grad,update`, where both do. Two runs may
round otherwise; such gradients are judged as those of one implementation from the values of another, less closely.

`seed=7` may stand for `case=...` if the case came from a seed. In `index.json` these are the keys "format"
("bertref-answers"), "version", "case" or "seed", "precision", "apart", and "tensors": a list of objects with name,
dtype, shape, file and offset (dtype, shape and offset may be left out for .npy and .safetensors). Where an `index.json`
exists, it is read and `index.tsv` is not.

Other names and other layouts (packed tokens, fused or interleaved q, k and v, transposed weights) are declared in a
mapping file: see `bertref.verify.exchange.mapping`.
"""

from .answers import Dump, find_case, read_dump, write_answers
from .case import FORMATS, read_case, write_case
from .export import EXPECTED, export
from .mapping import Mapping, read_mapping
from .settings import settings_digest

__all__ = [
    "EXPECTED",
    "FORMATS",
    "Dump",
    "Mapping",
    "export",
    "find_case",
    "read_case",
    "read_dump",
    "read_mapping",
    "settings_digest",
    "write_answers",
    "write_case",
]
