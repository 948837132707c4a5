// Sums over the rows of a matrix, each row perhaps with a weight; a row of weight 0 adds 0, whatever it holds.
//
//     y[p, i] = Σ over the rows n of part p of w[n] x[n, i]        x (N, I) of type T, w (N) or null, y (P, I) float
//
// A second launch with one part adds what the parts gave, of this kernel or of another.
//
// Grid: x covers the columns, V a thread; y = P shares the rows out, in equal parts that only the shape decides.
// Block: 32 columns' threads times LANES, which take the rows of the part in turn; their sums meet in shared memory.
#include "half.cuh"

const int LANES = 16;

template <typename T, int V>
__global__ void __launch_bounds__(32 * LANES)
    column_sum(In<T> x, In<float> weights, Out<float> y, long long rows, long long width)
{
    __shared__ Shared<float, 32 * LANES * V> of_lane;
    const long long column = ((long long)blockIdx.x * 32 + threadIdx.x) * V;
    const long long first = rows * blockIdx.y / gridDim.y, last = rows * (blockIdx.y + 1) / gridDim.y;
    Floats<V> sum{};
    for (long long row = first + threadIdx.y; row < last && column < width; row += LANES) {
        const float weight = weights ? weights[row] : 1.0f;
        if (weight == 0.0f) continue;
        const Floats<V> in = load<V>(x, row * width + column);
#pragma unroll
        for (int k = 0; k < V; ++k) sum[k] += weight * in[k];
    }
#pragma unroll
    for (int k = 0; k < V; ++k) of_lane[(k * LANES + threadIdx.y) * 32 + threadIdx.x] = sum[k];
    __syncthreads();
    if (threadIdx.y == 0 && column < width) {
        for (int lane = 1; lane < LANES; ++lane) {
#pragma unroll
            for (int k = 0; k < V; ++k) sum[k] += of_lane[(k * LANES + lane) * 32 + threadIdx.x];
        }
        store<float, V>(y, blockIdx.y * width + column, sum);
    }
}
