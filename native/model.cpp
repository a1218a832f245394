#include "model.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

namespace gpt2lab {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr int kChunkRows = 512;   // tokens computed together; bounds the scratch memory of a prompt of any length
constexpr double kRowCost = 0.25; // of one more row in a step, over that of the weights which all rows share; guides guessing alone
constexpr int kFewForwards = 64;  // after which weights are worth a copy on huge pages,
constexpr int kFewRows = 64;      // each of no more rows: with more, products take much longer than reading what they multiply,
constexpr double kMovingShare = 0.1;  // of the time that a model works, for making it: new memory can be slow to come by
constexpr std::size_t kKeptPageBytes = std::size_t{64} << 20;  // of cache pages nobody uses; at least one text's whole window
constexpr int kRowsAhead = 6;    // of a prompt's queries, keys and values, asked for before they are needed
constexpr int kPrivateRows = 4;   // up to here every thread normalises all rows for itself, which saves a barrier

}  // namespace

Model::Model(ModelConfig config, const Kernels& kernels, int threads, const std::byte* packed)
    : config_(std::move(config)), kernels_(kernels), team_(threads) {
  const std::size_t page_bytes = config_.cache_shape().page_bytes();
  const std::size_t window = static_cast<std::size_t>(round_up(config_.n_positions, kPage) / kPage);
  cache_pages_ = std::make_shared<PagePool>(page_bytes, std::max(window, kKeptPageBytes / page_bytes));
  lay_out();
  if (packed) arena_.adopt(packed);
  else arena_.allocate();
  const auto members = static_cast<std::size_t>(team_.size());
  private_.resize(members);
  scores_.resize(members);
  related_.resize(members);
  bias_.resize(members);
  rounded_.resize(members);
  for (std::size_t i = 0; i < members; ++i) {
    samplers_.emplace_back(kernels_);
    scores_[i].resize(static_cast<std::size_t>(score_stride()) * kQueryRows);
    if (config_.max_relative_position > 0) {
      related_[i].resize(static_cast<std::size_t>(round_up(config_.max_relative_position, kPanel)) * kQueryRows);
      bias_[i].resize(static_cast<std::size_t>(score_stride()) * kQueryRows);
    }
    rounded_[i].resize(attend_bytes(config_.cache_format, config_.head_dim(), score_stride()));
  }
}

void Model::lay_out(Norm& norm) {
  norm.gain.lay_out(arena_, static_cast<std::size_t>(config_.n_embd));
  norm.bias.lay_out(arena_, static_cast<std::size_t>(config_.n_embd));
}

void Model::lay_out() {
  const int c = config_.n_embd;
  const Precision precision = config_.precision;
  layers_.resize(static_cast<std::size_t>(config_.n_layer));
  for (auto& layer : layers_) {
    lay_out(layer.ln_1);
    layer.c_attn.lay_out(arena_, c, 3 * c, true, precision);
    layer.attn_proj.lay_out(arena_, c, c, true, precision);
    lay_out(layer.ln_2);
    layer.c_fc.lay_out(arena_, c, config_.n_inner, true, precision);
    layer.mlp_proj.lay_out(arena_, config_.n_inner, c, true, precision);
    if (config_.max_relative_position > 0) layer.relative.resize(static_cast<std::size_t>(config_.n_head));
    for (auto& relative : layer.relative) relative.lay_out(arena_, config_.head_dim(), config_.max_relative_position, false, Precision::fp32);
  }
  lay_out(ln_f_);
  head_.lay_out(arena_, c, config_.vocab_size, false, precision);
  if (!config_.tied) embedding_.lay_out(arena_, c, config_.vocab_size, false, precision);
  wpe_.lay_out(arena_, static_cast<std::size_t>(c) * static_cast<std::size_t>(config_.n_positions));
}

