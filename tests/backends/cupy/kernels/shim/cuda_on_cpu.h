// CUDA C++ as far as the kernels use it, on the CPU: one block at a time, every thread a fiber that runs until it has to
// wait for others. Whoever waits is resumed in ascending, descending or shuffled order, so what depends on the order
// shows. Checked are every access to an argument (inside its array, aligned), every access to shared memory (inside,
// written before, no other thread's since the last barrier), barriers that not all threads reach, masks of shuffles.
#pragma once
#include <sys/mman.h>
#include <ucontext.h>

#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__ __attribute__((always_inline))
#define __forceinline__
#define __shared__ static
#define __launch_bounds__(...)
#define __syncthreads() shim::barrier(__LINE__)

struct Dim {
    unsigned x, y, z;
};
static Dim threadIdx, blockIdx, blockDim, gridDim;

namespace shim {

enum State { READY, AT_BARRIER, AT_SHUFFLE, DONE };
enum Order { ASCENDING, DESCENDING, SHUFFLED };
const int MOST = 1024, WARP = 32;
const size_t STACK = 1 << 16;

struct Fiber {
    ucontext_t context;
    State state;
    int line;                // of the barrier it waits at
    unsigned shuffles;       // it has taken part in
    uint64_t handed_over[2]; // what it gave to the last two: a neighbour may be one shuffle behind
};
struct Array {
    char *first, *end;
};
struct Poisonable {
    virtual void poison() = 0;
};

static Fiber fibers[MOST];
static ucontext_t scheduler;
static int current, threads;
static unsigned epoch;  // barriers that the block has passed
static std::vector<Array> arrays;
static std::string error;
static char* stacks;

inline std::vector<Poisonable*>& shared()
{
    static std::vector<Poisonable*> all;
    return all;
}

// Ends the launch; the first fault is what is reported.
[[noreturn]] __attribute__((format(printf, 1, 2))) inline void fail(const char* format, ...)
{
    char text[300];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    error = std::string(text) + ", block " + std::to_string(blockIdx.x) + "," + std::to_string(blockIdx.y) +
            ", thread " + std::to_string(current);
    setcontext(&scheduler);
    __builtin_unreachable();
}

inline void place_thread()
{
    threadIdx = {current % blockDim.x, current / blockDim.x % blockDim.y, current / (blockDim.x * blockDim.y)};
}

inline void wait(State why)
{
    Fiber& self = fibers[current];
    self.state = why;
    swapcontext(&self.context, &scheduler);
}

inline void barrier(int line)
{
    fibers[current].line = line;
    wait(AT_BARRIER);
}

template <class T> T shuffle(unsigned mask, T value, int other)
{
    if (mask != 0xffffffffu) fail("a shuffle of some lanes only");
    if (other < 0 || other >= WARP) fail("a shuffle with lane %d", other);
    Fiber& self = fibers[current];
    const unsigned turn = self.shuffles++ % 2;
    std::memcpy(&self.handed_over[turn], &value, sizeof value);
    wait(AT_SHUFFLE);
    std::memcpy(&value, &fibers[current / WARP * WARP + other].handed_over[turn], sizeof value);
    return value;
}

// A pointer among a kernel's arguments: it knows the array that it points into.
template <class T> struct Checked {
    T *at, *end;

    Checked() = default;
    explicit Checked(T* pointer) : at(pointer), end(pointer)
    {
        if (pointer == nullptr) return;
        for (const Array& array : arrays)
            if ((char*)pointer >= array.first && (char*)pointer <= array.end) {
                end = (T*)(array.first + (array.end - array.first) / sizeof(T) * sizeof(T));
                return;
            }
        fail("an argument that points into no array");
    }
    explicit operator bool() const { return at != nullptr; }
    T* place(long long i, int number) const
    {
        if (i < 0 || i + number > end - at)
            fail("elements %lld to %lld of an array of %lld", i, i + number - 1, (long long)(end - at));
        if ((uintptr_t)(at + i) % (sizeof(T) * number)) fail("element %lld is not aligned to %d", i, number);
        return at + i;
    }
    T& operator[](long long i) const { return *place(i, 1); }
};

// An array in shared memory: not a number before it is written, and no thread's but the writer's until a barrier.
template <class T, int N> struct Shared : Poisonable {
    static const int NOBODY = -1, SEVERAL = -2;
    T values[N];
    int writer[N], reader[N];
    unsigned written[N], was_read[N];

    Shared()
    {
        shared().push_back(this);
        poison();
    }
    void poison() override
    {
        std::memset(values, 0xff, sizeof values);
        for (int i = 0; i < N; ++i) writer[i] = reader[i] = NOBODY;
    }
    struct Element {
        Shared& all;
        int i;

        operator T() const
        {
            if (all.writer[i] == NOBODY) fail("shared element %d is read before it is written", i);
            if (all.writer[i] != current && all.written[i] == epoch)
                fail("shared element %d is read with no barrier after thread %d wrote it", i, all.writer[i]);
            const bool again = all.reader[i] != NOBODY && all.reader[i] != current && all.was_read[i] == epoch;
            all.reader[i] = again ? SEVERAL : current;
            all.was_read[i] = epoch;
            return all.values[i];
        }
        Element& operator=(T value)
        {
            if (all.writer[i] != NOBODY && all.writer[i] != current && all.written[i] == epoch)
                fail("shared element %d is written by threads %d and %d", i, all.writer[i], current);
            if (all.reader[i] != NOBODY && all.reader[i] != current && all.was_read[i] == epoch)
                fail("shared element %d is written with no barrier after another thread read it", i);
            all.writer[i] = current;
            all.written[i] = epoch;
            all.values[i] = value;
            return *this;
        }
    };
    Element operator[](int i)
    {
        if (i < 0 || i >= N) fail("shared element %d of %d", i, N);
        return {*this, i};
    }
};

// Half types: their bits, and conversions of our own, to nearest, ties to even.
inline float as_float(uint32_t bits)
{
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}
inline uint32_t as_bits(float x)
{
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

}  // namespace shim

struct __half {
    uint16_t bits;
};
struct __nv_bfloat16 {
    uint16_t bits;
};

inline float __half2float(__half h)
{
    const int sign = h.bits >> 15 ? -1 : 1, exponent = h.bits >> 10 & 31, fraction = h.bits & 1023;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    return sign * std::ldexp((float)(exponent ? fraction + 1024 : fraction), (exponent ? exponent : 1) - 25);
}

inline __half __float2half_rn(float x)
{
    const uint16_t sign = shim::as_bits(x) >> 16 & 0x8000;
    if (std::isnan(x)) return {(uint16_t)(sign | 0x7fff)};
    const float size = std::fabs(x);
    if (size >= 65520.0f) return {(uint16_t)(sign | 0x7c00)};
    if (size == 0.0f) return {sign};
    int exponent;
    std::frexp(size, &exponent);                                   // size = f 2^exponent, 1/2 <= f < 1
    const int last = exponent < -13 ? -24 : exponent - 11;         // weight of the last of its binary digits
    const int digits = (int)std::nearbyint(std::ldexp(size, -last));  // exact but for this, which rounds ties to even
    return {(uint16_t)(sign | (exponent < -13 ? digits : ((exponent + 13) << 10) + digits))};
}

inline float __bfloat162float(__nv_bfloat16 b) { return shim::as_float((uint32_t)b.bits << 16); }

inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
    const uint32_t bits = shim::as_bits(x);
    if (std::isnan(x)) return {(uint16_t)(bits >> 16 | 0x40)};
    return {(uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned __int128)a * b >> 64;
}

template <class T> T __shfl_xor_sync(unsigned mask, T value, int lanes)
{
    return shim::shuffle(mask, value, (int)(shim::current % shim::WARP) ^ lanes);
}

template <class T> using In = shim::Checked<const T>;
template <class T> using Out = shim::Checked<T>;
template <class T, int N> using Shared = shim::Shared<T, N>;

template <class T, int V> struct alignas(sizeof(T) * V) Pack {
    T at[V];
};
template <int V, class T> Pack<std::remove_const_t<T>, V> read(shim::Checked<T> p, long long i)
{
    Pack<std::remove_const_t<T>, V> pack;
    std::memcpy(&pack, p.place(i, V), sizeof pack);
    return pack;
}
template <int V, class T> void write(shim::Checked<T> p, long long i, const Pack<T, V>& pack)
{
    std::memcpy(p.place(i, V), &pack, sizeof pack);
}
