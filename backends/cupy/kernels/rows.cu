// Rows of a matrix taken by their numbers, and rows added to where they were taken from: embedding, gather, packing.
//
//     gather_rows     y[i] = x[index[i]], or 0 where valid[i] is 0                    y (N, H)   valid (N) or null
//     scatter_rows    y[r] = Σ values[order[k]] for k in first[r] ... first[r + 1] - 1    y (R, H)
//
// `order` (N) sorts the rows of values by the row that they go to, and `first` (R + 1) says where those of a row begin, so
// no two threads ever add to one number: no atomics, and the same bits in every run.
//
// Grid: x a row of y each; y, in scatter_rows, 32 V columns each.
// Block of gather_rows: threads along the row. Block of scatter_rows: (32, lanes); the lanes take the rows to be added in
// turn, and their sums meet in shared memory.
#include "half.cuh"

const int MOST_LANES = 16;

template <typename T, int V>
__global__ void __launch_bounds__(256)
    gather_rows(In<T> x, In<long long> index, In<unsigned char> valid, Out<T> y, long long width)
{
    const bool there = !valid || valid[blockIdx.x];
    const long long from = there ? index[blockIdx.x] * width : 0, to = blockIdx.x * width;
    for (long long column = threadIdx.x * V; column < width; column += blockDim.x * V) {
        Floats<V> row{};
        if (there) row = load<V>(x, from + column);
        store<T, V>(y, to + column, row);
    }
}

template <typename T, int V>
__global__ void __launch_bounds__(32 * MOST_LANES)
    scatter_rows(In<T> values, In<long long> order, In<long long> first, Out<T> y, long long width)
{
    __shared__ Shared<float, 32 * MOST_LANES * V> of_lane;
    const long long row = blockIdx.x, column = ((long long)blockIdx.y * 32 + threadIdx.x) * V;
    const long long last = first[row + 1];
    Floats<V> sum{};
    for (long long k = first[row] + threadIdx.y; k < last && column < width; k += blockDim.y) {
        const Floats<V> in = load<V>(values, order[k] * width + column);
#pragma unroll
        for (int i = 0; i < V; ++i) sum[i] += in[i];
    }
#pragma unroll
    for (int i = 0; i < V; ++i) of_lane[(i * MOST_LANES + threadIdx.y) * 32 + threadIdx.x] = sum[i];
    __syncthreads();
    if (threadIdx.y == 0 && column < width) {
        for (int lane = 1; lane < blockDim.y; ++lane) {
#pragma unroll
            for (int i = 0; i < V; ++i) sum[i] += of_lane[(i * MOST_LANES + lane) * 32 + threadIdx.x];
        }
        store<T, V>(y, row * width + column, sum);
    }
}
