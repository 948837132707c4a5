// Bias and GELU in one pass, and the gradients of both in one.
//
//     h = x + b        y = h Φ(h)              Φ(h) = (1 + erf(h/√2)) / 2          erf form
//                      y = h (1 + t)/2         t = tanh(c (h + a h³))              tanh form, c = √(2/π), a = 0.044715
//     dx = dy g'(h)    db = Σ dx over the rows
//
//     g'(h) = Φ(h) + h φ(h)                                     φ(h) = exp(-h²/2)/√(2π)
//     g'(h) = (1 + t)/2 + h/2 (1 - t²) c (1 + 3a h²)
//
// x (N, I) of type X, b (I), y, dx, dy (N, I) of type T: X is T, or float where x is a product that has not been rounded.
// h is made again in backward: reading x once more costs less than writing h and reading it.
//
// Grid: x covers the columns, V a thread; y shares the rows out, in equal parts that only the shape decides. In backward
// a thread keeps the sums of its columns, and the parts' sums (gridDim.y, I) are added by a second launch (column_sum.cu).
#include "half.cuh"

const float ROOT_HALF = 0.70710678f, DENSITY = 0.39894228f;  // √(1/2), 1/√(2π)
const float C = 0.79788456f, A = 0.044715f;                  // √(2/π)

__device__ inline float gelu(float h, int tanh_form)
{
    if (tanh_form) return 0.5f * h * (1.0f + tanhf(C * (h + A * h * h * h)));
    return h * (0.5f * (1.0f + erff(h * ROOT_HALF)));
}

__device__ inline float slope(float h, int tanh_form)
{
    if (tanh_form) {
        const float t = tanhf(C * (h + A * h * h * h));
        return 0.5f * (1.0f + t) + 0.5f * h * (1.0f - t * t) * (C * (1.0f + 3.0f * A * h * h));
    }
    return 0.5f * (1.0f + erff(h * ROOT_HALF)) + h * (DENSITY * expf(-0.5f * h * h));
}

template <typename X, typename T, int V>
__global__ void __launch_bounds__(256)
    bias_gelu(In<X> x, In<T> bias, Out<T> y, long long rows, long long width, int tanh_form)
{
    const long long column = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * V;
    if (column >= width) return;
    const Floats<V> b = load<V>(bias, column);
    const long long first = rows * blockIdx.y / gridDim.y, last = rows * (blockIdx.y + 1) / gridDim.y;
    for (long long row = first; row < last; ++row) {
        const Floats<V> in = load<V>(x, row * width + column);
        Floats<V> out;
#pragma unroll
        for (int k = 0; k < V; ++k) out[k] = gelu(in[k] + b[k], tanh_form);
        store<T, V>(y, row * width + column, out);
    }
}

template <typename X, typename T, int V>
__global__ void __launch_bounds__(256) bias_gelu_back(In<T> dy, In<X> x, In<T> bias, Out<T> dx, Out<float> dbias,
                                                      long long rows, long long width, int tanh_form)
{
    const long long column = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * V;
    if (column >= width) return;
    const Floats<V> b = load<V>(bias, column);
    Floats<V> sum{};
    const long long first = rows * blockIdx.y / gridDim.y, last = rows * (blockIdx.y + 1) / gridDim.y;
    for (long long row = first; row < last; ++row) {
        const Floats<V> in = load<V>(x, row * width + column), above = load<V>(dy, row * width + column);
        Floats<V> out;
#pragma unroll
        for (int k = 0; k < V; ++k) {
            out[k] = above[k] * slope(in[k] + b[k], tanh_form);
            sum[k] += out[k];
        }
        store<T, V>(dx, row * width + column, out);
    }
    store<float, V>(dbias, blockIdx.y * width + column, sum);
}
