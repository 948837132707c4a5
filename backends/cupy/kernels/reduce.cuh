// Sums and maxima over a warp and over a block, in an order that only the block's size decides. All threads of the block
// take part, and all receive the result. A block has a multiple of 32 threads, at most 1024.
#pragma once

const unsigned ALL_LANES = 0xffffffffu;

struct Sum {
    static __device__ float of(float a, float b) { return a + b; }
    static __device__ float nothing() { return 0.0f; }
};
struct Largest {
    static __device__ float of(float a, float b) { return fmaxf(a, b); }
    static __device__ float nothing() { return -INFINITY; }
};

template <typename Two> __device__ inline float over_warp(float x)
{
    for (int lanes = 16; lanes > 0; lanes /= 2) x = Two::of(x, __shfl_xor_sync(ALL_LANES, x, lanes));
    return x;
}

// N numbers at once cost no more barriers than one.
template <typename Two, int N> __device__ inline void over_block(Floats<N>& x)
{
    __shared__ Shared<float, 32 * N> of_warp;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
#pragma unroll
    for (int k = 0; k < N; ++k) x[k] = over_warp<Two>(x[k]);
    __syncthreads();  // what an earlier call left has been read
    if (lane == 0) {
#pragma unroll
        for (int k = 0; k < N; ++k) of_warp[32 * k + warp] = x[k];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < N; ++k) x[k] = over_warp<Two>(lane < warps ? of_warp[32 * k + lane] : Two::nothing());
}

template <typename Two> __device__ inline float over_block(float x)
{
    Floats<1> only{{x}};
    over_block<Two, 1>(only);
    return only[0];
}
