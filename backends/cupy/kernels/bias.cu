// The bias of a dense layer, added to the product in float32, which is rounded once.
//
//     y[n, o] = x[n, o] + b[o]        x (N, O) float, b (O) and y (N, O) of type T
//
// Grid: x covers the columns, V a thread; y shares the rows out, in equal parts that only the shape decides.
#include "half.cuh"

template <typename T, int V>
__global__ void __launch_bounds__(256)
    bias_add(In<float> x, In<T> bias, Out<T> y, long long rows, long long width)
{
    const long long column = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * V;
    if (column >= width) return;
    const Floats<V> b = load<V>(bias, column);
    const long long first = rows * blockIdx.y / gridDim.y, last = rows * (blockIdx.y + 1) / gridDim.y;
    for (long long row = first; row < last; ++row) {
        Floats<V> sum = load<V>(x, row * width + column);
#pragma unroll
        for (int k = 0; k < V; ++k) sum[k] += b[k];
        store<T, V>(y, row * width + column, sum);
    }
}
