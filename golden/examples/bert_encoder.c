/* An encoder of BERT in plain C, as bertref verifies it: reads a case with fread, computes embeddings and layers in
   float (GELU in its erf form), writes what it computed. It takes C99, its mathematics library and a little-endian
   machine.

       cc -O2 bert_encoder.c -lm -o bert_encoder
       bertref verify "cmd:./bert_encoder {case} {out}"

   Or apart from bertref: `bertref golden export CASE`; `mkdir OUT; ./bert_encoder CASE OUT`; `bertref verify dump:OUT`.
   Mistakes to be found can be compiled in: -DEPSILON=1e-5, -D'SCALE=1/sqrt(H)'. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *case_folder, *out_folder;
static FILE *out_index, *out_data;

static FILE *open_file(const char *folder, const char *name, const char *mode) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, mode);
    if (!file) { fprintf(stderr, "%s can't be opened\n", path); exit(2); }
    return file;
}

/* The tensor of that name (a format and its arguments): its elements, float32 or int32, as they lie in the file. */
static void *tensor(const char *format, ...) {
    char name[256], line[1024], found[256], dtype[32], file[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    FILE *index = open_file(case_folder, "index.tsv", "r");
    while (fgets(line, sizeof line, index)) {
        int ndim, used;
        long size = 1, offset;
        if (sscanf(line, "%255s %31s %d%n", found, dtype, &ndim, &used) != 3 || strcmp(found, name)) continue;
        char *rest = line + used;
        while (ndim--) size *= strtol(rest, &rest, 10);
        if (sscanf(rest, "%ld %255s", &offset, file) != 2 || !strstr(dtype, "32")) break;
        FILE *bytes = open_file(case_folder, file, "rb");
        void *data = malloc(4 * size);
        if (!data || fseek(bytes, offset, SEEK_SET) || fread(data, 4, size, bytes) != (size_t)size) break;
        fclose(bytes), fclose(index);
        return data;
    }
    fprintf(stderr, "%s: no tensor of this name, with elements of 32 bits, can be read\n", name);
    exit(2);
}

static double setting(const char *key) {
    char line[1024], found[512], value[512];
    FILE *settings = open_file(case_folder, "settings.tsv", "r");
    while (fgets(line, sizeof line, settings))
        if (sscanf(line, "%511s %511s", found, value) == 2 && !strcmp(found, key)) return fclose(settings), atof(value);
    fprintf(stderr, "no setting %s\n", key);
    exit(2);
}

/* Appends a tensor to the answers; its shape ends with 0. */
static void answer(const char *prefix, const char *name, const float *x, const int *shape) {
    int ndim = 0;
    size_t size = 1;
    while (shape[ndim]) size *= shape[ndim++];
    fprintf(out_index, "%s%s\tfloat32\t%d", prefix, name, ndim);
    for (int i = 0; i < ndim; i++) fprintf(out_index, "\t%d", shape[i]);
    fprintf(out_index, "\t%ld\tanswers.bin\n", ftell(out_data));
    fwrite(x, 4, size, out_data);
}

static float *zeros(size_t size) { return calloc(size, sizeof(float)); }

/* y = x Wᵀ + b for T rows; W is (out, in). */
static float *dense(const float *x, int T, int in, int out, const char *prefix, const char *name) {
    float *W = tensor("%s%s.weight", prefix, name), *b = tensor("%s%s.bias", prefix, name), *y = zeros((size_t)T * out);
    for (int t = 0; t < T; t++)
        for (int o = 0; o < out; o++) {
            for (int i = 0; i < in; i++) y[t * out + o] += x[t * in + i] * W[o * in + i];
            y[t * out + o] += b[o];
        }
    return free(W), free(b), y;
}

#ifndef EPSILON
#define EPSILON setting("numerics.layer_norm_eps")
#endif
#ifndef SCALE
#define SCALE setting("scale")
#endif

/* The layer norm of x + residual, and the sum itself. */
static float *add_norm(const float *x, const float *residual, float *sum, int T, int H, const char *p, const char *n) {
    float *gamma = tensor("%s%s.weight", p, n), *beta = tensor("%s%s.bias", p, n), *y = zeros((size_t)T * H);
    float epsilon = EPSILON;
    for (int t = 0; t < T; t++, x += H, residual += H, sum += H) {
        float mean = 0, variance = 0;
        for (int i = 0; i < H; i++) sum[i] = x[i] + residual[i], mean += sum[i] / H;
        for (int i = 0; i < H; i++) variance += (sum[i] - mean) * (sum[i] - mean) / H;
        for (int i = 0; i < H; i++) y[t * H + i] = (sum[i] - mean) / sqrtf(variance + epsilon) * gamma[i] + beta[i];
    }
    return free(gamma), free(beta), y;
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: %s CASE OUT\n", argv[0]), 2;
    case_folder = argv[1], out_folder = argv[2];
    int B = setting("sizes.B"), S = setting("sizes.S"), H = setting("sizes.H"), A = setting("sizes.A"), D = H / A,
        I = setting("sizes.I"), layers = setting("sizes.layers"), T = B * S;
    int hidden[] = {B, S, H, 0}, wide[] = {B, S, I, 0}, square[] = {B, A, S, S, 0};
    char line[1024];
    out_data = open_file(out_folder, "answers.bin", "wb"), out_index = open_file(out_folder, "index.tsv", "w");
    FILE *index = open_file(case_folder, "index.tsv", "r"); /* its first line says which case this is: copy that */
    if (fgets(line, sizeof line, index)) fprintf(out_index, "%.*s\tprecision=float32\n", (int)strcspn(line, "\n"), line);
    fclose(index);

    int *ids = tensor("input_ids"), *types = tensor("token_type_ids"), *mask = tensor("attention_mask");
    float *words = tensor("bert.embeddings.word_embeddings.weight"),
          *places = tensor("bert.embeddings.position_embeddings.weight"),
          *kinds = tensor("bert.embeddings.token_type_embeddings.weight"),
          *word = zeros((size_t)T * H), *rest = zeros((size_t)T * H), *sum = zeros((size_t)T * H);
    for (int t = 0; t < T; t++)
        for (int i = 0; i < H; i++) {
            word[t * H + i] = words[ids[t] * H + i];
            rest[t * H + i] = places[t % S * H + i] + kinds[types[t] * H + i];
        }
    float *x = add_norm(word, rest, sum, T, H, "bert.embeddings.", "LayerNorm");
    answer("embeddings.", "sum", sum, hidden), answer("embeddings.", "norm", x, hidden);

    float scale = SCALE, mask_value = setting("numerics.mask_value");
    for (int l = 0; l < layers; l++) {
        char p[64], a[64]; /* how the names of its parameters and of its answers start */
        snprintf(p, sizeof p, "bert.encoder.layer.%d.", l), snprintf(a, sizeof a, "layer.%d.", l);
        float *q = dense(x, T, H, H, p, "attention.self.query"), *k = dense(x, T, H, H, p, "attention.self.key"),
              *v = dense(x, T, H, H, p, "attention.self.value"), *context = zeros((size_t)T * H),
              *scores = zeros((size_t)T * A * S), *probs = zeros((size_t)T * A * S), *s = scores, *w = probs;
        for (int b = 0; b < B; b++)
            for (int h = 0; h < A; h++)
                for (int i = 0; i < S; i++, s += S, w += S) { /* one row of scores, one of probabilities */
                    float *qi = q + (b * S + i) * H + h * D, *kj = k + b * S * H + h * D, *vj = v + b * S * H + h * D;
                    float *ci = context + (b * S + i) * H + h * D, top = -INFINITY, total = 0;
                    for (int j = 0; j < S; j++, kj += H) {
                        for (int d = 0; d < D; d++) s[j] += qi[d] * kj[d];
                        s[j] *= scale;
                        w[j] = mask[b * S + j] ? s[j] : s[j] + mask_value;
                        top = fmaxf(top, w[j]);
                    }
                    for (int j = 0; j < S; j++) total += w[j] = expf(w[j] - top);
                    for (int j = 0; j < S; j++, vj += H) {
                        w[j] /= total;
                        for (int d = 0; d < D; d++) ci[d] += w[j] * vj[d];
                    }
                }
        answer(a, "query", q, hidden), answer(a, "key", k, hidden), answer(a, "value", v, hidden);
        answer(a, "scores", scores, square), answer(a, "probs", probs, square), answer(a, "context", context, hidden);
        float *output = dense(context, T, H, H, p, "attention.output.dense"), *act = zeros((size_t)T * I);
        float *middle = add_norm(output, x, sum, T, H, p, "attention.output.LayerNorm");
        answer(a, "attention_output", output, hidden), answer(a, "attention_sum", sum, hidden);
        float *pre = dense(middle, T, H, I, p, "intermediate.dense");
        for (int i = 0; i < T * I; i++) act[i] = 0.5f * pre[i] * (1 + erff(pre[i] * 0.70710678f));
        output = dense(act, T, I, H, p, "output.dense");
        x = add_norm(output, middle, sum, T, H, p, "output.LayerNorm");
        answer(a, "attention_norm", middle, hidden), answer(a, "ffn_pre", pre, wide), answer(a, "ffn_act", act, wide);
        answer(a, "ffn_output", output, hidden), answer(a, "ffn_sum", sum, hidden), answer(a, "output", x, hidden);
    }
    return fclose(out_index) || fclose(out_data);
}
