// Runs attention as tasks of up to Table::query_rows query rows, which take keys and values in blocks of at
// most kBlockKeys with a running softmax. Blocks are cut from a segment's first key on, so that a row's
// result depends on its own segment alone. So are spans of kSpanBlocks blocks: each has a running softmax of
// its own, and what they come to is put together in their order. Threads may therefore take the spans of one
// long sequence, and the bits are those of one thread.
#include "kernels/cpu/attention.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/kv_pages.h"

namespace uhd::cpu {
namespace {

constexpr int64_t kMaxHead = 512;

constexpr int64_t kSpanBlocks = 8;

// SoftmaxSums are what a running softmax has come to: for some rows, sums of values [rows][D, padded] under
// weights e^(score − maximum), and the weights' totals.
struct SoftmaxSums {
  float* sums;
  float* maxima;  // −∞: a row that saw no key
  float* totals;

  static int64_t floats(int64_t rows, int64_t padded) { return rows * (padded + 2); }
  static SoftmaxSums in(float* memory, int64_t rows, int64_t padded) {
    return {memory, memory + rows * padded, memory + rows * (padded + 1)};
  }
  void clear(int64_t rows, int64_t padded) const {
    std::fill_n(sums, rows * padded, 0.0f);
    std::fill_n(maxima, rows, -std::numeric_limits<float>::infinity());
    std::fill_n(totals, rows, 0.0f);
  }
};

// A TaskState is the running softmax of one task, on its thread's stack.
class TaskState {
 public:
  TaskState(const Table& table, int64_t rows, int64_t d, bool pairs, float scale)
      : table_(table), d_(d), padded_(round_up(d, 16)), pairs_(pairs) {
    state_ = {.q = q_,
              .q_stride = pairs ? padded_ / 2 : padded_,
              .q_units = pairs ? (d + 1) / 2 : d,
              .rows = rows,
              .limit = limit_,
              .sums = nullptr,
              .maxima = nullptr,
              .totals = nullptr,
              .scale = scale};
    all_ = SoftmaxSums::in(all_memory_, rows, padded_);
    all_.clear(rows, padded_);
  }

  // Row r is x [D] and sees keys below limit.
  void set_row(int64_t r, const float* x, int64_t limit) {
    limit_[r] = limit;
    float* to = q_ + r * state_.q_stride;
    if (!pairs_) {
      std::memcpy(to, x, static_cast<size_t>(d_) * 4);
      return;
    }
    uint16_t* units = reinterpret_cast<uint16_t*>(to);
    table_.to_bf16(units, x, d_);
    if (d_ % 2 != 0) units[d_] = 0;
  }

  // The blocks of the next span, which attend() takes in `body`.
  template <class Body>
  void span(const Body& body) {
    if (spans_ == 0) {
      span_into(all_, body);
    } else {
      const SoftmaxSums part = SoftmaxSums::in(part_memory_, state_.rows, padded_);
      part.clear(state_.rows, padded_);
      span_into(part, body);
      join(part);
    }
    ++spans_;
  }

  // The same into sums of the caller's, which join() takes later.
  template <class Body>
  void span_into(SoftmaxSums sums, const Body& body) {
    state_.sums = sums.sums;
    state_.maxima = sums.maxima;
    state_.totals = sums.totals;
    body();
  }

  void attend(const KeyBlock& block) {
    if (pairs_)
      table_.attend_bf16(state_, block);
    else
      table_.attend_f32(state_, block);
  }

  // Joins what the next span came to to the rest, and overwrites it.
  void join(SoftmaxSums part) {
    for (int64_t r = 0; r < state_.rows; ++r) {
      float* to = all_.sums + r * padded_;
      float* from = part.sums + r * padded_;
      if (part.maxima[r] == -std::numeric_limits<float>::infinity()) continue;
      const float now = std::max(all_.maxima[r], part.maxima[r]);
      const float shrink_all = std::exp(all_.maxima[r] - now);  // 0 where nothing was there
      const float shrink_part = std::exp(part.maxima[r] - now);
      table_.scale(to, to, shrink_all, padded_);
      table_.scale(from, from, shrink_part, padded_);
      table_.add(to, to, from, padded_);
      all_.totals[r] = all_.totals[r] * shrink_all + part.totals[r] * shrink_part;
      all_.maxima[r] = now;
    }
  }

