// The forward pass: token ids in, final hidden states and logits out. One straight line for all families,
// whose block is attention and a feed-forward; their differences are data in ModelConfig, and tensors that
// are there or not.
//
// Every value depends only on the tokens of its sequence before it, never on how many tokens or sequences are
// processed at once: the products have one order of accumulation (kernels.h), and attention reads keys and
// values back from the cache, rounded as they are there, even within a chunk.
#pragma once

#include <span>
#include <vector>

#include "base/context.h"
#include "kernels/kernels.h"
#include "model/experts.h"
#include "model/kv_view.h"
#include "model/linear_input.h"
#include "model/weights.h"

namespace carat {

/// Most tokens of one call to forward(): enough to reuse each weight often, little enough to stay in cache.
constexpr int64_t max_forward_tokens = 512;

/// What stays the same from call to call.
struct Model {
  const Weights& weights;
  const KernelTable& kernels;
  ActivationScheme scheme;
  Profile* profile = nullptr;
  InputTap* tap = nullptr;  ///< shown what the matrices read
};

/// Of latent attention.
struct LatentScratch {
  std::vector<float> query_latent;  ///< [n, query_rank]
  std::vector<float> queries;       ///< [n, heads, plain + rotary_dim]
  std::vector<float> pairs;         ///< [n, rank + rotary_dim]
  std::vector<float> latent;        ///< [n, rank] normed
  std::vector<float> expanded;      ///< [n, heads, plain + value]
  std::vector<float> values;        ///< [n, heads, value]
  std::vector<float> shown;         ///< [n, plain] or [n, rank] of one head, for a tap
};

/// Work space, grown as needed and reused; n = tokens of the call, those of all segments one after another.
struct ForwardScratch {
  std::vector<float> x;         ///< [n, width] the residual stream
  std::vector<float> h;         ///< [n, width] normed input of an attention or feed-forward, its output
  std::vector<float> q;         ///< [n, heads, head_dim]
  std::vector<float> k, v;      ///< [n, kv_heads, head_dim]
  std::vector<float> attended;  ///< [n, heads, head_dim]
  std::vector<float> gate, up;  ///< [n, feed_forward]
  std::vector<float> cos, sin;  ///< [n, rotary_dim / 2]
  std::vector<float> local_cos, local_sin;  ///< the same for layers with a rotation of their own
  std::vector<AttentionArgs> attend;        ///< one per segment
  ExpertScratch experts;
  LatentScratch latent;
};

/// One sequence's part of a call.
struct ForwardSegment {
  std::span<const int32_t> tokens;  ///< each in [0, vocabulary); may be empty
  int64_t position = 0;             ///< of tokens[0]; kv holds those before it
  std::span<const KvView> kv;       ///< one per layer, with room for position + tokens.size() positions
  int64_t kept = 0;                 ///< hidden states are wanted of its last so many tokens
};

/// Appends keys and values of all tokens to the caches of their segments, which belong to different
/// sequences, and writes the hidden states (after the final norm) of the kept tokens, segment by segment:
/// hidden is [sum of kept, width]. There are at most max_forward_tokens tokens in all. The prefill of one
/// sequence is one segment, a decode step of many sequences is a segment of one token for each; weights are
/// read once either way.
void forward(ThreadPool& pool, const Model& model, ForwardScratch& scratch,
             std::span<const ForwardSegment> segments, float* hidden);

/// The parts of forward(), for whoever holds the residual stream x of many sequences himself and goes through
/// them layer by layer, with the weights of one layer at a time: begin_forward() for the segments of a call,
/// embed(), forward_layer() for each layer in turn, or its four steps one by one, final_norm().
/// model.weights.layers may be empty then. Where all layers but the present one are done with a sequence,
/// the views in segment.kv may all be of the same memory.

/// Makes room in `scratch` and computes the rotations of the segments' positions. Valid until the next call.
void begin_forward(ThreadPool& pool, const ModelConfig& config, std::span<const ForwardSegment> segments,
                   ForwardScratch& scratch);
/// x[n, width] = the embeddings of the tokens.
void embed(ThreadPool& pool, const Weights& weights, std::span<const ForwardSegment> segments, float* x);
/// Layer `layer` with weights w: x is [n, width], and [n, width] after it; or, where only kept tokens matter
/// any more (`kept_only`), [kept, width]. Returns n or kept.
int64_t forward_layer(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer,
                      std::span<const ForwardSegment> segments, bool kept_only, float* x,
                      ForwardScratch& scratch);
/// out[rows, width] = norm(x), with one of the norms of width `width`. out may be x.
void norm(ThreadPool& pool, const Model& model, const float* x, const NormWeights& weights, int64_t rows,
          float* out);
/// The same with the output norm: what output_logits() takes.
void final_norm(ThreadPool& pool, const Model& model, const float* x, int64_t rows, float* out);

/// The steps of a layer, in this order; where attention and feed-forward are parallel,
/// layer_attention_output() comes last. First: scratch.attended[rows, heads, head_dim] = attention(q, k, v of
/// norm(x)), keys and values appended to the caches. Returns rows, n or kept; with kept_only, x becomes
/// [kept, width].
int64_t layer_attention(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer,
                        std::span<const ForwardSegment> segments, bool kept_only, float* x,
                        ForwardScratch& scratch);
/// x += attention_output(scratch.attended)
void layer_attention_output(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer,
                            int64_t rows, float* x, ForwardScratch& scratch);
/// scratch.gate[rows, feed_forward] = activation(gate(norm(x))) * up(norm(x)), or activation(up(norm(x)))
void layer_gated(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer, int64_t rows,
                 const float* x, ForwardScratch& scratch);
/// x += down(scratch.gate)
void layer_down(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer, int64_t rows,
                float* x, ForwardScratch& scratch);

/// The last two where the layer is a mixture: x += the sum of what the experts of each token give, and of
/// what the shared ones give. A token's experts are added up in the order of their numbers, whatever other
/// tokens there are.
void layer_experts(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer, int64_t rows,
                   float* x, ForwardScratch& scratch);

/// Parts of layer_experts(), for whoever wants what single matrices read. Any number of rows of x, which
/// stays as it is; begin_forward() is not needed. scratch.experts.chosen[rows, experts.used] = the experts of
/// each row, in ascending order
void layer_routes(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer, int64_t rows,
                  const float* x, ForwardScratch& scratch);
/// scratch.gate[rows, experts.feed_forward] = what an expert's down matrix reads of these rows, whether or
/// not they are routed to it
void expert_gated(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer, int64_t expert,
                  int64_t rows, const float* x, ForwardScratch& scratch);
/// scratch.gate[rows, experts.shared_feed_forward] = what the shared experts' down matrix reads
void shared_gated(ThreadPool& pool, const Model& model, const LayerWeights& w, int64_t layer, int64_t rows,
                  const float* x, ForwardScratch& scratch);

/// logits[rows, vocabulary] of hidden states [rows, width], scaled and capped as the model has it.
void output_logits(ThreadPool& pool, const Model& model, const float* hidden, int64_t rows, float* logits);

}  // namespace carat
