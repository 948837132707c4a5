// How kernels see memory. Arrays hold T: float, __half or __nv_bfloat16; registers hold float. Every access to an array
// of reals goes through `load` and `store`, V neighbouring elements at once: V is 8, or 1 where a row's length or an
// address is not a multiple of 8 elements.
//
//     In<T>, Out<T>      pointers of a kernel's arguments: read only; written, and perhaps read
//     Shared<T, N>       an array in shared memory
//
// The tests compile these files as C++ and bring their own In, Out, Shared, read and write, which check every access.
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif

template <typename T> using In = const T* __restrict__;
template <typename T> using Out = T* __restrict__;

template <typename T, int N> struct Shared {
    T at[N];
    __device__ T& operator[](int i) { return at[i]; }
};

template <typename T, int V> struct alignas(sizeof(T) * V) Pack {
    T at[V];
};

template <int V, typename T> __device__ inline Pack<T, V> read(const T* p, long long i)
{
    return *reinterpret_cast<const Pack<T, V>*>(p + i);
}

template <int V, typename T> __device__ inline void write(T* p, long long i, const Pack<T, V>& values)
{
    *reinterpret_cast<Pack<T, V>*>(p + i) = values;
}
#endif

__device__ inline float widened(float x) { return x; }
__device__ inline float widened(__half x) { return __half2float(x); }
__device__ inline float widened(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ inline void narrow(float x, float& out) { out = x; }
__device__ inline void narrow(float x, __half& out) { out = __float2half_rn(x); }
__device__ inline void narrow(float x, __nv_bfloat16& out) { out = __float2bfloat16_rn(x); }

template <int V> struct Floats {
    float at[V];
    __device__ float& operator[](int i) { return at[i]; }
    __device__ float operator[](int i) const { return at[i]; }
};

// p[i] ... p[i + V - 1]
template <int V, typename P> __device__ inline Floats<V> load(P p, long long i)
{
    const auto pack = read<V>(p, i);
    Floats<V> x;
#pragma unroll
    for (int k = 0; k < V; ++k) x[k] = widened(pack.at[k]);
    return x;
}

template <typename P> __device__ inline float load(P p, long long i) { return load<1>(p, i)[0]; }

// p[i] ... p[i + V - 1] = x, rounded to nearest, ties to even
template <typename T, int V> __device__ inline void store(Out<T> p, long long i, const Floats<V>& x)
{
    Pack<T, V> pack;
#pragma unroll
    for (int k = 0; k < V; ++k) narrow(x[k], pack.at[k]);
    write<V>(p, i, pack);
}

template <typename T> __device__ inline void store(Out<T> p, long long i, float x) { store<T, 1>(p, i, Floats<1>{{x}}); }
