// The optimisers' passes over flat arrays of float. Rates, corrections and the factor of clipping are read from device
// memory, so no number that changes from step to step passes the host.
//
//     m' = β₁ m + (1 - β₁) g            v' = β₂ v + (1 - β₂) g²            for gradients g that are factor times `g`
//     adam     p' = (1 - η λ) p - η (m'/c₁) / (√(v'/c₂) + ε)            corrections null: c₁ = c₂ = 1, as Google's
//     lamb     u  = (m'/c₁) / (√(v'/c₂) + ε) + λ p                      lamb_direction
//              p' = p - η ‖p‖/‖u‖ u, and ‖p‖/‖u‖ is 1 where either is 0     lamb_apply
//     squares, total     Σ a²
//
// All arrays are (size); rate, corrections, factor and only_if are single numbers, (1). Without a factor, null, it is 1.
// Where only_if is 0, adam and lamb write nothing; null: it is 1.
//
// Sums: every block of a grid leaves one (`parts`), and a block adds those of all, in an order that only the array's size
// decides. p, m, v and u are written in place.
//
// Grid: blocks share the elements out, neighbours to neighbours; a block has THREADS threads.
#include "half.cuh"
#include "reduce.cuh"

const int THREADS = 256;

struct Settings {
    float beta1, beta2, one_less_beta1, one_less_beta2, epsilon, decay;
};

// m and v become the next, and the direction of the step without decay is returned.
__device__ inline float direction(In<float> g, Out<float> m, Out<float> v, long long i, float by, float c1, float c2,
                                  const Settings& s)
{
    const float gradient = by * g[i];
    const float mean = s.beta1 * m[i] + s.one_less_beta1 * gradient;
    const float square = s.beta2 * v[i] + s.one_less_beta2 * (gradient * gradient);
    m[i] = mean;
    v[i] = square;
    return mean / c1 / (sqrtf(square / c2) + s.epsilon);
}

// How many elements are updated.
__device__ inline long long updated(In<unsigned char> only_if, long long size)
{
    return only_if && !only_if[0] ? 0 : size;
}

__global__ void __launch_bounds__(THREADS)
    adam(Out<float> p, In<float> g, Out<float> m, Out<float> v, In<float> rate, In<float> correction1,
         In<float> correction2, In<float> factor, In<unsigned char> only_if, long long size, float beta1, float beta2,
         float one_less_beta1, float one_less_beta2, float epsilon, float decay)
{
    size = updated(only_if, size);
    const Settings s{beta1, beta2, one_less_beta1, one_less_beta2, epsilon, decay};
    const float c1 = correction1 ? correction1[0] : 1.0f, c2 = correction2 ? correction2[0] : 1.0f, eta = rate[0];
    const float by = factor ? factor[0] : 1.0f;
    for (long long i = (long long)blockIdx.x * THREADS + threadIdx.x; i < size; i += (long long)gridDim.x * THREADS) {
        const float along = direction(g, m, v, i, by, c1, c2, s);
        p[i] -= eta * (along + s.decay * p[i]);
    }
}

__global__ void __launch_bounds__(THREADS)
    lamb_direction(In<float> p, In<float> g, Out<float> m, Out<float> v, Out<float> u, In<float> correction1,
                   In<float> correction2, In<float> factor, In<unsigned char> only_if, Out<float> parts, long long size,
                   float beta1, float beta2, float one_less_beta1, float one_less_beta2, float epsilon, float decay)
{
    size = updated(only_if, size);
    const Settings s{beta1, beta2, one_less_beta1, one_less_beta2, epsilon, decay};
    const float c1 = correction1[0], c2 = correction2[0], by = factor ? factor[0] : 1.0f;
    Floats<2> sums{};
    for (long long i = (long long)blockIdx.x * THREADS + threadIdx.x; i < size; i += (long long)gridDim.x * THREADS) {
        const float weight = p[i], along = direction(g, m, v, i, by, c1, c2, s) + s.decay * weight;
        u[i] = along;
        sums[0] += weight * weight;
        sums[1] += along * along;
    }
    over_block<Sum, 2>(sums);
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = sums[0];
        parts[gridDim.x + blockIdx.x] = sums[1];
    }
}

__global__ void __launch_bounds__(THREADS)
    lamb_apply(Out<float> p, In<float> u, In<float> parts, In<float> rate, In<unsigned char> only_if, long long size,
               int adapt)
{
    size = updated(only_if, size);
    Floats<2> sums{};
    for (int i = threadIdx.x; i < gridDim.x; i += THREADS) {
        sums[0] += parts[i];
        sums[1] += parts[gridDim.x + i];
    }
    over_block<Sum, 2>(sums);
    const float weight = sqrtf(sums[0]), step = sqrtf(sums[1]);
    const float factor = rate[0] * (adapt && weight > 0.0f && step > 0.0f ? weight / step : 1.0f);
    for (long long i = (long long)blockIdx.x * THREADS + threadIdx.x; i < size; i += (long long)gridDim.x * THREADS)
        p[i] -= factor * u[i];
}

__global__ void __launch_bounds__(THREADS) squares(In<float> a, Out<float> parts, long long size)
{
    float sum = 0.0f;
    for (long long i = (long long)blockIdx.x * THREADS + threadIdx.x; i < size; i += (long long)gridDim.x * THREADS)
        sum += a[i] * a[i];
    sum = over_block<Sum>(sum);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// One block.
__global__ void __launch_bounds__(THREADS) total(In<float> parts, Out<float> out, int count)
{
    float sum = 0.0f;
    for (int i = threadIdx.x; i < count; i += THREADS) sum += parts[i];
    sum = over_block<Sum>(sum);
    if (threadIdx.x == 0) out[0] = sum;
}
