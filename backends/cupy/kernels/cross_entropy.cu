// The cross-entropy of logits, which become their own gradient in place.
//
//     w = x + b                  x (N, V) of type T, b (V)
//     p = exp(w - max w) / Z     Z = Σ exp(w - max w)
//     loss[n] = -f[n] log p[n, label[n]]
//     x[n, c] <- p[n, c] - [c = label[n]]        the gradient but for dloss f[n], which goes to the products' narrow side
//
// f (N) float: a row's weight over the denominator; where it is 0, loss and gradient are 0 whatever the row holds.
// predicted[n] is the first column of the largest w, or of the first NaN; null: nobody asks.
//
// At the label p - 1 is computed as minus the other columns' share: where the label has nearly all of the probability no
// digit is lost, nor in the loss, which is log(1 + others) there.
//
// Grid: a block a row. Columns are numbers below 2^24, exact as floats.
#include "half.cuh"
#include "reduce.cuh"

template <typename T, int V>
__global__ void __launch_bounds__(512)
    cross_entropy(Out<T> x, In<T> bias, In<long long> labels, In<float> factors, Out<float> losses,
                  Out<long long> predicted, long long width)
{
    const long long row = blockIdx.x, start = row * width, label = labels[row], step = (long long)blockDim.x * V;
    const float factor = factors[row], at_label = load(x, start + label) + load(bias, label);

    // 1: the largest, and where it stands
    Floats<2> best{{-INFINITY, -INFINITY}};  // the largest, minus the column of the first NaN
    float column_of_largest = 0.0f;
    for (long long column = threadIdx.x * V; column < width; column += step) {
        const Floats<V> in = load<V>(x, start + column), b = load<V>(bias, column);
#pragma unroll
        for (int k = 0; k < V; ++k) {
            const float w = in[k] + b[k], here = column + k;
            if (w > best[0] || column + k == threadIdx.x * V) column_of_largest = here;
            best[0] = fmaxf(best[0], w);
            if (w != w) best[1] = fmaxf(best[1], -here);
        }
    }
    const float own_largest = best[0];
    over_block<Largest, 2>(best);
    const float largest = best[0];
    if (predicted) {
        const bool has = own_largest == largest && threadIdx.x * V < width;
        const float first = -over_block<Largest>(has ? -column_of_largest : -INFINITY);
        if (threadIdx.x == 0) predicted[row] = best[1] > -INFINITY ? -best[1] : first;
    }

    // 2: the sum of the exponentials, but for the label's
    float others = 0.0f;
    for (long long column = threadIdx.x * V; column < width; column += step) {
        const Floats<V> in = load<V>(x, start + column), b = load<V>(bias, column);
#pragma unroll
        for (int k = 0; k < V; ++k) others += column + k == label ? 0.0f : expf(in[k] + b[k] - largest);
    }
    others = over_block<Sum>(others);
    const float total = others + expf(at_label - largest);
    if (threadIdx.x == 0) {
        const float chosen = at_label == largest ? -log1pf(others) : at_label - largest - logf(total);
        losses[row] = factor == 0.0f ? 0.0f : -chosen * factor;
    }

    // 3: the gradient
    for (long long column = threadIdx.x * V; column < width; column += step) {
        const Floats<V> in = load<V>(x, start + column), b = load<V>(bias, column);
        Floats<V> out;
#pragma unroll
        for (int k = 0; k < V; ++k) {
            const float share = column + k == label ? -others : expf(in[k] + b[k] - largest);
            out[k] = factor == 0.0f ? 0.0f : share / total;
        }
        store<T, V>(x, start + column, out);
    }
}