  // A row that saw no key is zero.
  void finish(int64_t r, float* out) const {
    const float total = all_.totals[r];
    table_.scale(out, all_.sums + r * padded_, total == 0.0f ? 0.0f : 1.0f / total, d_);
  }

 private:
  const Table& table_;
  const int64_t d_;
  const int64_t padded_;
  const bool pairs_;
  int64_t spans_ = 0;
  AttentionState state_;
  SoftmaxSums all_;
  alignas(64) float q_[kQueryRows * kMaxHead];
  alignas(64) float all_memory_[kQueryRows * (kMaxHead + 2)];
  alignas(64) float part_memory_[kQueryRows * (kMaxHead + 2)];
  int64_t limit_[kQueryRows];
};

// Elements of one key or value as units in `to`, an odd last half filled with zero.
void to_units(const Table& table, uint32_t* to, const float* x, int64_t d, bool pairs) {
  if (!pairs) {
    std::memcpy(to, x, static_cast<size_t>(d) * 4);
    return;
  }
  uint16_t* halves = reinterpret_cast<uint16_t*>(to);
  table.to_bf16(halves, x, d);
  if (d % 2 != 0) halves[d] = 0;
}
void to_units(const Table&, uint32_t* to, const bf16* x, int64_t d, bool) {
  to[(d - 1) / 2] = 0;
  std::memcpy(to, x, static_cast<size_t>(d) * 2);
}

constexpr int64_t kTogether = 16;  // keys transposed at a time: one cache line of units

// Keys of one block and head as operand B [D units][keys, padded]: row(j) is key j.
template <class Row>
void pack_keys(const Table& table, std::byte* to, bool pairs, int64_t keys, int64_t d, const Row& row) {
  uint32_t together[kTogether][kMaxHead];
  const int64_t units = pairs ? (d + 1) / 2 : d;
  const int64_t stride = round_up(keys, kTogether);
  for (int64_t first = 0; first < keys; first += kTogether) {
    for (int64_t j = 0; j < kTogether; ++j) {
      if (first + j < keys)
        to_units(table, together[j], row(first + j), d, pairs);
      else
        std::fill_n(together[j], units, 0u);
    }
    uint32_t* out = reinterpret_cast<uint32_t*>(to) + first;
    for (int64_t u = 0; u < units; ++u)
      for (int64_t j = 0; j < kTogether; ++j) out[u * stride + j] = together[j][u];
  }
}

// Values of one block and head as operand B [keys in units][D, padded].
template <class Row>
void pack_values(const Table& table, std::byte* to, bool pairs, int64_t keys, int64_t d, const Row& row) {
  const int64_t stride = round_up(d, 16);
  const int64_t padded = round_up(keys, kTogether);
  uint32_t* out = reinterpret_cast<uint32_t*>(to);
  if (!pairs) {
    for (int64_t j = 0; j < padded; ++j) {
      std::fill_n(out + j * stride, stride, 0u);
      if (j < keys) to_units(table, out + j * stride, row(j), d, false);
    }
    return;
  }
  uint32_t two[2][kMaxHead / 2 + 1] = {};
  for (int64_t j = 0; j < padded; j += 2) {
    for (int64_t i = 0; i < 2; ++i) {
      if (j + i < keys)
        to_units(table, two[i], row(j + i), d, true);
      else
        std::fill_n(two[i], (d + 1) / 2, 0u);
    }
    const uint16_t* even = reinterpret_cast<const uint16_t*>(two[0]);
    const uint16_t* odd = reinterpret_cast<const uint16_t*>(two[1]);
    uint32_t* line = out + j / 2 * stride;
    for (int64_t i = 0; i < d; ++i) line[i] = even[i] | static_cast<uint32_t>(odd[i]) << 16;
    std::fill_n(line + d, stride - d, 0u);
  }
}

void make_tasks(std::vector<AttentionTask>& tasks, int64_t segment, int64_t rows, int64_t most) {
  for (int64_t first = 0; first < rows; first += most)
    tasks.push_back(
        {static_cast<int32_t>(segment), static_cast<int32_t>(std::min(most, rows - first)), first});
}

void check_offsets(const char* operation, Tensor offsets, int64_t rows) {
  const int32_t* at = offsets.data<int32_t>();
  const int64_t segments = offsets.dim(0) - 1;
  bool good = at[0] >= 0 && at[segments] <= rows;
  for (int64_t s = 0; s < segments; ++s) good = good && at[s] <= at[s + 1];
  check(good, operation, ": offsets must rise from 0 to at most ", rows);
}

void check_head(const char* operation, int64_t d) {
  check(d >= 1 && d <= kMaxHead, operation, ": head size ", d, " is above ", kMaxHead);
}

// Returns how many heads have their keys packed at a time: as many as fill a second-level cache, but all
// threads must have tasks.
int64_t heads_together(size_t bytes_of_head, int64_t tasks_of_head, int64_t heads, int threads) {
  constexpr size_t kPackedBytes = size_t{1} << 20;
  constexpr int64_t kTasksOfThread = 4;
  const auto fit = static_cast<int64_t>(kPackedBytes / std::max<size_t>(1, bytes_of_head));
  const int64_t busy = (threads * kTasksOfThread + tasks_of_head - 1) / std::max<int64_t>(1, tasks_of_head);
  return std::clamp<int64_t>(std::max(fit, busy), 1, std::max<int64_t>(1, heads));
}

// All blocks of a segment that were packed for this call, span by span.
void attend_packed(TaskState& state, const PackedKeys& packed, const std::byte* memory, int64_t segment,
                   int64_t head, int64_t d, int64_t limit) {
  const auto& blocks = packed.blocks();
  auto i = static_cast<size_t>(packed.first_block(segment));
  const auto more = [&] {
    return i < blocks.size() && blocks[i].segment == segment && blocks[i].first_key < limit;
  };
  while (more()) {
    state.span([&] {
      for (int64_t n = 0; n < kSpanBlocks && more(); ++n, ++i) {
        const PackedKeys::Block& b = blocks[i];
        const void* k = memory + packed.k_at(b, head);
        const void* v = memory + packed.v_at(b, head);
        state.attend({.k = &k,
                      .v = &v,
                      .v_last = nullptr,
                      .width = b.padded(),
                      .v_stride = round_up(d, 16),
                      .keys = std::min<int64_t>(b.keys, limit - b.first_key),
                      .first_key = b.first_key});
      }
    });
  }
}

// Pages of one sequence and head, read in place.
class PagedKeys {
 public:
  PagedKeys(const KvLayer& pages, const PageLayout& layout, const int32_t* page_table, int64_t head)
      : k_(static_cast<const std::byte*>(pages.k.raw())),
        v_(static_cast<const std::byte*>(pages.v.raw())),
        element_(static_cast<int64_t>(size_of(pages.k.dtype()))),
        layout_(layout),
        page_table_(page_table),
        head_(head) {}

