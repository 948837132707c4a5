// Masked softmax and dropout of attention's scores in place, and their gradients in place.
//
//     w = scale x + mask_value at padded keys        mask_value -∞ removes them, whatever x is there
//     p = exp(w - max w) / Σ exp(w - max w)          a row of nothing but -∞ gives 0
//     dropped = p · dropout_scale where kept, else 0
//
//     dp = dropout's gradient of ddropped            dx = scale p (dp - Σ dp p)
//
// x -> p, ddropped -> dx, dropped, keep (B, A, S, S), mask (B, S), one byte each: 1 is a token. A row is a query, a column a
// key. `keep` may be null: nothing is dropped, and dropped is not written.
//
// Block: (32, rows), a warp a row, at most MOST_ROWS of them; a lane holds E elements, V at a time, so S is at most 32 E.
// Grid: x the rows, so many a block.
#include "half.cuh"
#include "reduce.cuh"

const int MOST_ROWS = 8;

template <typename T, int V, int E>
__global__ void __launch_bounds__(32 * MOST_ROWS)
    softmax(Out<T> x, In<unsigned char> mask, In<unsigned char> keep, Out<T> dropped, long long rows,
            long long rows_of_sequence, int width, float scale, float mask_value, float dropout_scale)
{
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y, start = row * width;
    const long long tokens = row / rows_of_sequence * width;
    const bool removes = mask_value == -INFINITY;
    Floats<E> w;
    float largest = -INFINITY, total = 0.0f;
#pragma unroll
    for (int group = 0; group < E / V; ++group) {
        const int column = (group * 32 + threadIdx.x) * V;
        if (row >= rows || column >= width) continue;
        const Floats<V> in = load<V>(x, start + column);
        const auto token = read<V>(mask, tokens + column);
#pragma unroll
        for (int k = 0; k < V; ++k) {
            const float scaled = in[k] * scale, padded = removes ? mask_value : scaled + mask_value;
            w[group * V + k] = token.at[k] ? scaled : padded;
            largest = fmaxf(largest, w[group * V + k]);
        }
    }
    largest = over_warp<Largest>(largest);
    if (largest == -INFINITY) largest = 0.0f;
#pragma unroll
    for (int group = 0; group < E / V; ++group) {
        const int column = (group * 32 + threadIdx.x) * V;
        if (row >= rows || column >= width) continue;
#pragma unroll
        for (int k = 0; k < V; ++k) {
            w[group * V + k] = expf(w[group * V + k] - largest);
            total += w[group * V + k];
        }
    }
    total = over_warp<Sum>(total);
    if (total == 0.0f) total = 1.0f;
#pragma unroll
    for (int group = 0; group < E / V; ++group) {
        const int column = (group * 32 + threadIdx.x) * V;
        if (row >= rows || column >= width) continue;
        Floats<V> p, left;
#pragma unroll
        for (int k = 0; k < V; ++k) p[k] = w[group * V + k] / total;
        store<T, V>(x, start + column, p);
        if (!keep) continue;
        const auto kept = read<V>(keep, start + column);
#pragma unroll
        for (int k = 0; k < V; ++k) left[k] = kept.at[k] ? p[k] * dropout_scale : 0.0f;
        store<T, V>(dropped, start + column, left);
    }
}

template <typename T, int V, int E>
__global__ void __launch_bounds__(32 * MOST_ROWS)
    softmax_back(Out<T> gradient, In<T> probs, In<unsigned char> keep, Out<T> dropped, long long rows, int width,
                 float scale, float dropout_scale)
{
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y, start = row * width;
    Floats<E> p, dp;
    float inner = 0.0f;
#pragma unroll
    for (int group = 0; group < E / V; ++group) {
        const int column = (group * 32 + threadIdx.x) * V;
        if (row >= rows || column >= width) continue;
        const Floats<V> here = load<V>(probs, start + column);
        Floats<V> above = load<V>(gradient, start + column);
        if (keep) {
            const auto kept = read<V>(keep, start + column);
            Floats<V> left;
#pragma unroll
            for (int k = 0; k < V; ++k) {
                left[k] = kept.at[k] ? here[k] * dropout_scale : 0.0f;
                above[k] = kept.at[k] ? above[k] * dropout_scale : 0.0f;
            }
            store<T, V>(dropped, start + column, left);
        }
#pragma unroll
        for (int k = 0; k < V; ++k) {
            p[group * V + k] = here[k];
            dp[group * V + k] = above[k];
            inner += here[k] * above[k];
        }
    }
    inner = over_warp<Sum>(inner);
#pragma unroll
    for (int group = 0; group < E / V; ++group) {
        const int column = (group * 32 + threadIdx.x) * V;
        if (row >= rows || column >= width) continue;
        Floats<V> out;
#pragma unroll
        for (int k = 0; k < V; ++k) out[k] = p[group * V + k] * (dp[group * V + k] - inner) * scale;
        store<T, V>(gradient, start + column, out);
    }
}
