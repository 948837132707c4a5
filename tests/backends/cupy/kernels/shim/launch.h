// Runs kernels as the shim understands them. A generated file includes this one after the kernels, and lists them:
// KERNELS({"name<float, 1>", SHIM_KERNEL(name<float, 1>)}, ...)
#pragma once

namespace shim {

template <class A> struct Argument {
    static A from(void* place) { return *(A*)place; }
    static std::string kind()
    {
        return (std::is_floating_point_v<A> ? "f" : std::is_signed_v<A> ? "i" : "u") + std::to_string(sizeof(A));
    }
};
template <class T> struct Argument<Checked<T>> {
    static Checked<T> from(void* place) { return Checked<T>(*(T**)place); }
    static std::string kind() { return (std::is_const_v<T> ? "in" : "out") + std::to_string(sizeof(T)); }
};

struct Kernel {
    const char* name;
    void (*run)(void**);
    std::string kinds;
};

template <auto kernel, class... A, size_t... I> void run(void (*)(A...), void** places, std::index_sequence<I...>)
{
    kernel(Argument<A>::from(places[I])...);
}
template <auto kernel> void run(void** places)
{
    []<class... A>(void (*k)(A...), void** all) { run<kernel>(k, all, std::index_sequence_for<A...>()); }(kernel, places);
}
template <class... A> std::string kinds(void (*)(A...))
{
    std::string all;
    ((all += Argument<A>::kind() + " "), ...);
    return all;
}

extern Kernel kernels[];
extern const int number_of_kernels;

static void (*body)(void**);
static void** places;

inline void fiber()
{
    body(places);
    fibers[current].state = DONE;
    setcontext(&scheduler);
}

inline uint32_t random_number()
{
    static uint32_t state = 2463534242u;
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state;
}

inline void arrange(std::vector<int>& turn, Order order)
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
    for (Poisonable* array : shared()) array->poison();
    for (int i = 0; i < threads; ++i) {
        Fiber& one = fibers[i];
        one.state = READY, one.shuffles = 0;
        getcontext(&one.context);
        one.context.uc_stack.ss_sp = stacks + i * STACK, one.context.uc_stack.ss_size = STACK;
        one.context.uc_link = nullptr;
        makecontext(&one.context, fiber, 0);
    }
}

inline bool run_block(std::vector<int>& turn, Order order)
{
    begin_block();
    for (int done = 0; done < threads;) {
        bool moved = false;
        arrange(turn, order);
        for (int i : turn) {
            if (fibers[i].state != READY) continue;
            current = i, moved = true;
            place_thread();
            swapcontext(&scheduler, &fibers[i].context);
            if (!error.empty()) return false;
            done += fibers[i].state == DONE;
        }
        if (!release() && !moved) {
            error = "threads wait for ever: not all of a block reach one barrier, or of a warp one shuffle";
            return false;
        }
    }
    return true;
}

}  // namespace shim

#define SHIM_KERNEL(...) &shim::run<&__VA_ARGS__>, shim::kinds(&__VA_ARGS__)
#define KERNELS(...)                         \
    shim::Kernel shim::kernels[] = {__VA_ARGS__}; \
    const int shim::number_of_kernels = sizeof shim::kernels / sizeof *shim::kernels;

extern "C" int find_kernel(const char* name)
{
    for (int i = 0; i < shim::number_of_kernels; ++i)
        if (!strcmp(shim::kernels[i].name, name)) return i;
    return -1;
}

extern "C" const char* kinds_of(int kernel) { return shim::kernels[kernel].kinds.c_str(); }

// Runs blocks first ... last - 1 of a grid (counted with x fastest). `bounds`: begin and end of every array. Returns
// null, or what is wrong.
extern "C" const char* launch(int kernel, const unsigned* grid, const unsigned* block, void** places, void** bounds,
                              int arrays, int order, long long first, long long last)
{
    using namespace shim;
    error.clear(), shim::arrays.clear();
    for (int i = 0; i < arrays; ++i) shim::arrays.push_back({(char*)bounds[2 * i], (char*)bounds[2 * i + 1]});
    gridDim = {grid[0], grid[1], grid[2]}, blockDim = {block[0], block[1], block[2]};
    threads = block[0] * block[1] * block[2];
    if (threads % WARP || threads < 1 || threads > MOST) {
        error = "a block of " + std::to_string(threads) + " threads";
        return error.c_str();
    }
    if (!stacks)
        stacks = (char*)mmap(nullptr, MOST * STACK, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    body = kernels[kernel].run, shim::places = places;
    std::vector<int> turn(threads);
    for (long long b = first; b < last; ++b) {
        blockIdx = {(unsigned)(b % grid[0]), (unsigned)(b / grid[0] % grid[1]), (unsigned)(b / grid[0] / grid[1])};
        if (!run_block(turn, (Order)order)) return error.c_str();
    }
    return nullptr;
}