// `feeder` is the layer norm whose output the layer reads: it tells how large the inputs are on average, E[x^2] = gain^2 +
// bias^2, and so how much an error in the weights of each matters.
void Model::set(const Linear& linear, bool is_weight, bool out_major, const Norm* feeder, const float* data) {
  if (!is_weight) return linear.set_bias(arena_, data);
  std::vector<float> importance;
  if (feeder) {
    const float *gain = feeder->gain.in(arena_), *bias = feeder->bias.in(arena_);
    for (int i = 0; i < config_.n_embd; ++i) importance.push_back(gain[i] * gain[i] + bias[i] * bias[i]);
  }
  team_.run([&](int rank) {
    const Share share = share_of(linear.panels(), rank, team_.size());
    linear.pack(arena_, data, out_major, feeder ? importance.data() : nullptr, share.first, share.last);
  });
}

void Model::set(const std::string& name, const float* data) {
  if (!arena_.owned()) throw std::logic_error("the weights are another's and cannot be set");
  if (name == "wte.weight") return set(config_.tied ? head_ : embedding_, true, true, config_.tied ? &ln_f_ : nullptr, data);
  if (name == "lm_head.weight") return set(head_, true, true, &ln_f_, data);
  if (name == "wpe.weight") return wpe_.fill(arena_, data);
  if (name == "ln_f.weight" || name == "ln_f.bias") return set(ln_f_, name == "ln_f.weight", data);
  const std::size_t dot = name.find('.', 2);
  if (name.compare(0, 2, "h.") != 0 || dot == std::string::npos) throw std::logic_error("unknown tensor " + name);
  const Layer& layer = layers_.at(static_cast<std::size_t>(std::stoi(name.substr(2, dot - 2))));
  const std::string rest = name.substr(dot + 1);
  const bool is_weight = rest.size() > 7 && rest.compare(rest.size() - 7, 7, ".weight") == 0;
  const std::string part = rest.substr(0, rest.rfind('.'));
  if (rest == "attn.relative_keys" && !layer.relative.empty()) {
    const auto distances = static_cast<std::size_t>(config_.max_relative_position), width = static_cast<std::size_t>(config_.head_dim());
    std::vector<float> farthest_first(distances * width);
    for (const Linear& relative : layer.relative) {
      for (std::size_t i = 0; i < distances; ++i, data += width)
        std::copy(data, data + width, farthest_first.data() + (distances - 1 - i) * width);
      relative.pack(arena_, farthest_first.data(), true, nullptr, 0, relative.panels());
    }
    return;
  }
  if (part == "ln_1") return set(layer.ln_1, is_weight, data);
  if (part == "ln_2") return set(layer.ln_2, is_weight, data);
  if (part == "attn.c_attn") return set(layer.c_attn, is_weight, false, &layer.ln_1, data);
  if (part == "attn.c_proj") return set(layer.attn_proj, is_weight, false, nullptr, data);
  if (part == "mlp.c_fc") return set(layer.c_fc, is_weight, false, &layer.ln_2, data);
  if (part == "mlp.c_proj") return set(layer.mlp_proj, is_weight, false, nullptr, data);
  throw std::logic_error("unknown tensor " + name);
}

std::size_t Model::weight_bytes() const {
  std::size_t total = head_.bytes();
  for (const auto& layer : layers_)
    total += layer.c_attn.bytes() + layer.attn_proj.bytes() + layer.c_fc.bytes() + layer.mlp_proj.bytes();
  return total;
}

void Model::reserve(int rows, int wanted) {
  const auto m = static_cast<std::size_t>(rows);
  const int widest = round_up(std::max(config_.n_embd, config_.n_inner), kPanel);
  const Layer& layer = layers_.front();
  x_.at_least(m * static_cast<std::size_t>(layer.attn_proj.stride()));
  qkv_.at_least(m * static_cast<std::size_t>(layer.c_attn.stride()));
  mixed_.at_least(m * static_cast<std::size_t>(layer.attn_proj.stride()));
  inner_.at_least(m * static_cast<std::size_t>(layer.c_fc.stride()));
  logits_.at_least(static_cast<std::size_t>(wanted) * static_cast<std::size_t>(head_.stride()));
  const auto scratch = [&](Scratch& s, int n) {
    s.normed.at_least(static_cast<std::size_t>(n) * static_cast<std::size_t>(widest));
    s.rows.reserve(config_.precision, n, widest);
  };
  scratch(shared_, std::max(rows, wanted));
  for (auto& s : private_) scratch(s, kPrivateRows);
}

