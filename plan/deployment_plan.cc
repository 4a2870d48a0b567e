#include "plan/deployment_plan.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/vision/slicer.h"
#include "model/weights/shard.h"
#include "plan/hidden_rows.h"
#include "plan/step_cost.h"

namespace uhd {
namespace {

constexpr int64_t kMostSequences = 65536;  // as engine.max_running

int64_t pages_of(int64_t tokens, int64_t page_size) { return (tokens + page_size - 1) / page_size; }

// The memory of one rank, as make_llm_rank divides it.
class RankRoom {
 public:
  RankRoom(const ModelConfig& model, const PlanQuestion& question, const DeviceRoof& device, int ranks)
      : model_(model),
        question_(question),
        device_bytes_(device.memory),
        place_(device.host ? RankPlace::host : RankPlace::device),
        page_share_(device.host ? 1.0 / 3 / ranks : question.engine.kv_memory_share),
        ranks_(ranks) {
    if (question.separate_encoders) return;
    tower_ =
        tower_memory(model, question.engine, planned_tower_format(model, question.format, place_), place_);
  }

  const TowerMemory& tower() const { return tower_; }

  // Returns the memory for steps of at least the options' max_running sequences.
  RankMemory memory(int64_t sequences) const {
    EngineOptions options = question_.engine;
    options.max_running = static_cast<int>(std::max<int64_t>(options.max_running, sequences));
    return llm_rank_memory(model_, options, question_.format, ranks_, place_);
  }

  int64_t kv_bytes(const RankMemory& memory) const {
    const double left = device_bytes_ - static_cast<double>(fixed(memory));
    return left > 0 ? static_cast<int64_t>(left * page_share_) : 0;
  }

  int64_t pages(const RankMemory& memory) const { return kv_bytes(memory) / memory.page; }

  bool holds(int64_t sequences, int64_t tokens) const { return held_beside(sequences, tokens) >= sequences; }

  // The most sequences of so many tokens. More of them take more memory for a step and leave less for pages,
  // so that pages beside one sequence give an upper bound and those beside so many a lower one; then a
  // bisection.
  int64_t most_sequences(int64_t tokens) const {
    int64_t over = std::min(kMostSequences, held_beside(1, tokens)) + 1;
    int64_t held = std::min(over - 1, held_beside(over - 1, tokens));
    while (over - held > 1) {
      const int64_t middle = held + (over - held) / 2;
      (holds(middle, tokens) ? held : over) = middle;
    }
    return held;
  }

  // Returns the memory that a device lacks to hold one sequence.
  int64_t missing(int64_t tokens) const {
    const RankMemory one = memory(1);
    const double pages = static_cast<double>(pages_of(tokens, question_.engine.page_size) * one.page);
    const double wanted = static_cast<double>(fixed(one)) + pages / page_share_;
    return static_cast<int64_t>(std::ceil(std::max(wanted - device_bytes_, 1.0)));
  }

 private:
  // Returns how many sequences the pages hold that are left beside steps of so many.
  int64_t held_beside(int64_t sequences, int64_t tokens) const {
    return pages(memory(sequences)) / pages_of(tokens, question_.engine.page_size);
  }

  int64_t fixed(const RankMemory& memory) const {
    return memory.weights + workspace_bytes(memory, tower_, place_) + memory.visual_rows + tower_.weights;
  }

  const ModelConfig& model_;
  const PlanQuestion& question_;
  double device_bytes_;
  RankPlace place_;
  double page_share_;  // of what is left, as MemoryBook::for_pages
  int ranks_;
  TowerMemory tower_;
};

// The steps of one model on one number of devices.
class Steps {
 public:
  Steps(const LanguageConfig& language, WeightFormat weights, const DeviceRoof& device, int ranks)
      : language_(language), weights_(weights), device_(device), ranks_(ranks) {}

  double decode_s(int64_t sequences, int64_t keys) const {
    return seconds(decoding(sequences, keys), static_cast<int>(sequences));
  }
  // The last `rows` of a prompt; the last of them is sampled.
  double prefill_s(int64_t rows, int64_t keys) const { return rows > 0 ? seconds({{rows, keys}}, 1) : 0; }

