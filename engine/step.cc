#include "engine/step.h"

#include <algorithm>

#include "base/error.h"
#include "model/prompt.h"

namespace uhd {

namespace {

void clear(ForwardInput& input) {
  for (auto* v : {&input.ids, &input.positions, &input.slots, &input.q_offsets, &input.kv_lengths,
                  &input.page_table, &input.visual_at, &input.visual_rows, &input.sample_at, &input.score_at,
                  &input.draws, &input.drawn_at}) {
    v->clear();
  }
  input.max_pages = 0;
}

int pages_in_use(const BatchItem& item, int page_size) {
  return (item.first + item.count + page_size - 1) / page_size;
}

void add_tokens(ForwardInput& input, const BatchItem& item, int page_size) {
  const Sequence& sequence = *item.sequence;
  for (int position = item.first; position < item.first + item.count; ++position) {
    const bool known = position < static_cast<int>(sequence.tokens.size());
    check(known || (sequence.awaited == 1 && position == static_cast<int>(sequence.tokens.size())), "token ",
          position, " of request ", sequence.id, " is not even drawn");
    input.ids.push_back(known ? sequence.tokens[static_cast<size_t>(position)] : 0);
    input.drawn_at.push_back(known ? -1 : sequence.awaited_at);
    input.positions.push_back(position);
    const int32_t page = sequence.pages[static_cast<size_t>(position / page_size)].page();
    input.slots.push_back(page * page_size + position % page_size);
  }
}

void add_visual_rows(ForwardInput& input, const BatchItem& item, int first_token,
                     const VisualRowsOf& rows_of) {
  const Sequence& sequence = *item.sequence;
  for (const VisualSpan& span : *sequence.spans) {
    const int begin = std::max(span.position, item.first);
    const int end = std::min(span.position + span.length, item.first + item.count);
    if (begin >= end) continue;
    const std::span<const int32_t> rows = rows_of(span);
    check(rows.size() == static_cast<size_t>(span.length), "a visual span of ", span.length, " tokens has ",
          rows.size(), " rows");
    for (int position = begin; position < end; ++position) {
      input.visual_at.push_back(first_token + position - item.first);
      input.visual_rows.push_back(rows[static_cast<size_t>(position - span.position)]);
    }
  }
}

void add_scored(ForwardInput& input, const BatchItem& item, int first_token) {
  for (int at = item.scores_from; at < item.scores_end; ++at) {
    if (item.scores(at)) input.score_at.push_back(first_token + at - item.first);
  }
}

}  // namespace

void build_forward_input(ForwardInput& input, const Batch& batch, int page_size,
                         const VisualRowsOf& rows_of) {
  clear(input);
  for (const BatchItem& item : batch.items) {
    input.max_pages = std::max(input.max_pages, pages_in_use(item, page_size));
  }
  input.q_offsets.push_back(0);
  for (const BatchItem& item : batch.items) {
    const int first_token = input.q_offsets.back();
    add_tokens(input, item, page_size);
    add_visual_rows(input, item, first_token, rows_of);
    input.q_offsets.push_back(first_token + item.count);
    input.kv_lengths.push_back(item.first + item.count);
    for (int i = 0; i < input.max_pages; ++i) {
      const bool used = i < pages_in_use(item, page_size);
      input.page_table.push_back(used ? item.sequence->pages[static_cast<size_t>(i)].page() : 0);
    }
    if (item.samples) input.sample_at.push_back(first_token + item.count - 1);
    add_scored(input, item, first_token);
  }
  if (std::ranges::all_of(input.drawn_at, [](int32_t at) { return at < 0; })) input.drawn_at.clear();
}

ForwardInput prompt_input(int tokens, int visual, bool samples, const StepLimits& limits, int32_t page) {
  ForwardInput input;
  input.q_offsets = {0};
  for (int first = 0; first < tokens; first = input.q_offsets.back()) {
    const int count = std::min(tokens - first, limits.max_context);
    for (int position = 0; position < count; ++position) {
      input.positions.push_back(position);
      input.slots.push_back(page * limits.page_size + position % limits.page_size);
    }
    input.q_offsets.push_back(first + count);
    input.kv_lengths.push_back(count);
    if (samples) input.sample_at.push_back(first + count - 1);
  }
  input.ids.assign(input.positions.size(), 0);
  const int longest = std::min(tokens, limits.max_context);
  input.max_pages = (longest + limits.page_size - 1) / limits.page_size;
  input.page_table.assign(input.kv_lengths.size() * static_cast<size_t>(input.max_pages), page);
  for (int row = 0; row < visual; ++row) {
    input.visual_at.push_back(row);
    input.visual_rows.push_back(row);
  }
  return input;
}

ForwardInput decode_input(int sequences, int32_t page, int page_size) {
  const auto rows = static_cast<size_t>(sequences);
  ForwardInput input;
  input.ids.assign(rows, 0);
  input.positions.assign(rows, 0);
  input.slots.assign(rows, page * page_size);
  input.kv_lengths.assign(rows, 1);
  input.page_table.assign(rows, page);
  input.max_pages = 1;
  for (int32_t row = 0; row <= sequences; ++row) {
    input.q_offsets.push_back(row);
    if (row < sequences) input.sample_at.push_back(row);
  }
  return input;
}

ForwardInput probe_input(int32_t page, int page_size) { return decode_input(1, page, page_size); }

}  // namespace uhd