void Model::forward(const std::vector<Span>& spans, const LogitsSink& sink, const Taps& taps) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto started = Clock::now();
  int span = 0, offset = 0, done = 0, numbered = 0;
  const auto n_spans = static_cast<int>(spans.size());
  while (span < n_spans) {
    Chunk chunk;
    chunk.first_token = done;
    while (span < n_spans && chunk.rows() < kChunkRows) {
      const Span& s = spans[static_cast<std::size_t>(span)];
      const int count = std::min(s.count - offset, kChunkRows - chunk.rows());
      const Piece piece{span, offset, count, chunk.rows(), s.cache->length()};
      for (int i = 0; i < count; ++i) {
        if (offset + i >= s.count - s.wanted) {
          chunk.wanted.push_back(chunk.rows());
          chunk.wanted_id.push_back(numbered++);
        }
        chunk.token.push_back(s.ids[offset + i]);
        chunk.position.push_back(piece.position + i);
      }
      s.cache->extend(count);
      chunk.pieces.push_back(piece);
      offset += count;
      if (offset == s.count) {
        ++span;
        offset = 0;
      }
    }
    done += chunk.rows();
    reserve(chunk.rows(), static_cast<int>(chunk.wanted.size()));
    team_.run([&](int rank) { run_chunk(rank, chunk, spans, sink, taps); });
  }
  if (done <= kFewRows) settle(seconds_since(started));
}

// Moves some of the weights from a mapped file to huge pages, once it is clear that the model is here to work.
void Model::settle(double worked) {
  if (arena_.owned()) return;
  if (forwards_ < kFewForwards && ++forwards_ == kFewForwards) pages_.plan(arena_.data(), arena_.size());
  if (!pages_.unfinished()) return;
  for (credit_ += kMovingShare * worked; credit_ > 0.0 && pages_.unfinished();) {
    const auto started = Clock::now();
    pages_.move();
    credit_ -= seconds_since(started);
  }
}

void Model::run_chunk(int rank, const Chunk& chunk, const std::vector<Span>& spans, const LogitsSink& sink, const Taps& taps) {
  const int m = chunk.rows();
  embed(rank, chunk);
  tap(rank, chunk, taps, 0);
  const auto wanted = static_cast<int>(chunk.wanted.size());
  const bool few = wanted < m && taps.layer != config_.n_layer && !taps.stream;
  for (int l = 0; l < config_.n_layer; ++l) {
    const Layer& layer = layers_[static_cast<std::size_t>(l)];
    const std::ptrdiff_t width = layer.attn_proj.stride();
    product(rank, layer.c_attn, prepare(rank, x_.data(), width, m, nullptr, &layer.ln_1, layer.c_attn), m, qkv_.data(), Activation::none, false);
    tap_qkv(rank, chunk, taps, l);
    // What the last layer makes of a row, but for its key and its value, serves that row's logits alone. Where few rows' are
    // wanted, only those go on, as the first ones.
    const bool fewer = few && l + 1 == config_.n_layer;
    if (fewer && rank == 0) gather(chunk);
    attention(rank, l, chunk, spans, fewer);
    if (fewer && wanted == 0) return;
    const int rows = fewer ? wanted : m;
    const int* pick = fewer ? chunk.wanted.data() : nullptr;
    product(rank, layer.attn_proj, prepare(rank, mixed_.data(), width, rows, pick, nullptr, layer.attn_proj), rows, x_.data(), Activation::none, true);
    product(rank, layer.c_fc, prepare(rank, x_.data(), width, rows, nullptr, &layer.ln_2, layer.c_fc), rows, inner_.data(), config_.activation, false);
    product(rank, layer.mlp_proj, prepare(rank, inner_.data(), layer.c_fc.stride(), rows, nullptr, nullptr, layer.mlp_proj), rows, x_.data(), Activation::none, true);
    if (l + 1 < config_.n_layer) tap(rank, chunk, taps, l + 1);
  }
  tap(rank, chunk, taps, config_.n_layer);
  if (wanted > 0) logits(rank, chunk, few ? nullptr : chunk.wanted.data(), sink);
}

