// Runs kernels as the shim understands them. A generated file includes this one after the kernels, and lists them:
// KERNELS({"name<float, 1>", SHIM_KERNEL(name<float, 1>)}, ...)
#pragma once

namespace shim {

template <class A> struct Argument {
    static A from(void* place) { return *(A*)place; }
    static constexpr const char* kind = std::is_floating_point_v<A> ? "f" : std::is_signed_v<A> ? "i" : "u";
    static constexpr int size = sizeof(A);
};
template <class T> struct Argument<Checked<T>> {
    static Checked<T> from(void* place) { return Checked<T>(*(T**)place); }
    static constexpr const char* kind = std::is_const_v<T> ? "in" : "out";
    static constexpr int size = sizeof(T);
};

struct Kernel {
    const char* name;
    void (*run)(void**);
    int (*describe)(char*);  // writes the kinds of its arguments, "in4 out2 i8 "
};

template <auto kernel, class... A, size_t... I> void run(void (*)(A...), void** places, std::index_sequence<I...>)
{
    kernel(Argument<A>::from(places[I])...);
}
template <auto kernel> void run(void** places)
{
    []<class... A>(void (*k)(A...), void** all) { run<kernel>(k, all, std::index_sequence_for<A...>()); }(kernel, places);
}
template <auto kernel> int describe(char* text)
{
    return []<class... A>(void (*)(A...), char* end) {
        int length = 0;
        ((length += sprintf(end + length, "%s%d ", Argument<A>::kind, Argument<A>::size)), ...);
        return length;
    }(kernel, text);
}

extern Kernel kernels[];
extern const int number_of_kernels;

static void (*body)(void**);
static void** places;

inline void fiber()
{
    for (;;) {
        body(places);
        wait(DONE);
    }
}

inline uint32_t random_number()
{
    static uint32_t state = 2463534242u;
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state;
}

static int turn[MOST];

inline void arrange(Order order)
{
    for (int i = 0; i < threads; ++i) turn[i] = order == DESCENDING ? threads - 1 - i : i;
    if (order != SHUFFLED) return;
    for (int i = threads - 1; i > 0; --i) std::swap(turn[i], turn[random_number() % (i + 1)]);
}

// Lets go whoever waits for something that has happened; whether there was anyone.
inline bool release()
{
    bool any = false;
    for (int first = 0; first < threads; first += WARP) {
        int there = 0;
        for (int i = first; i < first + WARP; ++i) there += fibers[i].state == AT_SHUFFLE;
        if (there == WARP) {
            for (int i = first; i < first + WARP; ++i) fibers[i].state = READY;
            any = true;
        }
    }
    for (int i = 0; i < threads; ++i)
        if (fibers[i].state != AT_BARRIER || fibers[i].line != fibers[0].line) return any;
    for (int i = 0; i < threads; ++i) fibers[i].state = READY;
    ++epoch;
    return true;
}

inline void begin_block()
{
    epoch = 0;
    for (int i = 0; i < number_of_shared; ++i) shared[i]->poison();
    for (int i = 0; i < threads; ++i) {
        Fiber& one = fibers[i];
        one.state = READY, one.shuffles = 0;
        if (one.started) continue;
        getcontext(&one.context);
        one.context.uc_stack.ss_sp = stacks + i * STACK, one.context.uc_stack.ss_size = STACK;
        one.context.uc_link = nullptr;
        makecontext(&one.context, fiber, 0);
    }
}

inline bool run_block(Order order)
{
    begin_block();
    for (int done = 0; done < threads;) {
        bool moved = false;
        arrange(order);
        for (int k = 0; k < threads; ++k) {
            const int i = turn[k];
            if (fibers[i].state != READY) continue;
            current = i, moved = true;
            place_thread();
            resume();
            if (*error) return false;
            done += fibers[i].state == DONE;
        }
        if (!release() && !moved) {
            strcpy(error, "threads wait for ever: not all of a block reach one barrier, or of a warp one shuffle");
            return false;
        }
    }
    return true;
}

}  // namespace shim

#define SHIM_KERNEL(...) &shim::run<&__VA_ARGS__>, &shim::describe<&__VA_ARGS__>
#define KERNELS(...)                         \
    shim::Kernel shim::kernels[] = {__VA_ARGS__}; \
    const int shim::number_of_kernels = sizeof shim::kernels / sizeof *shim::kernels;

extern "C" int find_kernel(const char* name)
{
    for (int i = 0; i < shim::number_of_kernels; ++i)
        if (!strcmp(shim::kernels[i].name, name)) return i;
    return -1;
}

extern "C" const char* kinds_of(int kernel)
{
    static char text[1000];
    shim::kernels[kernel].describe(text);
    return text;
}

// Runs blocks first ... last - 1 of a grid (counted with x fastest). `bounds`: begin and end of every array. Returns
// null, or what is wrong.
extern "C" const char* launch(int kernel, const unsigned* grid, const unsigned* block, void** places, void** bounds,
                              int arrays, int order, long long first, long long last)
{
    using namespace shim;
    *error = 0, number_of_arrays = arrays;
    for (int i = 0; i < arrays; ++i) shim::arrays[i] = {(char*)bounds[2 * i], (char*)bounds[2 * i + 1]};
    gridDim = {grid[0], grid[1], grid[2]}, blockDim = {block[0], block[1], block[2]};
    threads = block[0] * block[1] * block[2];
    if (threads % WARP || threads < 1 || threads > MOST) {
        sprintf(error, "a block of %d threads", threads);
        return error;
    }
    if (!stacks)
        stacks = (char*)mmap(nullptr, MOST * STACK, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    body = kernels[kernel].run, shim::places = places;
    for (long long b = first; b < last; ++b) {
        blockIdx = {(unsigned)(b % grid[0]), (unsigned)(b / grid[0] % grid[1]), (unsigned)(b / grid[0] / grid[1])};
        if (run_block((Order)order)) continue;
        for (Fiber& one : fibers) one.started = false;  // some stand in the middle of the kernel
        return error;
    }
    return nullptr;
}