  double prompts_s(int64_t prompts, int64_t rows) const {
    return seconds(std::vector<AttentionSpan>(static_cast<size_t>(prompts), {rows, rows}),
                   static_cast<int>(prompts));
  }
  // A step of so many sequences, each of which takes `decode_steps` such steps after its prompt of `rows`.
  double mixed_s(int64_t sequences, int64_t rows, int64_t decode_steps) const {
    std::vector<AttentionSpan> spans = decoding(sequences, rows + (decode_steps + 1) / 2);
    const int64_t prompts = sequences / decode_steps;
    spans.insert(spans.end(), static_cast<size_t>(prompts), {rows, rows});
    // A part of one more prompt follows, with as large a part of its pairs of a query and a key.
    const int64_t part = sequences % decode_steps * rows / decode_steps;
    if (part > 0) spans.push_back({part, (rows + part) / 2});
    return seconds(spans, static_cast<int>(sequences + prompts));
  }

  HiddenRows hidden_beside(int64_t sequences, int64_t keys) const {
    return hidden_prefill_rows(language_, decoding(sequences, keys), ranks_, weights_, device_);
  }

 private:
  static std::vector<AttentionSpan> decoding(int64_t sequences, int64_t keys) {
    return std::vector<AttentionSpan>(static_cast<size_t>(sequences), {1, keys});
  }
  double seconds(const std::vector<AttentionSpan>& spans, int samples) const {
    return step_roof(language_, spans, samples, ranks_, weights_, device_).seconds;
  }