// Puts the rows whose logits are wanted first.
void Model::gather(const Chunk& chunk) {
  const std::ptrdiff_t width = layers_.front().attn_proj.stride();
  for (std::size_t i = 0; i < chunk.wanted.size(); ++i) {  // which are in order, so that none is overwritten before its turn
    const float* row = x_.data() + chunk.wanted[i] * width;
    std::copy(row, row + width, x_.data() + static_cast<std::ptrdiff_t>(i) * width);
  }
}

void Model::embed(int rank, const Chunk& chunk) {
  const auto c = static_cast<std::size_t>(config_.n_embd);
  const std::ptrdiff_t width = layers_.front().attn_proj.stride();
  const Linear& table = embedding_.exists() ? embedding_ : head_;
  team_.divide(rank, chunk.rows(), [&](int first, int last) {
    for (int r = first; r < last; ++r) {
      float* x = x_.data() + r * width;
      const float* position = wpe_.in(arena_) + static_cast<std::size_t>(chunk.position[static_cast<std::size_t>(r)]) * c;
      std::copy(position, position + c, x);
      std::fill(x + c, x + width, 0.0f);
      table.add_row(arena_, chunk.token[static_cast<std::size_t>(r)], x);
    }
  });
}

void Model::normalize(const Norm& norm, const float* x, float* y) const {
  kernels_.layer_norm(x, norm.gain.in(arena_), norm.bias.in(arena_), config_.layer_norm_epsilon, config_.n_embd, y);
}

// Rows ready for `next`: picked, normalised and rounded as asked. Threads share the work and meet, or each does it all.
Inputs Model::prepare(int rank, const float* source, std::ptrdiff_t stride, int m, const int* pick, const Norm* norm, const Linear& next) {
  const bool rounded = config_.precision != Precision::fp32;
  if (!norm && !rounded && !pick) return {source, stride, nullptr, {}};
  const bool alone = m <= kPrivateRows;
  Scratch& scratch = alone ? private_[static_cast<std::size_t>(rank)] : shared_;
  const auto ready = [&](int first, int last) {
    for (int r = first; r < last; ++r) {
      const float* row = source + (pick ? pick[r] : r) * stride;
      if (norm) {
        float* y = scratch.normed.data() + r * stride;
        normalize(*norm, row, y);
        row = y;
      }
      if (rounded) next.prepare(kernels_, row, scratch.rows, r);
      else if (!norm) std::copy(row, row + stride, scratch.normed.data() + r * stride);
    }
  };
  if (alone) ready(0, m);
  else team_.divide(rank, m, ready);
  return rounded ? next.prepared(scratch.rows) : Inputs{scratch.normed.data(), stride, nullptr, {}};
}

void Model::product(int rank, const Linear& linear, const Inputs& inputs, int m, float* y, Activation activation, bool add) {
  team_.divide(rank, linear.panels(), [&](int first, int last) { linear.apply(arena_, kernels_, inputs, m, y, activation, add, first, last); });
}

void Model::attention(int rank, int layer, const Chunk& chunk, const std::vector<Span>& spans, bool only_wanted) {
  team_.divide(rank, static_cast<int>(chunk.pieces.size()) * config_.n_head, [&](int first, int last) {
    for (int task = first; task < last; ++task) {
      const Piece& piece = chunk.pieces[static_cast<std::size_t>(task / config_.n_head)];
      const Span& span = spans[static_cast<std::size_t>(piece.span)];
      const int asked = only_wanted ? std::clamp(span.count - span.wanted - piece.offset, 0, piece.count) : 0;
      attention(rank, layer, task % config_.n_head, piece, asked, *span.cache);
    }
  });
}

