// GPT-2's forward pass over ragged batches, on packed weights and paged caches.
//
// Radford et al. 2019, section 2.3. Token ids in; logits, hidden states or sampled tokens out. Knows nothing of text.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "cache.h"
#include "pages.h"
#include "sequence.h"
#include "threads.h"
#include "weights.h"

namespace gpt2lab {

struct ModelConfig {
  int vocab_size, n_positions, n_embd, n_layer, n_head, n_inner;
  int max_relative_position;           // distances that have a vector beside the keys; 0: none
  Activation activation;
  float layer_norm_epsilon;
  std::vector<float> attention_scale;  // of q . k, one per layer
  bool tied;                           // the head's weights are the embedding's
  Precision precision;
  CacheFormat cache_format;

  int head_dim() const { return n_embd / n_head; }
  CacheShape cache_shape() const { return {n_layer, n_head, head_dim(), cache_format}; }
};

// New tokens of one sequence, to be placed behind what its cache holds.
struct Span {
  Cache* cache;
  const int* ids;
  int count;
  int wanted;  // of how many tokens, the last ones, the logits are wanted
};

// Receives finished logits on every member of the team, a part of them at a time. `row[i]` numbers logits + i * stride
// among the wanted ones of all spans.
using LogitsSink = std::function<void(int rank, int members, int count, const int* row, const float* logits, std::ptrdiff_t stride)>;

// Where to put what passes by of every token, in the order of the tokens; nowhere where null.
struct Taps {
  int layer = -1;           // `hidden`: the state after so many blocks, the last one normalised by ln_f
  float* hidden = nullptr;  // (tokens, n_embd)
  std::size_t tokens = 0;
  float* stream = nullptr;  // (n_layer + 1, tokens, n_embd): what each block is given and the last one leaves, not normalised
  float* qkv = nullptr;     // (n_layer, tokens, 3 n_embd): queries, keys and values
};

class Model {
 public:
  // Without `packed`, the weights have to be set() one by one; with it, they lie there, size() bytes that someone keeps alive
  // and that another model of this configuration has packed.
  Model(ModelConfig config, const Kernels& kernels, int threads, const std::byte* packed);

  // Takes a checkpoint's tensor by transformers' name, without "transformer."; shapes have been checked by the caller.
  // The layer norms come before the weights that they feed.
  void set(const std::string& name, const float* data);

  const ModelConfig& config() const { return config_; }
  const Kernels& kernels() const { return kernels_; }
  int threads() const { return team_.size(); }
  Cache new_cache() const { return Cache(config_.cache_shape(), cache_pages_); }
  std::size_t waiting_pages() const { return cache_pages_->waiting(); }
  const Arena& arena() const { return arena_; }
  std::size_t weight_bytes() const;  // read by one step of decoding

  // Runs the spans through the model, extending their caches. Every cache must have room below n_positions.
  void forward(const std::vector<Span>& spans, const LogitsSink& sink, const Taps& taps = {});

  // The logits of `count` states, (count, n_embd), that a block has left: what the model would say if its work ended there.
  void read(const float* states, int count, const LogitsSink& sink);

  // Feeds all but the last pending token of each sequence, so that forks made afterwards share the work.
  void prefill(const std::vector<Sequence*>& sequences);

  // Up to `steps` steps, none of which begins after `seconds`, or after a sequence has ended (another may take its place), except
  // the first; returns their number. In each every
  // running sequence goes on by one token, or more where a guess of its lookup holds. Those with more than one token to
  // be read (prompts, windows that moved) read `budget` of them in a step, first come first.
  int decode(const std::vector<Sequence*>& sequences, int steps, int budget, double seconds);

  Sampler& sampler(int rank) { return samplers_[static_cast<std::size_t>(rank)]; }

 private:
  bool step(const std::vector<Sequence*>& sequences, int budget);

  struct Norm {
    Floats gain, bias;
  };
  struct Layer {
    Norm ln_1, ln_2;
    Linear c_attn, attn_proj, c_fc, mlp_proj;
    std::vector<Linear> relative;  // of each head: query . vector of the distance, the farthest distance first
  };
  struct Scratch {
    Array<float> normed;
    RowBuffer rows;
  };
  struct Piece {           // part of a span inside the chunk being computed
    int span, offset, count, first_row, position;
  };
  struct Chunk {
    std::vector<Piece> pieces;
    std::vector<int> token, position;   // of each row
    std::vector<int> wanted, wanted_id; // rows whose logits are wanted, and their numbers for the sink
    int first_token = 0;                // number of row 0 over all spans
    int rows() const { return static_cast<int>(token.size()); }
  };

  void lay_out();
  void lay_out(Norm& norm);
  void set(const Norm& norm, bool is_gain, const float* data) { (is_gain ? norm.gain : norm.bias).fill(arena_, data); }
  void set(const Linear& linear, bool is_weight, bool out_major, const Norm* feeder, const float* data);
  void reserve(int rows, int wanted);
  void settle(double worked);
  void run_chunk(int rank, const Chunk& chunk, const std::vector<Span>& spans, const LogitsSink& sink, const Taps& taps);
  void embed(int rank, const Chunk& chunk);
  void gather(const Chunk& chunk);
  void attention(int rank, int layer, const Chunk& chunk, const std::vector<Span>& spans, bool only_wanted);
  void attention(int rank, int layer, int head, const Piece& piece, int asked, Cache& cache);
  void relate(int rank, const Linear& relative, const float* queries, int count, int position);
  void logits(int rank, const Chunk& chunk, const int* pick, const LogitsSink& sink);
  Inputs prepare(int rank, const float* source, std::ptrdiff_t stride, int m, const int* pick, const Norm* norm, const Linear& next);
  void product(int rank, const Linear& linear, const Inputs& inputs, int m, float* y, Activation activation, bool add);
  void tap(int rank, const Chunk& chunk, const Taps& taps, int layer) const;
  void tap_qkv(int rank, const Chunk& chunk, const Taps& taps, int layer) const;

  // A page more than the positions need: rows a power of two apart would all fall into the same lines of the cache.
  int score_stride() const { return round_up(config_.n_positions, kPage) + kPage; }
  void normalize(const Norm& norm, const float* x, float* y) const;

  ModelConfig config_;
  const Kernels& kernels_;
  Team team_;
  std::mutex mutex_;  // one forward at a time
  std::shared_ptr<PagePool> cache_pages_;

  Arena arena_;
  HugePages pages_;   // of an arena that is another's
  int forwards_ = 0;      // up to kFewForwards
  double credit_ = 0.0;   // seconds that moving them may take
  Linear head_;
  Linear embedding_;  // exists only when the head is not tied to it
  Floats wpe_;
  Norm ln_f_;
  std::vector<Layer> layers_;

  Array<float> x_, qkv_, mixed_, inner_, logits_;
  Scratch shared_;
  std::vector<Scratch> private_;
  std::vector<Array<float>> scores_;              // kQueryRows rows of n_positions, one array a thread
  std::vector<Array<float>> related_, bias_;      // of relative attention: kQueryRows rows of its products, and of those in place
  std::vector<Array<std::byte>> rounded_;         // Attend::rounded, and a key and a value on their way into the cache
  std::vector<Sampler> samplers_;
};

}  // namespace gpt2lab
