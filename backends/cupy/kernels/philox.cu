// What dropout keeps: the decisions that `bertref.dropout` defines, drawn where they are needed.
//
// The generator is Philox4x64-10 (Salmon et al. 2011), as numpy.random.Philox counts: key (seed, stream), counter
// (block, step, example, 0) with blocks from 1. A block is four words of 64 bits, sixteen lanes of 16 bits, lowest first;
// lane j of an example decides its element j, which is kept if the lane is not below the threshold.
//
//     keep_hidden    element j = (token, column) of (length, H)        -> keep[row of the token, column]
//     keep_probs     element j = (head, query, key) of (A, L, L)       -> keep[example, head, query, key] of (B, A, S, S)
//
// keep: one byte an element, 0 or 1. What belongs to padding is not written. Tokens are numbered through the batch, those
// of an example from firsts[example] on; places[token] is its row in the padded layout, (B S); null: the row is the token.
//
// Grid: x the examples; y the blocks of words, one a thread.
#include "half.cuh"

const int OF_A_BLOCK = 16;

struct Words {
    unsigned long long at[4];
};

__device__ inline Words philox(Words counter, unsigned long long key0, unsigned long long key1)
{
    const unsigned long long M0 = 0xD2E7470EE14C6C93ull, M1 = 0xCA5A826395121157ull;
    const unsigned long long W0 = 0x9E3779B97F4A7C15ull, W1 = 0xBB67AE8584CAA73Bull;  // golden ratio, √3 - 1
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const unsigned long long high0 = __umul64hi(M0, counter.at[0]), low0 = M0 * counter.at[0];
        const unsigned long long high1 = __umul64hi(M1, counter.at[2]), low1 = M1 * counter.at[2];
        counter = {high1 ^ counter.at[1] ^ key0, low1, high0 ^ counter.at[3] ^ key1, low0};
        key0 += W0;
        key1 += W1;
    }
    return counter;
}

__device__ inline bool kept(const Words& words, int lane, unsigned threshold)
{
    return (words.at[lane / 4] >> (16 * (lane % 4)) & 0xffff) >= threshold;
}

__global__ void __launch_bounds__(256)
    keep_hidden(Out<unsigned char> keep, In<long long> examples, In<long long> lengths, In<long long> firsts,
                In<long long> places, long long width, unsigned long long seed, unsigned long long stream,
                unsigned long long step, int threshold)
{
    const long long block = (long long)blockIdx.y * blockDim.x + threadIdx.x, count = lengths[blockIdx.x] * width;
    if (block * OF_A_BLOCK >= count) return;
    const unsigned long long example = examples[blockIdx.x];
    const Words words = philox({block + 1ull, step, example, 0}, seed, stream);
    for (int lane = 0; lane < OF_A_BLOCK; ++lane) {
        const long long j = block * OF_A_BLOCK + lane, token = firsts[blockIdx.x] + j / width;
        if (j < count) keep[(places ? places[token] : token) * width + j % width] = kept(words, lane, threshold);
    }
}

__global__ void __launch_bounds__(256)
    keep_probs(Out<unsigned char> keep, In<long long> examples, In<long long> lengths, In<long long> firsts,
               In<long long> places, int heads, int width, unsigned long long seed, unsigned long long stream,
               unsigned long long step, int threshold)
{
    const long long length = lengths[blockIdx.x], count = heads * length * length;
    const long long block = (long long)blockIdx.y * blockDim.x + threadIdx.x;
    if (block * OF_A_BLOCK >= count) return;
    const unsigned long long example = examples[blockIdx.x];
    const Words words = philox({block + 1ull, step, example, 0}, seed, stream);
    for (int lane = 0; lane < OF_A_BLOCK; ++lane) {
        const long long j = block * OF_A_BLOCK + lane;
        if (j >= count) break;
        const long long head = j / (length * length), start = (long long)blockIdx.x * width;
        const long long query = places[firsts[blockIdx.x] + j / length % length] - start;
        const long long key = places[firsts[blockIdx.x] + j % length] - start;
        keep[((blockIdx.x * heads + head) * width + query) * width + key] = kept(words, lane, threshold);
    }
}