// One head of one piece: stores its keys and values, then answers its queries from `asked` on.
void Model::attention(int rank, int layer, int head, const Piece& piece, int asked, Cache& cache) {
  const int c = config_.n_embd, head_dim = config_.head_dim();
  const CacheShape shape = config_.cache_shape();
  const std::ptrdiff_t qkv_stride = layers_.front().c_attn.stride(), width = layers_.front().attn_proj.stride();
  const float* queries = qkv_.data() + piece.first_row * qkv_stride + head * head_dim;
  for (int i = 0; i < piece.count; ++i) {
    const float* row = queries + i * qkv_stride;
    if (i + kRowsAhead < piece.count)  // a head's part of a row is too short for the processor to see the next one coming
      for (int d = 0; d < head_dim; d += 16)
        for (int part = 0; part < 3; ++part) __builtin_prefetch(row + kRowsAhead * qkv_stride + part * c + d);
    cache.write(kernels_, layer, head, piece.position + i, row + c, row + 2 * c, rounded_[static_cast<std::size_t>(rank)].data());
  }
  if (asked == piece.count) return;
  const auto attend = shape.format == CacheFormat::fp32 ? kernels_.attend_f32 : shape.format == CacheFormat::bf16 ? kernels_.attend_bf16 : kernels_.attend_i8;
  const std::vector<Linear>& relative = layers_[static_cast<std::size_t>(layer)].relative;
  const int step = relative.empty() ? piece.count : kQueryRows;
  for (int i = asked; i < piece.count; i += step) {
    const int count = std::min(step, piece.count - i);
    if (!relative.empty()) relate(rank, relative[static_cast<std::size_t>(head)], queries + i * qkv_stride, count, piece.position + i);
    attend({queries + i * qkv_stride, qkv_stride, count, cache.page_table(), shape.key_offset(layer, head), shape.value_offset(layer, head),
            piece.position + i + 1, head_dim, shape.value_stride(), config_.attention_scale[static_cast<std::size_t>(layer)],
            scores_[static_cast<std::size_t>(rank)].data(), score_stride(), rounded_[static_cast<std::size_t>(rank)].data(),
            mixed_.data() + (piece.first_row + i) * width + head * head_dim, width, nullptr, nullptr,
            relative.empty() ? nullptr : bias_[static_cast<std::size_t>(rank)].data(), score_stride()});
  }
}

// What each of `count` queries from `position` on adds to its scores for the distance of every position that it sees (Huang et
// al. 2018, section 3.4). All positions farther away than the last distance with a vector share that one.
void Model::relate(int rank, const Linear& relative, const float* queries, int count, int position) {
  const int farthest = config_.max_relative_position - 1;
  float* products = related_[static_cast<std::size_t>(rank)].data();
  const int needed = farthest - std::min(position + count - 1, farthest);  // the first product that any of them needs
  relative.apply(arena_, kernels_, {queries, layers_.front().c_attn.stride(), nullptr, {}}, count, products, Activation::none, false, needed / kPanel,
                 relative.panels());
  for (int i = 0; i < count; ++i) {
    const int own = position + i;  // at distance 0, the last product
    const float* row = products + i * relative.stride();
    float* bias = bias_[static_cast<std::size_t>(rank)].data() + static_cast<std::ptrdiff_t>(i) * score_stride();
    const int shared = std::max(0, own - farthest);
    std::fill(bias, bias + shared, row[0]);
    std::copy(row + farthest - (own - shared), row + farthest + 1, bias + shared);
  }
}

// Of the rows that `pick` names, or the first ones where it names none.
void Model::logits(int rank, const Chunk& chunk, const int* pick, const LogitsSink& sink) {
  const auto count = static_cast<int>(chunk.wanted.size());
  product(rank, head_, prepare(rank, x_.data(), layers_.front().attn_proj.stride(), count, pick, &ln_f_, head_), count, logits_.data(), Activation::none, false);
  sink(rank, team_.size(), count, chunk.wanted_id.data(), logits_.data(), head_.stride());
}

void Model::tap(int rank, const Chunk& chunk, const Taps& taps, int layer) const {
  if (taps.layer != layer && !taps.stream) return;
  const auto c = static_cast<std::size_t>(config_.n_embd);
  const Share share = share_of(chunk.rows(), rank, team_.size());
  for (int r = share.first; r < share.last; ++r) {
    const float* x = x_.data() + r * layers_.front().attn_proj.stride();
    const std::size_t token = static_cast<std::size_t>(chunk.first_token) + static_cast<std::size_t>(r);
    if (taps.stream) std::copy(x, x + c, taps.stream + (static_cast<std::size_t>(layer) * taps.tokens + token) * c);
    if (taps.layer != layer) continue;
    float* out = taps.hidden + token * c;
    if (layer == config_.n_layer) normalize(ln_f_, x, out);
    else std::copy(x, x + c, out);
  }
}