  static int64_t span_keys(const PageLayout& layout) { return kSpanBlocks * block_keys(layout); }
  static int64_t spans(const PageLayout& layout, int64_t limit) {
    return (limit + span_keys(layout) - 1) / span_keys(layout);
  }

  // Keys below `limit`, of one span.
  void attend(TaskState& state, int64_t span, int64_t limit) const {
    const int64_t end = std::min(limit, (span + 1) * span_keys(layout_));
    for (int64_t first = span * span_keys(layout_); first < end; first += block_keys(layout_)) {
      const int64_t keys = std::min(block_keys(layout_), end - first);
      const void* k[kBlockKeys / 16];
      const void* v[kBlockKeys / 16];
      for (int64_t j = 0; j < keys; j += layout_.page) {
        const int64_t page = page_table_[(first + j) / layout_.page];
        k[j / layout_.page] = k_ + layout_.key_at(page, 0, head_, 0) * element_;
        v[j / layout_.page] = v_ + layout_.value_at(page, 0, head_, 0) * element_;
      }
      // The partner of a last odd key holds old contents of the page, which must not enter a sum.
      uint32_t last[kMaxHead];
      const bool odd = layout_.pairs && keys % 2 != 0;
      if (odd) {
        const int64_t offset = (first + keys - 1) % layout_.page;
        const uint32_t* units =
            static_cast<const uint32_t*>(v[(keys - 1) / layout_.page]) + offset / 2 * layout_.d;
        for (int64_t i = 0; i < layout_.d; ++i) last[i] = units[i] & 0xffffu;
      }
      state.attend({.k = k,
                    .v = v,
                    .v_last = odd ? last : nullptr,
                    .width = layout_.page,
                    .v_stride = layout_.d,
                    .keys = keys,
                    .first_key = first});
    }
  }

