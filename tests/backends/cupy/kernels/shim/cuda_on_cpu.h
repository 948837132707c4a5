// CUDA C++ as far as the kernels use it, on the CPU: one block at a time, every thread a fiber that runs until it has to
// wait for others. Whoever waits is resumed in ascending, descending or shuffled order, so what depends on the order
// shows. Checked are every access to an argument (inside its array, aligned), every access to shared memory (inside,
// written before, no other thread's since the last barrier), barriers that not all threads reach, masks of shuffles.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <type_traits>
#include <utility>

// What kernels and this file may call; all of <cmath> takes longer to read than most kernels take to compile.
extern "C" {
float erff(float), expf(float), fabsf(float), fmaxf(float, float), frexpf(float, int*), ldexpf(float, int), log1pf(float),
    logf(float), nearbyintf(float), sqrtf(float), tanhf(float);
}
#define INFINITY __builtin_inff()

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
const int MOST_ARRAYS = 64, MOST_SHARED = 64;
const size_t STACK = 1 << 16;

// Every thread has a stack of its own. A context puts the first call on it; from then on a jump is enough, which, unlike
// a change of contexts, asks nothing of the system. A fiber outlives its block and serves the same thread of the next.
struct Fiber {
    ucontext_t context;
    jmp_buf place;           // where it waits
    bool started;
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
static jmp_buf scheduler;
static int current, threads;
static unsigned epoch;  // barriers that the block has passed
static Array arrays[MOST_ARRAYS];
static int number_of_arrays;
static Poisonable* shared[MOST_SHARED];
static int number_of_shared;
static char error[400];
static char* stacks;

// Ends the launch; the first fault is what is reported.
[[noreturn]] __attribute__((format(printf, 1, 2))) inline void fail(const char* format, ...)
{
    va_list values;
    va_start(values, format);
    const int length = vsnprintf(error, 300, format, values);
    va_end(values);
    snprintf(error + length, 100, ", block %u,%u, thread %d", blockIdx.x, blockIdx.y, current);
    _longjmp(scheduler, 1);
}

inline void place_thread()
{
    threadIdx = {current % blockDim.x, current / blockDim.x % blockDim.y, current / (blockDim.x * blockDim.y)};
}

// Of a fiber: lets others run until it is resumed.
__attribute__((noinline)) inline void wait(State why)
{
    fibers[current].state = why;
    if (!_setjmp(fibers[current].place)) _longjmp(scheduler, 1);
}

// Of the scheduler: runs the current fiber until it waits.
__attribute__((noinline)) inline void resume()
{
    if (_setjmp(scheduler)) return;
    if (fibers[current].started) _longjmp(fibers[current].place, 1);
    fibers[current].started = true;
    setcontext(&fibers[current].context);
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
    memcpy(&self.handed_over[turn], &value, sizeof value);
    wait(AT_SHUFFLE);
    memcpy(&value, &fibers[current / WARP * WARP + other].handed_over[turn], sizeof value);
    return value;
}

// A pointer among a kernel's arguments: it knows the array that it points into.
template <class T> struct Checked {
    T *at, *end;

    Checked() = default;
    explicit Checked(T* pointer) : at(pointer), end(pointer)
    {
        if (pointer == nullptr) return;
        for (int i = 0; i < number_of_arrays; ++i)
            if ((char*)pointer >= arrays[i].first && (char*)pointer <= arrays[i].end) {
                end = (T*)(arrays[i].first + (arrays[i].end - arrays[i].first) / sizeof(T) * sizeof(T));
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
        if (number_of_shared == MOST_SHARED) fail("more than %d arrays in shared memory", MOST_SHARED);
        shared[number_of_shared++] = this;
        poison();
    }
    void poison() override
    {
        memset(values, 0xff, sizeof values);
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
    memcpy(&x, &bits, sizeof x);
    return x;
}
inline uint32_t as_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
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
    if (exponent == 31) return fraction ? __builtin_nanf("") : sign * INFINITY;
    return sign * ldexpf((float)(exponent ? fraction + 1024 : fraction), (exponent ? exponent : 1) - 25);
}

inline __half __float2half_rn(float x)
{
    const uint16_t sign = shim::as_bits(x) >> 16 & 0x8000;
    if (x != x) return {(uint16_t)(sign | 0x7fff)};
    const float size = fabsf(x);
    if (size >= 65520.0f) return {(uint16_t)(sign | 0x7c00)};
    if (size == 0.0f) return {sign};
    int exponent;
    frexpf(size, &exponent);                                   // size = f 2^exponent, 1/2 <= f < 1
    const int last = exponent < -13 ? -24 : exponent - 11;         // weight of the last of its binary digits
    const int digits = (int)nearbyintf(ldexpf(size, -last));       // exact but for this, which rounds ties to even
    return {(uint16_t)(sign | (exponent < -13 ? digits : ((exponent + 13) << 10) + digits))};
}

inline float __bfloat162float(__nv_bfloat16 b) { return shim::as_float((uint32_t)b.bits << 16); }

inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
    const uint32_t bits = shim::as_bits(x);
    if (x != x) return {(uint16_t)(bits >> 16 | 0x40)};
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
    memcpy(&pack, p.place(i, V), sizeof pack);
    return pack;
}
template <int V, class T> void write(shim::Checked<T> p, long long i, const Pack<T, V>& pack)
{
    memcpy(p.place(i, V), &pack, sizeof pack);
}
