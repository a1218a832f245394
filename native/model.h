// GPT-2's forward pass over ragged batches, on packed weights and paged caches.
//
// Radford et al. 2019, section 2.3. Token ids in; logits, hidden states or sampled tokens out. Knows nothing of text.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "cache.h"
#include "sequence.h"
#include "threads.h"
#include "weights.h"

namespace gpt2lab {

struct ModelConfig {
  int vocab_size, n_positions, n_embd, n_layer, n_head, n_inner;
  Activation activation;
  float layer_norm_epsilon;
  std::vector<float> attention_scale;  // of q . k, one per layer

  int head_dim() const { return n_embd / n_head; }
  CacheShape cache_shape() const { return {n_layer, n_head, head_dim()}; }
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

struct Hidden {  // where to put the hidden state of every token: `layer` blocks applied, the last one normalised by ln_f
  int layer = -1;
  float* out = nullptr;  // (tokens, n_embd)
};

class Model {
 public:
  Model(ModelConfig config, Precision precision, const Kernels& kernels, int threads);

  // Takes a checkpoint's tensor by transformers' name, without "transformer."; shapes have been checked by the caller.
  void set(const std::string& name, const float* data);
  // With a tied head, after the last set().
  bool has_head() const { return head_.packed(); }

  const ModelConfig& config() const { return config_; }
  const Kernels& kernels() const { return kernels_; }
  int threads() const { return team_.size(); }
  std::size_t weight_bytes() const;

  // Runs the spans through the model, extending their caches. Every cache must have room below n_positions.
  void forward(const std::vector<Span>& spans, const LogitsSink& sink, Hidden hidden = {});

  // Feeds all but the last pending token of each sequence, so that forks made afterwards share the work.
  void prefill(const std::vector<Sequence*>& sequences);

  // Up to `steps` steps, none of which begins after `seconds` except the first; returns their number. In each every
  // running sequence goes on by one token, or more where a guess of its lookup holds. Those with more than one token to
  // be read (prompts, windows that moved) read `budget` of them in a step, first come first.
  int decode(const std::vector<Sequence*>& sequences, int steps, int budget, double seconds);

  Sampler& sampler(int rank) { return samplers_[static_cast<std::size_t>(rank)]; }

 private:
  bool step(const std::vector<Sequence*>& sequences, int budget);

  struct Norm {
    Array<float> gain, bias;
  };
  struct Layer {
    Norm ln_1, ln_2;
    Linear c_attn, attn_proj, c_fc, mlp_proj;
    Array<float> bias[4];  // until the weight of the same name arrives
  };
  struct Input {           // what a product reads: floats, or quantised rows
    const float* f32;
    std::ptrdiff_t stride;
    const std::uint8_t* i8;
    const float* scale;
  };
  struct Scratch {
    Array<float> normed;
    Array<std::uint8_t> quantized;
    Array<float> scale;
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

  void set_linear(Linear& linear, Array<float>& bias, bool is_weight, const float* data, int in, int out);
  void reserve(int rows, int wanted);
  void run_chunk(int rank, const Chunk& chunk, const std::vector<Span>& spans, const LogitsSink& sink, Hidden hidden);
  void embed(int rank, const Chunk& chunk);
  void attention(int rank, int layer, const Chunk& chunk, const std::vector<Span>& spans);
  void logits(int rank, const Chunk& chunk, const LogitsSink& sink);
  Input prepare(int rank, const float* source, std::ptrdiff_t stride, int m, const int* pick, const Norm* norm, const Linear& next);
  void product(int rank, const Linear& linear, const Input& input, int m, float* y, Activation activation, bool add);
  void tap(int rank, const Chunk& chunk, Hidden hidden, int layer);

  ModelConfig config_;
  Precision precision_;
  const Kernels& kernels_;
  Team team_;
  std::mutex mutex_;  // one forward at a time

  Linear head_;
  Linear embedding_;  // packed only when the head is not tied to it
  Array<float> wpe_;
  Norm ln_f_;
  std::vector<Layer> layers_;

  Array<float> x_, qkv_, mixed_, inner_, logits_;
  Scratch shared_;
  std::vector<Scratch> private_;
  std::vector<Array<float>> scores_;
  std::vector<Sampler> samplers_;
};

}  // namespace gpt2lab