 private:
  static int64_t block_keys(const PageLayout& layout) { return kBlockKeys / layout.page * layout.page; }

  const std::byte* k_;
  const std::byte* v_;
  const int64_t element_;
  const PageLayout& layout_;
  const int32_t* page_table_;
  const int64_t head_;
};

}  // namespace

void Backend::perform(const ops::PackedAttention& op) {
  check_offsets("packed_attention", op.q_offsets, op.q.rows());
  check_offsets("packed_attention", op.kv_offsets, op.k.rows());
  const bool pairs = bf16_attention_ && !op.precise;
  const int64_t segments = op.q_offsets.dim(0) - 1;
  const int64_t heads = op.q.dim(1);
  const int64_t d = op.q.dim(2);
  check_head("packed_attention", d);
  const int32_t* q_at = op.q_offsets.data<int32_t>();
  const int32_t* kv_at = op.kv_offsets.data<int32_t>();

  tasks_.clear();
  for (int64_t s = 0; s < segments; ++s) make_tasks(tasks_, s, q_at[s + 1] - q_at[s], table_.query_rows);
  const auto tasks = static_cast<int64_t>(tasks_.size());
  const auto plan = [&](int64_t planned) {
    packed_.plan(segments, planned, d, pairs, [&](int64_t s) { return kv_at[s + 1] - kv_at[s]; });
    return packed_.bytes();
  };
  const int64_t together = heads_together(plan(1), tasks, heads, pool_.size());
  std::byte* memory = activations_.take(plan(together));
  for (int64_t from = 0; from < heads; from += together) {
    const int64_t count = std::min(together, heads - from);
    pool_.parallel_for(static_cast<int64_t>(packed_.blocks().size()) * count, 4,
                       [&](int64_t begin, int64_t end) {
                         for (int64_t i = begin; i < end; ++i) {
                           const PackedKeys::Block& b = packed_.blocks()[i / count];
                           const int64_t h = i % count, column = (from + h) * d;
                           const int64_t first = kv_at[b.segment] + b.first_key;
                           pack_keys(table_, memory + packed_.k_at(b, h), pairs, b.keys, d,
                                     [&](int64_t j) { return op.k.row<float>(first + j) + column; });
                           pack_values(table_, memory + packed_.v_at(b, h), pairs, b.keys, d,
                                       [&](int64_t j) { return op.v.row<float>(first + j) + column; });
                         }
                       });
    pool_.parallel_for(tasks * count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const AttentionTask& task = tasks_[i % tasks];
        const int64_t h = i / tasks, column = (from + h) * d;
        const int64_t keys = kv_at[task.segment + 1] - kv_at[task.segment];
        const int64_t first = q_at[task.segment] + task.first;
        TaskState state(table_, task.rows, d, pairs, op.scale);
        for (int64_t r = 0; r < task.rows; ++r) state.set_row(r, op.q.row<float>(first + r) + column, keys);
        attend_packed(state, packed_, memory, task.segment, h, d, keys);
        for (int64_t r = 0; r < task.rows; ++r) state.finish(r, op.out.row<float>(first + r) + column);
      }
    });
  }
}