void Model::tap_qkv(int rank, const Chunk& chunk, const Taps& taps, int layer) const {
  if (!taps.qkv) return;
  const auto width = static_cast<std::size_t>(config_.n_embd) * 3;
  const Share share = share_of(chunk.rows(), rank, team_.size());
  for (int r = share.first; r < share.last; ++r) {
    const float* row = qkv_.data() + r * layers_.front().c_attn.stride();
    const std::size_t token = static_cast<std::size_t>(chunk.first_token) + static_cast<std::size_t>(r);
    std::copy(row, row + width, taps.qkv + (static_cast<std::size_t>(layer) * taps.tokens + token) * width);
  }
}

void Model::read(const float* states, int count, const LogitsSink& sink) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto c = static_cast<std::size_t>(config_.n_embd);
  const std::ptrdiff_t width = layers_.front().attn_proj.stride();
  for (int done = 0; done < count; done += kChunkRows) {
    Chunk chunk;
    const int rows = std::min(kChunkRows, count - done);
    reserve(rows, rows);
    for (int r = 0; r < rows; ++r) {
      const float* state = states + static_cast<std::size_t>(done + r) * c;
      std::copy(state, state + c, x_.data() + r * width);
      std::fill(x_.data() + r * width + c, x_.data() + (r + 1) * width, 0.0f);
      chunk.wanted.push_back(r);
      chunk.wanted_id.push_back(done + r);
    }
    team_.run([&](int rank) { logits(rank, chunk, nullptr, sink); });
  }
}

void Model::prefill(const std::vector<Sequence*>& sequences) {
  std::vector<Span> spans;
  for (Sequence* s : sequences) {
    const auto [ids, count] = s->pending();
    if (count > 1) spans.push_back({&s->cache(), ids, count - 1, 0});
  }
  forward(spans, {});
}

int Model::decode(const std::vector<Sequence*>& sequences, int steps, int budget, double seconds) {
  const auto started = Clock::now();
  const auto running = [&] { return std::count_if(sequences.begin(), sequences.end(), [](const Sequence* s) { return s->running(); }); };
  const auto begun = running();
  for (int taken = 0; taken < steps; ++taken) {
    if (taken > 0 && (seconds_since(started) >= seconds || running() < begun)) return taken;
    if (!step(sequences, budget)) return taken;
  }
  return steps;
}

// Returns whether there was anything left to compute.
bool Model::step(const std::vector<Sequence*>& sequences, int budget) {
  std::vector<Sequence*> fed, owner;  // owner[row] for each wanted row
  std::vector<Span> spans;
  const auto running = std::count_if(sequences.begin(), sequences.end(), [](const Sequence* s) { return s->running(); });
  const double cost = kRowCost * static_cast<double>(running);
  for (Sequence* s : sequences) {
    if (!s->running()) continue;
    const Feed feed = s->next(budget, cost / (1.0 + cost));
    if (feed.count == 0) continue;
    fed.push_back(s);
    spans.push_back({&s->cache(), feed.ids, feed.count, feed.wanted});
    owner.insert(owner.end(), static_cast<std::size_t>(feed.wanted), s);
  }
  if (spans.empty()) return false;
  forward(spans, [&](int rank, int members, int count, const int* row, const float* logits, std::ptrdiff_t stride) {
    const auto of = [&](int i) { return owner[static_cast<std::size_t>(row[i])]; };
    const auto whole = [&](int cut) {  // rows of one sequence follow each other on one thread
      while (cut > 0 && cut < count && of(cut) == of(cut - 1)) ++cut;
      return cut;
    };
    const Share share = share_of(count, rank, members);
    for (int i = whole(share.first); i < whole(share.last); ++i) of(i)->accept(logits + i * stride, config_.vocab_size, sampler(rank), kernels_);
  });
  for (Sequence* s : fed) s->settle();
  return true;
}

}  // namespace gpt2lab