  const LanguageConfig& language_;
  WeightFormat weights_;
  const DeviceRoof& device_;
  int ranks_;
};

double encode_s(const ModelConfig& model, std::span<const PatchGrid> slices, const DeviceRoof& device) {
  if (slices.empty()) return 0;
  return roof_seconds(vision_cost(*model.vision, model.resampler, model.language.hidden, slices), device);
}

// No encoder is faster than one that has nothing but its piece, and no row of a piece or behind it can be
// computed before. Text and layout count as if they had been: this is a bound from below.
double first_token_of_separate_encoders(const ModelConfig& model, const RequestShape& request,
                                        const Steps& steps, const DeviceRoof& device) {
  double least = steps.prefill_s(request.prompt_rows, request.prompt_rows);
  // Pieces are in the order of the prompt: the overview may be the first.
  const auto pieces = static_cast<int>(request.patches.size());
  int64_t rows_on = request.visual_tokens;
  for (int i = 0; i < pieces; ++i) {
    const int piece = !model.layout.overview_first ? i : i == 0 ? pieces - 1 : i - 1;
    const auto at = static_cast<size_t>(piece);
    least = std::max(least, encode_s(model, {&request.grids[at], 1}, device) +
                                steps.prefill_s(rows_on, request.prompt_rows));
    rows_on -= request.piece_rows[at];
  }
  return least;
}

void add_decoding(RankPlan& plan, const RankRoom& room, const Steps& steps, int64_t context) {
  std::vector<int64_t> batches{1, 8, 32};
  if (std::find(batches.begin(), batches.end(), plan.sequences) == batches.end()) {
    batches.push_back(plan.sequences);
  }
  for (const int64_t sequences : batches) {
    DecodeRoof roof{.sequences = sequences, .fits = room.holds(sequences, context)};
    if (roof.fits) {
      roof.seconds = steps.decode_s(sequences, context);
      roof.tokens_per_s = static_cast<double>(sequences) / roof.seconds;
    }
    plan.decode.push_back(roof);
  }
}

// As many requests as fit are running, each at another place of its answer. A step decodes for all of them,
// and takes the rows of prompts that come meanwhile: spread evenly over the steps they cost least, because a
// kernel's roof is convex in its rows. On average a step sees half an answer.
void add_serving(RankPlan& plan, const RankRoom& room, const Steps& steps, const PlanQuestion& question,
                 const RequestShape& request) {
  plan.serving = room.most_sequences(request.tokens);
  if (plan.serving == 0) return;
  const int64_t decode_steps = question.answer - 1;  // of one request
  const double seconds = decode_steps == 0 ? steps.prompts_s(plan.serving, request.prompt_rows)
                                           : steps.mixed_s(plan.serving, request.prompt_rows, decode_steps);
  plan.requests_per_s =
      static_cast<double>(plan.serving) / (static_cast<double>(std::max<int64_t>(decode_steps, 1)) * seconds);
  plan.encoders = static_cast<int>(std::ceil(plan.encode_s * plan.requests_per_s));
}

void add_token_budget(RankPlan& plan, const Steps& steps, int64_t context) {
  constexpr int64_t kDecoding = 8;
  constexpr int kMultiple = 64;
  plan.hidden_beside = static_cast<int>(std::min(plan.sequences, kDecoding));
  const HiddenRows hidden = steps.hidden_beside(plan.hidden_beside, context);
  plan.hidden_rows = hidden.rows;
  plan.hidden_slowdown = hidden.with_rows_s / hidden.step_s - 1;
  if (hidden.rows == 0) return;
  plan.token_budget = (hidden.rows + plan.hidden_beside + kMultiple - 1) / kMultiple * kMultiple;
}

}  // namespace

RequestShape request_shape(const ModelConfig& model, const PlanQuestion& question) {
  constexpr int64_t kMany = int64_t{1} << 32;  // so that no sum overflows
  require(
      question.prompt >= 0 && question.prompt <= kMany && question.answer >= 1 && question.answer <= kMany,
      "a prompt of ", question.prompt, " tokens and an answer of ", question.answer, " cannot be planned");
  RequestShape request;
  if (model.vision) {
    const ImageLimits& limits = question.engine.image.limits;
    check_image_size(question.picture, limits);
    request.picture = plan_image(question.picture, model.slicing, limits);
    for (int i = 0; i < request.picture.pieces(); ++i) {
      const Size piece = request.picture.piece(i);
      request.grids.push_back({static_cast<int>(piece.height / model.vision->patch),
                               static_cast<int>(piece.width / model.vision->patch)});
      request.patches.push_back(static_cast<int>(patches_of(piece, model.vision->patch)));
      request.piece_rows.push_back(tokens_of_piece(request.picture, i, model));
    }
    request.visual_tokens = visual_tokens(request.picture, model);
    request.layout_tokens =
        separator_tokens(request.picture, model.layout) + wrapping_tokens(request.picture, model.layout);
  }
  request.prompt_rows = request.visual_tokens + request.layout_tokens + question.prompt;
  require(request.prompt_rows > 0, "a prompt without a token cannot be planned");
  request.tokens = request.prompt_rows + question.answer;
  require(request.tokens <= model.language.context, "a request of ", request.tokens, " tokens (",
          request.visual_tokens, " visual, ", request.layout_tokens, " of the layout, ", question.prompt,
          " of text and an answer of ", question.answer, ") is longer than the model's context of ",
          model.language.context);
  return request;
}

RankPlan plan_ranks(const ModelConfig& model, const PlanQuestion& question, const RequestShape& request,
                    const DeviceRoof& device, int ranks) {
  require(question.context >= 1 && question.context <= model.language.context, "a context of ",
          question.context, " tokens is not within 1 and the model's ", model.language.context);
  const RankRoom room(model, question, device, ranks);
  const Steps steps(model.language, question.format, device, ranks);
  RankPlan plan;
  plan.ranks = ranks;
  plan.tower = room.tower();
  plan.sequences = room.most_sequences(question.context);
  plan.memory = room.memory(plan.sequences);
  plan.kv_bytes = room.kv_bytes(plan.memory);
  plan.kv_tokens = room.pages(plan.memory) * question.engine.page_size;
  if (plan.sequences == 0) {
    plan.missing_bytes = room.missing(question.context);
    return plan;
  }
  plan.encode_s = encode_s(model, request.grids, device);
  plan.prefill_s = steps.prefill_s(request.prompt_rows, request.prompt_rows);
  plan.first_token_s = question.separate_encoders
                           ? first_token_of_separate_encoders(model, request, steps, device)
                           : plan.encode_s + plan.prefill_s;
  add_decoding(plan, room, steps, question.context);
  add_serving(plan, room, steps, question, request);
  add_token_budget(plan, steps, question.context);
  return plan;
}

RankChoices rank_choices(const LanguageConfig& language, const std::vector<int>& wanted) {
  RankChoices choices;
  for (const int ranks : wanted) {
    try {
      shard_of(language, 0, ranks);
      choices.ranks.push_back(ranks);
    } catch (const Error& error) {
      choices.refused.emplace_back(error.what());
    }
  }
  return choices;
}

}  // namespace uhd