void Backend::perform(const ops::PagedAttention& op) {
  check_offsets("paged_attention", op.spans.q_offsets, op.q.rows());
  const PageLayout layout(op.pages.k);
  const int64_t sequences = op.spans.q_offsets.dim(0) - 1;
  const int64_t d = layout.d;
  check_head("paged_attention", d);
  const int64_t group = op.q.dim(1) / layout.heads;
  const int32_t* q_at = op.spans.q_offsets.data<int32_t>();
  const int32_t* lengths = op.spans.kv_lengths.data<int32_t>();
  const auto page_row = [&](int64_t s) { return op.spans.page_table.row<int32_t>(s); };
  for (int64_t s = 0; s < sequences; ++s) {
    check(lengths[s] >= q_at[s + 1] - q_at[s] && lengths[s] <= op.spans.page_table.dim(1) * layout.page,
          "paged_attention: sequence ", s, " has ", lengths[s], " tokens");
    for (int64_t j = 0; j * layout.page < lengths[s]; ++j)
      check(page_row(s)[j] >= 0 && page_row(s)[j] < op.pages.k.rows(), "paged_attention: page ",
            page_row(s)[j], " of ", op.pages.k.rows());
  }

  std::byte* memory = nullptr;
  if (!layout.in_place) {
    packed_.plan(sequences, layout.heads, d, layout.pairs, [&](int64_t s) { return lengths[s]; });
    memory = activations_.take(packed_.bytes());
    const auto pack = [&]<class T>(const PackedKeys::Block& b, int64_t h, T) {
      const auto row = [&](Tensor t) {
        return [&, t](int64_t j) {
          const int64_t key = b.first_key + j;
          return static_cast<const T*>(t.raw()) +
                 layout.key_at(page_row(b.segment)[key / layout.page], key % layout.page, h, 0);
        };
      };
      pack_keys(table_, memory + packed_.k_at(b, h), layout.pairs, b.keys, d, row(op.pages.k));
      pack_values(table_, memory + packed_.v_at(b, h), layout.pairs, b.keys, d, row(op.pages.v));
    };
    pool_.parallel_for(static_cast<int64_t>(packed_.blocks().size()) * layout.heads, 1,
                       [&](int64_t i, int64_t) {
                         const PackedKeys::Block& b = packed_.blocks()[i / layout.heads];
                         if (layout.pairs)
                           pack(b, i % layout.heads, bf16());
                         else
                           pack(b, i % layout.heads, float());
                       });
  }

  // The query heads that share a key head are rows of one task: token t, head g of the group is row t·group +
  // g.
  tasks_.clear();
  for (int64_t s = 0; s < sequences; ++s)
    make_tasks(tasks_, s, (q_at[s + 1] - q_at[s]) * group, table_.query_rows);
  const auto head_row = [&](Tensor t, const AttentionTask& task, int64_t h, int64_t r) {
    return t.row<float>(q_at[task.segment] + (task.first + r) / group) +
           (h * group + (task.first + r) % group) * d;
  };
  const auto limit = [&](const AttentionTask& task, int64_t r) {
    const int64_t before = lengths[task.segment] - (q_at[task.segment + 1] - q_at[task.segment]);
    return before + (task.first + r) / group + 1;
  };
  const auto last_limit = [&](const AttentionTask& task) { return limit(task, task.rows - 1); };
  const auto set_rows = [&](TaskState& state, const AttentionTask& task, int64_t h) {
    for (int64_t r = 0; r < task.rows; ++r) state.set_row(r, head_row(op.q, task, h, r), limit(task, r));
  };
  const auto finish = [&](const TaskState& state, const AttentionTask& task, int64_t h) {
    for (int64_t r = 0; r < task.rows; ++r) state.finish(r, head_row(op.out, task, h, r));
  };
  const auto tasks = static_cast<int64_t>(tasks_.size());

  spans_.clear();
  for (int64_t t = 0; t < tasks && layout.in_place; ++t)
    for (int64_t n = 0; n < PagedKeys::spans(layout, last_limit(tasks_[t])); ++n) spans_.push_back({t, n});
  const auto spans = static_cast<int64_t>(spans_.size());
  if (tasks * layout.heads >= pool_.size() || spans <= tasks) {
    pool_.parallel_for(tasks * layout.heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const AttentionTask& task = tasks_[i % tasks];
        const int64_t h = i / tasks, s = task.segment;
        TaskState state(table_, task.rows, d, layout.pairs, op.scale);
        set_rows(state, task, h);
        if (layout.in_place) {
          const PagedKeys keys(op.pages, layout, page_row(s), h);
          for (int64_t n = 0; n < PagedKeys::spans(layout, last_limit(task)); ++n)
            state.span([&] { keys.attend(state, n, last_limit(task)); });
        } else {
          attend_packed(state, packed_, memory, s, h, d, last_limit(task));
        }
        finish(state, task, h);
      }
    });
    return;
  }
  // Fewer tasks than threads: they share the spans. The first is joined like the others, to nothing.
  const int64_t padded = round_up(d, 16);
  const int64_t floats = round_up(SoftmaxSums::floats(kQueryRows, padded), 16);
  auto* parts =
      reinterpret_cast<float*>(activations_.take(static_cast<size_t>(spans * layout.heads * floats * 4)));
  pool_.parallel_for(spans * layout.heads, 1, [&](int64_t i, int64_t) {
    const auto [t, n] = spans_[i % spans];
    const AttentionTask& task = tasks_[t];
    TaskState state(table_, task.rows, d, layout.pairs, op.scale);
    set_rows(state, task, i / spans);
    const SoftmaxSums part = SoftmaxSums::in(parts + i * floats, task.rows, padded);
    part.clear(task.rows, padded);
    const PagedKeys keys(op.pages, layout, page_row(task.segment), i / spans);
    state.span_into(part, [&, span = n] { keys.attend(state, span, last_limit(task)); });
  });
  pool_.parallel_for(tasks * layout.heads, 1, [&](int64_t i, int64_t) {
    const int64_t t = i % tasks, h = i / tasks;
    TaskState state(table_, tasks_[t].rows, d, layout.pairs, op.scale);
    for (int64_t at = 0; at < spans; ++at) {
      if (spans_[at].task == t)
        state.join(SoftmaxSums::in(parts + (h * spans + at) * floats, tasks_[t].rows, padded));
    }
    finish(state, tasks_[t], h);
  });
}

