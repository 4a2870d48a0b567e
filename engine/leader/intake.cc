#include "engine/leader/intake.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "engine/request_limits.h"
#include "scheduler/policy.h"

namespace uhd {

namespace {

constexpr int64_t kGenerousTokenBytes = 256;

template <class... Parts>
Failure refuse(std::string code, const Parts&... parts) {
  return {FailureKind::invalid, std::move(code), message(parts...)};
}

// The result is false for what is not a number.
bool within(float value, request_limits::Range range) {
  return value >= static_cast<float>(range.least) && value <= static_cast<float>(range.most);
}

std::optional<Failure> check_number(const char* name, float value, request_limits::Range range) {
  if (within(value, range)) return std::nullopt;
  return refuse("invalid_value", name, " is ", value, ", but must be between ", range.least, " and ",
                range.most);
}

std::optional<Failure> check_biases(const std::map<int32_t, float>& biases, int vocabulary) {
  if (biases.size() > request_limits::kMostLogitBiases) {
    return refuse("invalid_value", "logit_bias names more than ", request_limits::kMostLogitBiases,
                  " tokens");
  }
  for (const auto& [id, bias] : biases) {
    if (id < 0 || id >= vocabulary) {
      return refuse("invalid_token", "logit_bias names token ", id, " of ", vocabulary);
    }
    const std::string name = message("the logit_bias of token ", id);
    if (auto failure = check_number(name.c_str(), bias, request_limits::kLogitBias)) return failure;
  }
  return std::nullopt;
}

std::optional<Failure> check_token_rules(const SamplingParams& s, int vocabulary) {
  if (s.allowed_ids.size() > request_limits::kMostAllowedIds) {
    return refuse("invalid_value", "at most ", request_limits::kMostAllowedIds,
                  " tokens may be listed as allowed");
  }
  for (int32_t id : s.allowed_ids) {
    if (id < 0 || id >= vocabulary) {
      return refuse("invalid_token", "allowed_token_ids names token ", id, " of ", vocabulary);
    }
  }
  if (s.bad_words.size() > request_limits::kMostBadWords) {
    return refuse("invalid_value", "at most ", request_limits::kMostBadWords, " bad words are allowed");
  }
  for (const std::string& word : s.bad_words) {
    if (word.empty() || word.size() > request_limits::kLongestBadWord) {
      return refuse("invalid_value", "a bad word has ", word.size(), " bytes, but must have 1 to ",
                    request_limits::kLongestBadWord);
    }
  }
  return std::nullopt;
}

std::optional<Failure> check_sampling(const SamplingParams& s, int vocabulary) {
  const struct {
    const char* name;
    float value;
    request_limits::Range range;
  } numbers[] = {{"temperature", s.temperature, request_limits::kTemperature},
                 {"top_p", s.top_p, request_limits::kTopP},
                 {"min_p", s.min_p, request_limits::kMinP},
                 {"repetition_penalty", s.repetition_penalty, request_limits::kRepetitionPenalty},
                 {"presence_penalty", s.presence_penalty, request_limits::kPresencePenalty},
                 {"frequency_penalty", s.frequency_penalty, request_limits::kFrequencyPenalty}};
  for (const auto& number : numbers) {
    if (auto failure = check_number(number.name, number.value, number.range)) return failure;
  }
  if (s.top_p == 0) return refuse("invalid_value", "top_p is 0, but must be above it");
  if (s.top_k < 0) return refuse("invalid_value", "top_k is ", s.top_k, ", but must be 0 (off) or more");
  if (s.logprobs < -1 || s.logprobs > request_limits::kMostLogprobs) {
    return refuse("invalid_value", "logprobs is ", s.logprobs, ", but must be at most ",
                  request_limits::kMostLogprobs);
  }
  if (s.grammar && s.grammar->text.size() > request_limits::kLongestGrammar) {
    return refuse("invalid_grammar", "the answer's grammar has ", s.grammar->text.size(),
                  " bytes, but may have at most ", request_limits::kLongestGrammar);
  }
  if (auto failure = check_token_rules(s, vocabulary)) return failure;
  return check_biases(s.logit_bias, vocabulary);
}

std::optional<Failure> check_images(const std::vector<Message>& messages) {
  for (const Message& m : messages) {
    for (const MessagePart& part : m.parts) {
      if (part.rule.max_slices >= 0) continue;
      return refuse("invalid_value", "max_slices is ", part.rule.max_slices, ", but must be positive");
    }
  }
  return std::nullopt;
}

std::optional<Failure> check_stop(const StopRules& stop, int vocabulary) {
  if (stop.max_tokens < 0) {
    return refuse("invalid_value", "max_tokens is ", stop.max_tokens, ", but must be positive");
  }
  if (stop.min_tokens < 0 || (stop.max_tokens > 0 && stop.min_tokens > stop.max_tokens)) {
    return refuse("invalid_value", "min_tokens is ", stop.min_tokens,
                  ", but must be between 0 and max_tokens");
  }
  if (stop.stop.size() > request_limits::kMostStops) {
    return refuse("invalid_value", "at most ", request_limits::kMostStops, " stop strings are allowed");
  }
  for (const std::string& text : stop.stop) {
    if (text.empty() || text.size() > request_limits::kLongestStop) {
      return refuse("invalid_value", "a stop string has ", text.size(), " bytes, but must have 1 to ",
                    request_limits::kLongestStop);
    }
  }
  if (stop.stop_ids.size() > request_limits::kMostStopIds) {
    return refuse("invalid_value", "at most ", request_limits::kMostStopIds, " stop tokens are allowed");
  }
  for (int32_t id : stop.stop_ids) {
    if (id < 0 || id >= vocabulary) {
      return refuse("invalid_token", "stop names token ", id, " of ", vocabulary);
    }
  }
  return std::nullopt;
}

ChatEnd end_of(const Request& request) {
  if (request.continue_final_message) return ChatEnd::inside_last;
  return request.add_generation_prompt ? ChatEnd::new_turn : ChatEnd::last_turn;
}

std::vector<ChatTurn> turns_of(const Request& request) {
  std::vector<ChatTurn> turns;
  for (const Message& m : request.messages) {
    ChatTurn turn{m.role, {}, m.tool_calls, m.tool_call_id, m.thoughts, m.name};
    for (const MessagePart& part : m.parts) {
      turn.parts.push_back(part.is_image() ? ChatPart{"", true} : ChatPart{part.text, false});
    }
    turns.push_back(std::move(turn));
  }
  return turns;
}

// Tokens from the image's first visual row to its last: separators between slices are part of it.
int image_extent(const Prompt& prompt, int image) {
  int begin = -1;
  int end = 0;
  for (const VisualSpan& span : prompt.spans) {
    if (span.image != image) continue;
    if (begin < 0) begin = span.position;
    end = span.position + span.length;
  }
  return begin < 0 ? 0 : end - begin;
}

FailureKind kind_of(const std::string& image_error_code) {
  return image_error_code == "image_too_large" ? FailureKind::too_large : FailureKind::invalid;
}

}  // namespace

std::optional<Failure> check_request(const Request& request, int vocabulary) {
  const int kinds = (request.messages.empty() ? 0 : 1) + (request.prompt.has_value() ? 1 : 0) +
                    (request.prompt_ids.empty() ? 0 : 1);
  if (kinds == 0) return refuse("empty_request", "there is neither a conversation nor a prompt");
  if (kinds > 1) return refuse("invalid_value", "give either a conversation or a prompt");
  for (int32_t id : request.prompt_ids) {
    if (id < 0 || id >= vocabulary)
      return refuse("invalid_token", "the prompt names token ", id, " of ", vocabulary);
  }
  if (request.n < 1) return refuse("invalid_value", "n is ", request.n, ", but must be at least 1");
  if (request.prompt_logprobs < -1 || request.prompt_logprobs > request_limits::kMostLogprobs) {
    return refuse("invalid_value", "prompt_logprobs is ", request.prompt_logprobs, ", but must be at most ",
                  request_limits::kMostLogprobs);
  }
  if (auto failure = check_images(request.messages)) return failure;
  if (std::abs(static_cast<int64_t>(request.priority)) > request_limits::kMostPriority) {
    return refuse("invalid_value", "priority is ", request.priority, ", but must be between ",
                  -request_limits::kMostPriority, " and ", request_limits::kMostPriority);
  }
  if (auto failure = check_sampling(request.sampling, vocabulary)) return failure;
  return check_stop(request.stop, vocabulary);
}

std::variant<PlannedRequest, Failure> Intake::plan(const Request& request) const {
  auto planned = lay_out(request);
  if (std::holds_alternative<Failure>(planned)) return planned;
  const PlannedRequest& laid_out = std::get<PlannedRequest>(planned);
  for (const PlannedImage& image : laid_out.images) {
    if (image.bytes != nullptr) continue;
    return refuse("invalid_value", "an image is given by its size, so that there is nothing to look at");
  }
  if (auto failure = check_lengths(request, laid_out)) return *failure;
  return planned;
}

std::variant<PlannedRequest, Failure> Intake::lay_out(const Request& request) const {
  if (auto failure = check_size(request)) return *failure;
  if (auto failure = check_request(request, model_.language.vocabulary)) return *failure;
  auto images = plan_images(request);
  if (auto* failure = std::get_if<Failure>(&images)) return *failure;
  PlannedRequest planned;
  planned.images = std::get<std::vector<PlannedImage>>(std::move(images));
  auto prompt = make_prompt(request, planned.images);
  if (auto* failure = std::get_if<Failure>(&prompt)) return *failure;
  planned.prompt = std::get<Prompt>(std::move(prompt));
  if (auto failure = truncate(request, planned.prompt)) return *failure;
  if (auto failure = check_ids(planned.prompt)) return *failure;
  planned.thinking = ends_in_thoughts(planned.prompt);
  set_lengths(request, planned);
  return planned;
}

std::variant<std::vector<PlannedImage>, Failure> Intake::plan_images(const Request& request) const {
  std::vector<PlannedImage> images;
  int64_t rows = 0;
  for (const Message& m : request.messages) {
    for (const MessagePart& part : m.parts) {
      if (!part.is_image()) continue;
      if (!model_.vision) return refuse("no_vision", "this model takes no images");
      if (static_cast<int>(images.size()) == images_.max_images) {
        return refuse("too_many_images", "at most ", images_.max_images,
                      " images are allowed in one request");
      }
      auto image = plan_image(part);
      if (auto* failure = std::get_if<Failure>(&image)) {
        failure->image = static_cast<int>(images.size());
        return *failure;
      }
      images.push_back(std::get<PlannedImage>(std::move(image)));
      rows += visual_tokens(images.back().plan, model_);
      if (rows > limits_.visual_rows) {
        return refuse(rows > limits_.context ? "context_length_exceeded" : "too_many_visual_tokens",
                      "the images become more than the ", limits_.visual_rows,
                      " visual tokens that the server keeps room for (engine.visual_cache_bytes)");
      }
    }
  }
  return images;
}

// One slice at most leaves the layout that every family has for small images: the overview alone.
SlicingConfig Intake::slicing_of(const ImageRule& rule) const {
  SlicingConfig slicing = model_.slicing;
  if (rule.max_slices > 0) slicing.max_slices = std::min(slicing.max_slices, rule.max_slices);
  if (rule.detail == ImageDetail::low) slicing.max_slices = 1;
  return slicing;
}

std::variant<PlannedImage, Failure> Intake::plan_image(const MessagePart& part) const {
  try {
    Size size;
    if (part.image != nullptr) {
      size = read_image_header(*part.image, images_.limits, images_.reference_compat).oriented;
    } else {
      size = {part.size->width, part.size->height};
      check_image_size(size, images_.limits);
    }
    const SlicingConfig slicing = slicing_of(part.rule);
    PlannedImage image{part.image, uhd::plan_image(size, slicing, images_.limits), {}};
    const SlicePlan& plan = image.plan;
    const bool adaptive =
        slicing.kind == SlicingConfig::Kind::adaptive || slicing.kind == SlicingConfig::Kind::tiles;
    image.report = {static_cast<int>(plan.image.width),
                    static_cast<int>(plan.image.height),
                    plan.columns,
                    plan.rows,
                    plan.slices(),
                    0,
                    0,
                    part.rule.detail,
                    adaptive ? slicing.max_slices : 0};
    return image;
  } catch (const ImageError& e) {
    return Failure{kind_of(e.code()), e.code(), e.what(), 0};
  }
}

std::variant<Prompt, Failure> Intake::make_prompt(const Request& request,
                                                  const std::vector<PlannedImage>& images) const {
  try {
    if (!request.prompt_ids.empty()) return Prompt{request.prompt_ids, {}};
    if (request.prompt) return build_text_prompt(*request.prompt, *tokenizer_);
    std::vector<ChatTurn> turns = turns_of(request);
    if (images_first_) put_images_first(turns);
    const ChatText chat = chat_->render(turns, end_of(request), request.template_variables, request.tools);
    // A template may write more than it was given; image marks stand for no text.
    int64_t bytes = static_cast<int64_t>(chat.text.size());
    for (const TextRange& mark : chat.images) bytes -= static_cast<int64_t>(mark.end - mark.begin);
    if (auto failure = check_bytes(bytes)) return *failure;
    std::vector<SlicePlan> plans;
    plans.reserve(images.size());
    for (const PlannedImage& image : images) plans.push_back(image.plan);
    return build_prompt(chat, *tokenizer_, model_, plans);
  } catch (const Error& e) {
    return refuse("invalid_conversation", e.what());
  }
}

std::optional<Failure> Intake::truncate(const Request& request, Prompt& prompt) const {
  if (request.truncate_prompt == 0) return std::nullopt;
  int64_t keep = request.truncate_prompt;
  if (keep < 0) keep = limits_.context - std::max({1, request.stop.max_tokens, request.stop.min_tokens});
  const auto length = static_cast<int64_t>(prompt.ids.size());
  if (length <= keep) return std::nullopt;
  if (keep <= 0) {
    return refuse("context_length_exceeded", "the context holds ", limits_.context,
                  " tokens, and the answer asked for leaves none to the prompt");
  }
  if (!prompt.spans.empty()) {
    return refuse("invalid_value", "truncate_prompt_tokens is ", request.truncate_prompt,
                  ", but the prompt has ", length, " tokens and images in it, which are not cut");
  }
  const auto prefix = tokenizer_->prefix();
  const bool prefixed = request.prompt_ids.empty() && static_cast<int64_t>(prefix.size()) < keep &&
                        std::equal(prefix.begin(), prefix.end(), prompt.ids.begin());
  const auto first = prompt.ids.begin() + (prefixed ? static_cast<int64_t>(prefix.size()) : 0);
  prompt.ids.erase(first, first + (length - keep));
  return std::nullopt;
}

// The tag is a token of its own, or a few.
bool Intake::ends_in_thoughts(const Prompt& prompt) const {
  constexpr size_t kMostTokens = 8;
  const std::span<const int32_t> ids(prompt.ids);
  const auto tail = ids.last(std::min(ids.size(), kMostTokens));
  const auto text = std::find(tail.rbegin(), tail.rend(), kVisualToken).base();
  std::string end = tokenizer_->decode({text, tail.end()}, false);
  while (end.ends_with('\n')) end.pop_back();
  return end.ends_with("<think>");
}

std::optional<Failure> Intake::check_ids(const Prompt& prompt) const {
  const int32_t vocabulary = model_.language.vocabulary;
  const auto beyond =
      std::find_if(prompt.ids.begin(), prompt.ids.end(), [&](int32_t id) { return id >= vocabulary; });
  if (beyond == prompt.ids.end()) return std::nullopt;
  return refuse("invalid_token", "the prompt holds the token '", tokenizer_->decode({&*beyond, 1}, false),
                "' (", *beyond, "), which the model's vocabulary of ", vocabulary, " does not have");
}

int64_t Intake::max_text_bytes() const {
  const auto exact = static_cast<int64_t>(tokenizer_->max_bytes_per_id());
  return limits_.context * (exact > 0 ? exact : kGenerousTokenBytes);
}

std::optional<Failure> Intake::check_bytes(int64_t bytes) const {
  if (bytes <= max_text_bytes()) return std::nullopt;
  return refuse("context_length_exceeded", "the context holds ", limits_.context,
                " tokens, but the text of the prompt has ", bytes,
                " bytes, which are more tokens in any case");
}

std::optional<Failure> Intake::check_size(const Request& request) const {
  const auto ids = static_cast<int64_t>(request.prompt_ids.size());
  if (ids >= limits_.context && request.truncate_prompt == 0) {
    return refuse("context_length_exceeded", "the context holds ", limits_.context,
                  " tokens, but the prompt has ", ids);
  }
  auto bytes = static_cast<int64_t>(request.template_variables.size() + request.tools.size());
  if (request.prompt) bytes += static_cast<int64_t>(request.prompt->size());
  for (const Message& m : request.messages) {
    bytes += static_cast<int64_t>(m.tool_calls.size() + m.thoughts.size() + m.name.size());
    for (const MessagePart& part : m.parts) bytes += static_cast<int64_t>(part.text.size());
  }
  return check_bytes(bytes);
}

// More tokens than the context has left are a cap that is never reached.
void Intake::set_lengths(const Request& request, PlannedRequest& planned) const {
  const int64_t left =
      std::max<int64_t>(0, limits_.context - static_cast<int64_t>(planned.prompt.ids.size()));
  const int64_t asked = request.stop.max_tokens;
  planned.max_tokens = static_cast<int>(asked > 0 ? std::min(asked, left) : left);
  if (request.stop.prompt_only) planned.max_tokens = 0;
  set_scored(request, planned);
  for (size_t i = 0; i < planned.images.size(); ++i) {
    const int tokens = image_extent(planned.prompt, static_cast<int>(i));
    planned.images[i].report.tokens = tokens;
    planned.image_tokens += tokens;
    planned.patches += total_patches(planned.images[i].plan, model_.slicing.patch);
  }
}

// The first token follows nothing, and visual ones are no text. The count covers what is built of them beside
// the tokens themselves: every choice repeats the prompt, and JSON of both its forms takes about 430 bytes a
// token, likely or there, and its growing text up to 200.
void Intake::set_scored(const Request& request, PlannedRequest& planned) const {
  if (request.prompt_logprobs < 0) return;
  const std::vector<int32_t>& ids = planned.prompt.ids;
  planned.scored = static_cast<int>(
      std::count_if(ids.begin() + (ids.empty() ? 0 : 1), ids.end(), [](int32_t id) { return id >= 0; }));
  constexpr int64_t kToldBytes = 640;
  const int64_t likely = request.prompt_logprobs;
  const int64_t each = static_cast<int64_t>(sizeof(PromptToken) + sizeof(PromptToken::Likely) * likely) +
                       request.n * kToldBytes * (likely + 1);
  planned.score_bytes = each * static_cast<int64_t>(ids.size());
}

std::optional<Failure> Intake::check_lengths(const Request& request, const PlannedRequest& planned) const {
  const int64_t prompt = static_cast<int64_t>(planned.prompt.ids.size());
  if (prompt == 0) return refuse("empty_request", "the prompt is empty");
  const int64_t left = limits_.context - prompt;
  const int64_t least = std::max(1, request.stop.min_tokens);
  if (least <= left) return std::nullopt;
  return refuse("context_length_exceeded", "the context holds ", limits_.context,
                " tokens, but the prompt has ", prompt,
                least > 1 ? message(" and at least ", least, " are asked for the answer") : std::string());
}

// A scored row counts twice, as in a step (Batch::rows).
Work work_of(const PlannedRequest& planned, int answers) {
  return {planned.patches, static_cast<int64_t>(planned.prompt.ids.size()) + planned.scored,
          int64_t{planned.max_tokens} * answers};
}

PiecePlan Intake::piece_plan(const SlicePlan& plan, int index) const {
  const Size size = plan.piece(index);
  return {static_cast<int>(size.width), static_cast<int>(size.height),
          static_cast<int>(patches_of(size, model_.slicing.patch)), tokens_of_piece(plan, index, model_)};
}

RequestPlan Intake::describe(const PlannedRequest& planned, int page_size) const {
  RequestPlan out;
  for (const PlannedImage& image : planned.images) {
    const Scale scale = scale_of(image.plan, model_.slicing);
    const int overview = image.plan.slices();
    out.images.push_back({image.report, scale.across, scale.down,
                          overview > 0 ? piece_plan(image.plan, 0) : PiecePlan{},
                          piece_plan(image.plan, overview), visual_tokens(image.plan, model_)});
  }
  out.prompt_ids = planned.prompt.ids;
  out.prompt_tokens = static_cast<int>(planned.prompt.ids.size());
  out.image_tokens = planned.image_tokens;
  out.max_tokens = planned.max_tokens;
  out.page_size = page_size;
  out.prompt_pages = pages_for(out.prompt_tokens, page_size);
  out.most_pages = pages_for(out.prompt_tokens + out.max_tokens, page_size);
  return out;
}

}  // namespace uhd
