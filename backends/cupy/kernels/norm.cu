// Dropout, residual connection and layer norm of rows, and all their gradients.
//
//     s = dropout(x) + residual       dropout(x) = x · scale where kept, else 0
//     n = (s - mean(s)) r             r = 1/√(mean((s - mean(s))²) + ε)
//     y = n γ + β
//
//     g  = dy γ       dγ = Σ dy n     dβ = Σ dy            over the rows
//     ds = r (g - mean(g) - n mean(g n))                   the residual's gradient
//     dx = dropout(ds)
//
// x, residual, keep, y, n, dy, ds, dx (N, H), γ, β (H), r (N) float. `residual` may be null: the norm alone; `keep` may be
// null: nothing is dropped; `normalised` may be null: there will be no backward. H is at most ELEMENTS times MOST_THREADS.
//
// Grid, forward: a block a row. Backward: blocks share the rows out, in equal parts that only the shape decides; each
// keeps the sums of its rows for dγ and dβ in registers and leaves them in parts (gridDim.x, 2, H), which a second launch
// adds (column_sum.cu).
// Block: every thread holds ELEMENTS elements of the row, V at a time, so that the row is read once.
#include "half.cuh"
#include "reduce.cuh"

const int ELEMENTS = 8, MOST_THREADS = 512;

template <int V> __device__ inline long long column_of(int group)
{
    return ((long long)group * blockDim.x + threadIdx.x) * V;
}

template <int V>
__device__ inline Floats<V> dropped(const Floats<V>& x, In<unsigned char> keep, long long i, float scale)
{
    if (!keep) return x;
    const auto kept = read<V>(keep, i);
    Floats<V> y;
#pragma unroll
    for (int k = 0; k < V; ++k) y[k] = kept.at[k] ? x[k] * scale : 0.0f;
    return y;
}

template <typename T, int V>
__global__ void __launch_bounds__(MOST_THREADS)
    norm(In<T> x, In<T> residual, In<unsigned char> keep, In<T> gamma, In<T> beta, Out<T> y, Out<T> normalised,
         Out<float> reciprocal, long long width, float scale, float eps)
{
    const long long start = blockIdx.x * width;
    Floats<ELEMENTS> s;
    float sum = 0.0f, squares = 0.0f;
#pragma unroll
    for (int group = 0; group < ELEMENTS / V; ++group) {
        const long long column = column_of<V>(group);
        if (column >= width) continue;
        Floats<V> in = dropped<V>(load<V>(x, start + column), keep, start + column, scale), other{};
        if (residual) other = load<V>(residual, start + column);
#pragma unroll
        for (int k = 0; k < V; ++k) {
            s[group * V + k] = in[k] + other[k];
            sum += s[group * V + k];
        }
    }
    const float mean = over_block<Sum>(sum) / width;
#pragma unroll
    for (int group = 0; group < ELEMENTS / V; ++group) {
        if (column_of<V>(group) >= width) continue;
#pragma unroll
        for (int k = 0; k < V; ++k) {
            s[group * V + k] -= mean;
            squares += s[group * V + k] * s[group * V + k];
        }
    }
    const float r = 1.0f / sqrtf(over_block<Sum>(squares) / width + eps);
#pragma unroll
    for (int group = 0; group < ELEMENTS / V; ++group) {
        const long long column = column_of<V>(group);
        if (column >= width) continue;
        const Floats<V> scales = load<V>(gamma, column), shifts = load<V>(beta, column);
        Floats<V> n, out;
#pragma unroll
        for (int k = 0; k < V; ++k) {
            n[k] = s[group * V + k] * r;
            out[k] = n[k] * scales[k] + shifts[k];
        }
        store<T, V>(y, start + column, out);
        if (normalised) store<T, V>(normalised, start + column, n);
    }
    if (normalised && threadIdx.x == 0) reciprocal[blockIdx.x] = r;
}

template <typename T, int V>
__global__ void __launch_bounds__(MOST_THREADS)
    norm_back(In<T> dy, In<T> normalised, In<float> reciprocal, In<T> gamma, In<unsigned char> keep, Out<T> ds, Out<T> dx,
              Out<float> parts, long long rows, long long width, float scale)
{
    Floats<ELEMENTS> dgamma{}, dbeta{};
    const long long first = rows * blockIdx.x / gridDim.x, last = rows * (blockIdx.x + 1) / gridDim.x;
    for (long long row = first; row < last; ++row) {
        const long long start = row * width;
        Floats<ELEMENTS> g, n;
        Floats<2> sums{};
#pragma unroll
        for (int group = 0; group < ELEMENTS / V; ++group) {
            const long long column = column_of<V>(group);
            if (column >= width) continue;
            const Floats<V> above = load<V>(dy, start + column), scales = load<V>(gamma, column);
            const Floats<V> here = load<V>(normalised, start + column);
#pragma unroll
            for (int k = 0; k < V; ++k) {
                const int i = group * V + k;
                n[i] = here[k];
                g[i] = above[k] * scales[k];
                dgamma[i] += above[k] * n[i];
                dbeta[i] += above[k];
                sums[0] += g[i];
                sums[1] += g[i] * n[i];
            }
        }
        over_block<Sum, 2>(sums);
        const float along_ones = sums[0] / width, along_normalised = sums[1] / width, r = reciprocal[row];
#pragma unroll
        for (int group = 0; group < ELEMENTS / V; ++group) {
            const long long column = column_of<V>(group);
            if (column >= width) continue;
            Floats<V> out;
#pragma unroll
            for (int k = 0; k < V; ++k)
                out[k] = r * (g[group * V + k] - along_ones - n[group * V + k] * along_normalised);
            store<T, V>(ds, start + column, out);
            if (keep) store<T, V>(dx, start + column, dropped<V>(out, keep, start + column, scale));
        }
    }
#pragma unroll
    for (int group = 0; group < ELEMENTS / V; ++group) {
        const long long column = column_of<V>(group);
        if (column >= width) continue;
        Floats<V> of_gamma, of_beta;
#pragma unroll
        for (int k = 0; k < V; ++k) {
            of_gamma[k] = dgamma[group * V + k];
            of_beta[k] = dbeta[group * V + k];
        }
        store<float, V>(parts, 2 * blockIdx.x * width + column, of_gamma);
        store<float, V>(parts, (2 * blockIdx.x + 1) * width + column, of_beta);
    }
}
