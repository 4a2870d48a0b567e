#include "model/language/sampler.h"

#include "base/log.h"

namespace uhd {

namespace {

// A row that cannot be drawn is no fault of its neighbours.
SampledToken draw_alone(std::span<float> logits, const SampleRow& row) {
  try {
    return sample_row(logits, row);
  } catch (const std::exception& e) {
    log_error("a token could not be drawn", "reason", e.what());
    return {.valid = false};
  }
}

}  // namespace

Sampler::Sampler(Backend& backend, Communicator& group, const LanguageShard& shard, int vocabulary,
                 int max_rows)
    : backend_(backend),
      group_(group),
      shard_(shard),
      vocabulary_(vocabulary),
      max_rows_(max_rows),
      drawn_(backend.allocate(static_cast<size_t>(max_rows) * sizeof(int32_t))) {
  for (auto& readback : readbacks_) readback = backend.make_readback(drawn_.bytes());
}

void Sampler::mask(Tensor logits, const RowMasks& masks, Workspace& workspace) {
  if (masks.rows.empty()) return;
  const auto count = static_cast<int64_t>(masks.rows.size());
  const auto words = static_cast<int64_t>(masks.words.size()) / count;
  check(words * count == static_cast<int64_t>(masks.words.size()), "masks of different lengths");
  const Workspace::Scope scope(workspace);
  backend_.mask_logits(logits, workspace.put(masks.rows), workspace.put(masks.words).reshaped({count, words}),
                       shard_.first_id);
}

void Sampler::choose(Tensor logits, Tensor draws, Workspace& workspace) {
  check(logits.dim(1) == shard_.ids, "logits of ", logits.dim(1), " columns for a shard of ", shard_.ids);
  const Workspace::Scope scope(workspace);
  if (draws.empty()) return choose_largest(logits, workspace);
  backend_.draw(drawn_.as(DType::i32, {logits.rows()}), gather(logits, workspace), vocabulary_, draws);
}

void Sampler::choose_largest(Tensor logits, Workspace& workspace) {
  const int64_t n = logits.rows(), size = shard_.size;
  Tensor ids = workspace.take(DType::i32, {n});
  Tensor values = workspace.take(DType::f32, {n});
  // For a shard that is padding alone any value will do: it does not count below.
  backend_.argmax(ids, values, shard_.real_ids > 0 ? logits.slice_columns(0, shard_.real_ids) : logits);
  if (size > 1) {
    const Tensor all_ids = workspace.take(DType::i32, {size, n});
    const Tensor all_values = workspace.take(DType::f32, {size, n});
    group_.all_gather(all_ids, ids);
    group_.all_gather(all_values, values);
    ids = all_ids;
    values = all_values;
  }
  backend_.best_of_shards(drawn_.as(DType::i32, {n}), ids.reshaped({size, n}), values.reshaped({size, n}),
                          shard_.ids, vocabulary_);
}

void Sampler::fetch_chosen(int64_t rows) {
  check(waiting_.size() < std::size(readbacks_) && !holds_logits(),
        "tokens were fetched before others were taken");
  Readback* readback = readbacks_[next_readback_].get();
  next_readback_ = 1 - next_readback_;
  readback->begin(drawn_.as(DType::i32, {rows}));
  waiting_.push_back({readback, {}});
}

void Sampler::fetch_logits(Tensor logits, Workspace& workspace) {
  check(logits.dim(1) == shard_.ids, "logits of ", logits.dim(1), " columns for a shard of ", shard_.ids);
  check(!holds_logits(), "logits were fetched before others were taken");
  waiting_.push_back({nullptr, gather(logits, workspace)});
}

Tensor Sampler::gather(Tensor logits, Workspace& workspace) {
  if (shard_.size == 1) return logits.reshaped({1, logits.rows(), shard_.ids});
  const Tensor all = workspace.take(DType::f32, {shard_.size, logits.rows(), shard_.ids});
  group_.all_gather(all, logits);
  return all;
}

std::vector<SampledToken> Sampler::take(std::span<const SampleRow> rows) {
  check(!waiting_.empty(), "no tokens were fetched");
  const Waiting first = waiting_.front();
  waiting_.pop_front();
  if (first.readback == nullptr) return by_host(first.logits, rows);
  const Tensor ids = first.readback->wait();
  std::vector<SampledToken> tokens(static_cast<size_t>(ids.rows()));
  for (size_t i = 0; i < tokens.size(); ++i) {
    const int32_t id = ids.data<int32_t>()[i];
    tokens[i].valid = id >= 0;
    if (tokens[i].valid) tokens[i].id = id;
  }
  return tokens;
}

std::vector<SampledToken> Sampler::by_host(Tensor logits, std::span<const SampleRow> rows) {
  std::vector<SampledToken> tokens;
  if (shard_.rank != 0) return tokens;
  check(static_cast<int64_t>(rows.size()) == logits.dim(1), logits.dim(1), " rows of logits, ", rows.size(),
        " to sample");
  for_each_row(logits,
               [&](size_t row, std::span<float> values) { tokens.push_back(draw_alone(values, rows[row])); });
  return tokens;
}

std::vector<ScoredToken> Sampler::score(Tensor logits, std::span<const ScoreRow> rows, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const Tensor gathered = gather(logits, workspace);
  std::vector<ScoredToken> scores;
  if (shard_.rank != 0) return scores;
  check(static_cast<int64_t>(rows.size()) == logits.rows(), logits.rows(), " rows of logits, ", rows.size(),
        " to score");
  for_each_row(gathered,
               [&](size_t row, std::span<float> values) { scores.push_back(score_row(values, rows[row])); });
  return scores;
}

void Sampler::for_each_row(Tensor logits,
                           const std::function<void(size_t row, std::span<float> values)>& use) {
  const auto count = static_cast<size_t>(logits.dim(1));
  const auto width = static_cast<size_t>(shard_.ids);
  gathered_.resize(static_cast<size_t>(logits.elements()));
  backend_.download(Tensor::of(gathered_.data(), logits.shape()), logits);
  for (size_t i = 0; i < count; ++i) {
    row_.clear();
    for (size_t r = 0; r < static_cast<size_t>(shard_.size); ++r) {
      const float* part = gathered_.data() + (r * count + i) * width;
      const size_t left = static_cast<size_t>(vocabulary_) - row_.size();
      row_.insert(row_.end(), part, part + std::min(width, left));
    }
    use(i, row_);
  }
}

std::vector<SampledToken> Sampler::sample(Tensor logits, TokenChoice choice, std::span<const SampleRow> rows,
                                          Workspace& workspace) {
  if (logits.rows() == 0) return {};
  const Workspace::Scope scope(workspace);
  if (choice == TokenChoice::by_host) {
    fetch_logits(logits, workspace);
    return take(rows);
  }
  RowMasks masks;
  for (size_t i = 0; i < rows.size(); ++i) append_mask(static_cast<int32_t>(i), rows[i], masks);
  mask(logits, masks, workspace);
  Tensor draws;
  if (choice == TokenChoice::drawn) {
    std::vector<int32_t> words;
    for (const SampleRow& row : rows) append_draw(row.draw(), words);
    draws = workspace.put(words).reshaped({logits.rows(), kDrawWords});
  }
  choose(logits, draws, workspace);
  fetch_chosen(logits.rows());
  return take(rows);
}

}  // namespace uhd