void Backend::perform(const ops::StoreKv& op) {
  const PageLayout layout(op.pages.k);
  const int32_t* at = op.slots.data<int32_t>();
  for (int64_t t = 0; t < op.k.rows(); ++t)
    check(at[t] >= 0 && at[t] < op.pages.k.rows() * layout.page, "store_kv: slot ", at[t], " of ",
          op.pages.k.rows() * layout.page);
  const auto store = [&]<class T>(int64_t t, T) {
    const int64_t page = at[t] / layout.page;
    const int64_t offset = at[t] % layout.page;
    for (int64_t h = 0; h < layout.heads; ++h) {
      const float* key = op.k.row<float>(t) + h * layout.d;
      const float* value = op.v.row<float>(t) + h * layout.d;
      T* keys = static_cast<T*>(op.pages.k.raw()) + layout.key_at(page, offset, h, 0);
      T* values = static_cast<T*>(op.pages.v.raw()) + layout.value_at(page, offset, h, 0);
      const int64_t n = layout.in_place && layout.pairs ? 2 : 1;
      const int64_t key_step = layout.in_place ? layout.page * n : n;  // from one unit of D to the next
      for (int64_t i = 0; i < layout.d; i += n)
        for (int64_t j = 0; j < n; ++j) keys[i / n * key_step + j] = T(key[i + j]);
      for (int64_t i = 0; i < layout.d; ++i) values[i * n] = T(value[i]);
    }
  };
  for_rows(op.k.rows(), 16 * op.k.row_size(), [&](int64_t t) {
    if (layout.pairs)
      store(t, bf16());
    else
      store(t, float());
  });
}

}  // namespace uhd::cpu
