#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <limits>

#include "base/edit_distance.h"
#include "base/error.h"
#include "engine/request_limits.h"
#include "net/field_check.h"
#include "net/json_body.h"
#include "net/json_fields.h"
#include "net/messages.h"
#include "net/openai.h"
#include "net/quoted.h"
#include "net/responses_request.h"
#include "net/structured.h"
#include "net/tools.h"

namespace uhd {
namespace {

namespace json = boost::json;
namespace ranges = request_limits;

constexpr double kLongestTimeout = 1e6;  // seconds

constexpr int kLegacyMaxTokens = 16;  // the default of OpenAI's /v1/completions

int32_t to_token_id(const json::value& v, const std::string& path, const ModelInfo& model) {
  return static_cast<int32_t>(to_integer(v, path, 0, std::max(0, model.vocabulary - 1)));
}

void check_ids(size_t ids, const ModelInfo& model, const std::string& path) {
  if (static_cast<int64_t>(ids) < model.context_length) return;
  throw ApiError{
      400, message("The context holds ", model.context_length, " tokens, but the prompt has ", ids, "."),
      path, "context_length_exceeded"};
}

// "prompt": a string, an array of strings, an array of ids, or an array of arrays of ids. Ids that are cut to
// fit may be more than the context holds.
std::vector<Request> read_prompts(const Fields& call, const ModelInfo& model, const NetOptions& limits,
                                  bool cut) {
  const json::value* prompt = call.find("prompt");
  if (prompt == nullptr) throw ApiError{400, "'prompt' is missing.", "prompt", "missing_required_parameter"};
  const auto of_text = [&](std::string_view text, const std::string& path) {
    check_text_bytes(text.size(), model, path);
    Request request;
    request.prompt = std::string(text);
    return request;
  };
  const auto of_ids = [&](const json::array& ids, const std::string& path) {
    if (!cut) check_ids(ids.size(), model, path);
    Request request;
    for (size_t i = 0; i < ids.size(); ++i) {
      request.prompt_ids.push_back(to_token_id(ids[i], element(path, i), model));
    }
    return request;
  };
  if (prompt->is_string()) return {of_text(to_text(*prompt, "prompt"), "prompt")};
  if (!prompt->is_array() || prompt->get_array().empty()) {
    throw_bad_field("prompt", "a string, or an array of strings or of token ids that is not empty", *prompt);
  }
  const json::array& list = prompt->get_array();
  if (list[0].is_number()) return {of_ids(list, "prompt")};
  if (list.size() > static_cast<size_t>(limits.max_choices)) {
    throw ApiError{400, message("'prompt' asks for more than ", limits.max_choices, " answers."), "prompt",
                   "too_many_choices"};
  }
  std::vector<Request> requests;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = element("prompt", i);
    if (list[0].is_string()) {
      requests.push_back(of_text(to_text(list[i], path), path));
    } else {
      if (!list[i].is_array() || list[i].get_array().empty()) {
        throw_bad_field(path, "an array of token ids that is not empty", list[i]);
      }
      requests.push_back(of_ids(list[i].get_array(), path));
    }
  }
  return requests;
}

void read_logprobs(const Fields& call, Endpoint endpoint, SamplingParams& sampling) {
  if (endpoint == Endpoint::completions) {
    if (const auto n = call.integer("logprobs", 0, ranges::kMostLogprobs))
      sampling.logprobs = static_cast<int>(*n);
    return;
  }
  const bool wanted = call.boolean("logprobs").value_or(false);
  const auto top = call.integer("top_logprobs", 0, ranges::kMostLogprobs);
  if (top && *top > 0 && !wanted) {
    throw ApiError{400, "'top_logprobs' needs 'logprobs' to be true.", "top_logprobs", "invalid_value"};
  }
  if (wanted) sampling.logprobs = static_cast<int>(top.value_or(0));
}

// Ids of tokens, at most so many.
std::vector<int32_t> read_ids(const Fields& call, std::string_view name, size_t most,
                              const ModelInfo& model) {
  std::vector<int32_t> ids;
  const json::array* list = call.array(name);
  if (list == nullptr) return ids;
  if (list->size() > most) {
    throw ApiError{400, message("'", name, "' holds more than ", most, " ids."), std::string(name),
                   "invalid_value"};
  }
  for (size_t i = 0; i < list->size(); ++i) {
    ids.push_back(to_token_id((*list)[i], element(std::string(name), i), model));
  }
  return ids;
}

// A text of 1 to `most` bytes.
std::string read_short_text(const json::value& v, const std::string& path, size_t most) {
  const std::string_view text = to_text(v, path);
  if (!text.empty() && text.size() <= most) return std::string(text);
  throw ApiError{400, message("'", path, "' must have 1 to ", most, " bytes."), path, "invalid_value"};
}

void read_token_rules(const Fields& call, const ModelInfo& model, SamplingParams& sampling) {
  sampling.allowed_ids = read_ids(call, "allowed_token_ids", ranges::kMostAllowedIds, model);
  if (call.find("allowed_token_ids") != nullptr && sampling.allowed_ids.empty()) {
    throw ApiError{400, "'allowed_token_ids' allows no token.", "allowed_token_ids", "invalid_value"};
  }
  const json::array* words = call.array("bad_words");
  if (words == nullptr) return;
  if (words->size() > ranges::kMostBadWords) {
    throw ApiError{400, message("'bad_words' holds more than ", ranges::kMostBadWords, " texts."),
                   "bad_words", "invalid_value"};
  }
  for (size_t i = 0; i < words->size(); ++i) {
    sampling.bad_words.push_back(
        read_short_text((*words)[i], element("bad_words", i), ranges::kLongestBadWord));
  }
}

void read_logit_bias(const Fields& call, const ModelInfo& model, SamplingParams& sampling) {
  const json::object* bias = call.object("logit_bias");
  if (bias == nullptr) return;
  if (bias->size() > ranges::kMostLogitBiases) {
    throw ApiError{400, message("'logit_bias' holds more than ", ranges::kMostLogitBiases, " tokens."),
                   "logit_bias", "invalid_value"};
  }
  for (const auto& [key, value] : *bias) {
    const std::string path = "logit_bias." + quoted(key, 32);
    int64_t id = 0;
    const char* end = key.data() + key.size();
    const auto [stopped, failed] = std::from_chars(key.data(), end, id);
    if (failed != std::errc() || stopped != end || id < 0 || id >= model.vocabulary) {
      throw ApiError{400, message("'", path, "': the key must be a token id below ", model.vocabulary, "."),
                     path, "invalid_value"};
    }
    sampling.logit_bias[static_cast<int32_t>(id)] =
        static_cast<float>(to_number(value, path, {ranges::kLogitBias.least, ranges::kLogitBias.most}));
  }
}

SamplingParams read_sampling(const Fields& call, Endpoint endpoint, const ModelInfo& model) {
  SamplingParams s{model.sampling, {}, {}};
  const auto set = [&](std::string_view name, ranges::Range range, float& to) {
    if (const auto v = call.number(name, {range.least, range.most})) to = static_cast<float>(*v);
  };
  set("temperature", ranges::kTemperature, s.temperature);
  set("top_p", ranges::kTopP, s.top_p);
  set("min_p", ranges::kMinP, s.min_p);
  set("repetition_penalty", ranges::kRepetitionPenalty, s.repetition_penalty);
  set("presence_penalty", ranges::kPresencePenalty, s.presence_penalty);
  set("frequency_penalty", ranges::kFrequencyPenalty, s.frequency_penalty);
  const bool penalized =
      s.repetition_penalty != 1.0f || s.presence_penalty != 0.0f || s.frequency_penalty != 0.0f;
  if (penalized && call.find("repeat_last_n") != nullptr) {
    throw_unsupported("repeat_last_n", "penalties look at the whole answer here.");
  }
  if (const auto k = call.integer("top_k", -1, std::numeric_limits<int32_t>::max())) {
    s.top_k = static_cast<int>(std::max<int64_t>(0, *k));  // -1 is "off" in vLLM's clients
  }
  if (s.top_p == 0) {  // the smallest set of tokens there is: the most likely one
    s.top_p = 1;
    s.top_k = 1;
  }
  constexpr auto kAny = std::numeric_limits<int64_t>();
  if (const auto seed = call.integer("seed", kAny.min(), kAny.max())) s.seed = static_cast<uint64_t>(*seed);
  read_logprobs(call, endpoint, s);
  read_logit_bias(call, model, s);
  read_token_rules(call, model, s);
  return s;
}

void read_stops(const Fields& call, const ModelInfo& model, StopRules& rules) {
  const auto add = [&](const json::value& v, const std::string& path) {
    rules.stop.push_back(read_short_text(v, path, ranges::kLongestStop));
  };
  if (const json::value* stop = call.find("stop")) {
    if (stop->is_array()) {
      const json::array& list = stop->get_array();
      if (list.size() > ranges::kMostStops) {
        throw ApiError{400, message("'stop' holds more than ", ranges::kMostStops, " strings."), "stop",
                       "invalid_value"};
      }
      for (size_t i = 0; i < list.size(); ++i) add(list[i], element("stop", i));
    } else if (stop->is_string()) {
      add(*stop, "stop");
    } else {
      throw_bad_field("stop", "a string or an array of strings", *stop);
    }
  }
  rules.stop_ids = read_ids(call, "stop_token_ids", ranges::kMostStopIds, model);
}

// `least`: of the tokens asked for.
StopRules read_stop_rules(const Fields& call, Endpoint endpoint, const ModelInfo& model, int64_t least) {
  constexpr int64_t kMostTokens = std::numeric_limits<int32_t>::max();
  StopRules rules;
  const auto max_tokens = call.integer("max_tokens", least, kMostTokens);
  const auto max_completion = call.integer("max_completion_tokens", least, kMostTokens);
  const int64_t unsaid = endpoint == Endpoint::completions ? kLegacyMaxTokens : 0;
  rules.max_tokens = static_cast<int>(max_completion.value_or(max_tokens.value_or(unsaid)));
  rules.min_tokens = static_cast<int>(call.integer("min_tokens", 0, kMostTokens).value_or(0));
  const bool bounded = rules.max_tokens > 0 || max_completion || max_tokens;
  if (bounded && rules.min_tokens > rules.max_tokens) {
    throw ApiError{400, "'min_tokens' must not be more than the most tokens allowed.", "min_tokens",
                   "invalid_value"};
  }
  rules.ignore_eos = call.boolean("ignore_eos").value_or(false);
  rules.keep_stop = call.boolean("include_stop_str_in_output").value_or(false);
  rules.skip_special = call.boolean("skip_special_tokens").value_or(true);
  read_stops(call, model, rules);
  return rules;
}

// Fields of which one value is honoured.
void read_fixed(const Fields& call) {
  const int64_t n = call.integer("n", 1, std::numeric_limits<int32_t>::max()).value_or(1);
  if (call.integer("best_of", 1, std::numeric_limits<int32_t>::max()).value_or(n) != n) {
    throw_unsupported("best_of", "choosing among more answers than 'n' is not supported by this server.");
  }
}

// Returns the name that the client asked by, which its answer bears.
std::string read_model(const Fields& call, const ModelInfo& model) {
  const auto name = call.string("model");
  if (!name || *name == model.id) return model.id;
  if (std::find(model.aliases.begin(), model.aliases.end(), *name) == model.aliases.end()) {
    throw ApiError{
        404,
        message("The model '", quoted(*name), "' does not exist here; this server has '", model.id, "'."),
        "model", "model_not_found"};
  }
  return std::string(*name);
}

void read_stream(const Fields& fields, FieldCheck& known, Call& call) {
  call.stream = fields.boolean("stream").value_or(false);
  const json::object* options = fields.object("stream_options");
  if (options == nullptr) return;
  known.check(kStreamOptionsFields, *options, "stream_options.");
  const Fields wanted(*options, "stream_options.");
  call.include_usage = wanted.boolean("include_usage").value_or(false);
  call.usage_in_chunks = wanted.boolean("continuous_usage_stats").value_or(false);
  if ((call.include_usage || call.usage_in_chunks) && !call.stream) {
    throw ApiError{400, "'stream_options' needs 'stream' to be true.", "stream_options", "invalid_value"};
  }
}

std::string_view nearest_of(const std::vector<std::string>& names, std::string_view name) {
  return *std::min_element(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return edit_distance(name, a) < edit_distance(name, b);
  });
}

// Variables for the chat template: those that it knows.
std::string read_template_variables(const Fields& call, const ModelInfo& model, FieldCheck& known) {
  const json::object* asked = call.object("chat_template_kwargs");
  if (asked == nullptr) return "";
  const std::vector<std::string>& names = model.template_variables;
  json::object taken;
  for (const auto& [key, value] : *asked) {
    if (std::find(names.begin(), names.end(), key) != names.end()) {
      taken.emplace(key, value);
    } else {
      known.unknown("chat_template_kwargs.", key, "a variable of this model's chat template",
                    names.empty() || !known.may_measure(key) ? "" : nearest_of(names, key));
    }
  }
  std::string text = taken.empty() ? "" : json::serialize(taken);
  check_text_bytes(text.size(), model, "chat_template_kwargs");
  return text;
}

// Tools belong to the conversation; how the answer uses them, to the call.
void set_tools(const ToolUse& use, const ModelInfo& model, Call& call) {
  if (!use.may_call) return;
  call.tools = model.tools;
  call.parallel_calls = use.parallel;
  call.tool_names = use.names;
  call.held_tools = use.held;
}

// A conversation ends with a new turn of the assistant, as it is, or within its last message.
Request read_conversation(const Fields& call, const ModelInfo& model, const NetOptions& limits, bool sizes,
                          FieldCheck& known, const ImageIntake& intake) {
  Request request;
  request.messages = read_messages(call, model, limits, sizes, known, intake);
  request.template_variables = read_template_variables(call, model, known);
  request.tools = read_tools(call, model, known).tools;
  check_text_bytes(request.tools.size(), model, "tools");
  const auto new_turn = call.boolean("add_generation_prompt");
  request.continue_final_message = call.boolean("continue_final_message").value_or(false);
  request.add_generation_prompt = new_turn.value_or(!request.continue_final_message);
  if (request.continue_final_message && request.add_generation_prompt) {
    throw ApiError{400, "'continue_final_message' and 'add_generation_prompt' cannot both be true.",
                   "continue_final_message", "invalid_value"};
  }
  return request;
}

// The parts of a message are those of its content, one for one.
void set_places(const std::vector<Message>& messages, FieldPlaces& places) {
  places.prompt = "messages";
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::vector<MessagePart>& parts = messages[i].parts;
    for (size_t j = 0; j < parts.size(); ++j) {
      if (!parts[j].is_image()) continue;
      const std::string part = element(element("messages", i) + ".content", j);
      places.images.push_back(part + (parts[j].size ? "" : ".image_url"));
    }
  }
}

// 0: whole; -1: as much as the context has room for.
int read_truncation(const Fields& call) {
  const auto tokens = call.integer("truncate_prompt_tokens", -1, std::numeric_limits<int32_t>::max());
  if (tokens && *tokens == 0) {
    throw ApiError{400, "'truncate_prompt_tokens' must be positive, or -1.", "truncate_prompt_tokens",
                   "invalid_value"};
  }
  return static_cast<int>(tokens.value_or(0));
}

// An answer that begins with its prompt.
void read_echo(const Fields& fields, int truncation, Call& call) {
  call.echo = fields.boolean("echo").value_or(false);
  if (call.echo && truncation != 0) {
    throw_unsupported("truncate_prompt_tokens", "'echo' is not supported beside it.");
  }
}

// Returns how many likely tokens are told at each place of the prompt; -1: its tokens are not scored. An echo
// has the log-probabilities of its prompt's tokens, as of the answer's.
int read_prompt_logprobs(const Fields& fields, const SamplingParams& sampling, Call& call) {
  if (const auto top = fields.integer("prompt_logprobs", 0, ranges::kMostLogprobs)) {
    if (call.stream) throw_unsupported("prompt_logprobs", "a stream does not tell them.");
    call.prompt_logprobs = static_cast<int>(*top);
  }
  const int echoed = call.echo ? sampling.logprobs : -1;
  call.places.scores = echoed > call.prompt_logprobs ? "logprobs" : "prompt_logprobs";
  return std::max(call.prompt_logprobs, echoed);
}

Call read_call(Endpoint endpoint, const Fields& fields, const ModelInfo& model, const NetOptions& limits,
               FieldCheck& known, const ImageIntake& intake) {
  Call call{.endpoint = endpoint, .model = read_model(fields, model), .fingerprint = model.fingerprint};
  read_fixed(fields);
  call.n = static_cast<int>(fields.integer("n", 1, limits.max_choices).value_or(1));
  read_stream(fields, known, call);
  SamplingParams sampling = read_sampling(fields, endpoint, model);
  std::optional<AnswerRule> rule = read_rule(fields, known);
  call.logprobs = sampling.logprobs >= 0;
  const int truncation = read_truncation(fields);
  if (endpoint == Endpoint::completions) read_echo(fields, truncation, call);
  StopRules stop = read_stop_rules(fields, endpoint, model, call.echo ? 0 : 1);
  const int prompt_logprobs = read_prompt_logprobs(fields, sampling, call);
  stop.prompt_only = call.prompt_only = call.echo && stop.max_tokens == 0;
  const int64_t priority =
      fields.integer("priority", -ranges::kMostPriority, ranges::kMostPriority).value_or(0);
  call.timeout_s = fields.number("timeout", {0, kLongestTimeout, true}).value_or(0);
  call.thinks = endpoint != Endpoint::completions && model.thinks;
  const bool timeline = fields.boolean("timeline").value_or(false);

  std::vector<Request> prompts;
  if (endpoint != Endpoint::completions) {
    prompts.push_back(read_conversation(fields, model, limits, endpoint == Endpoint::plan, known, intake));
    set_places(prompts.back().messages, call.places);
    ToolUse use = read_tools(fields, model, known, std::move(rule));
    set_tools(use, model, call);
    rule = std::move(use.rule);
  } else {
    prompts = read_prompts(fields, model, limits, truncation != 0);
    call.places.prompt = "prompt";
  }
  if (rule) {
    sampling.grammar = std::move(rule->grammar);
    call.places.rule = std::move(rule->field);
  }
  if (prompts.size() > static_cast<size_t>(limits.max_choices / call.n)) {
    throw ApiError{400, message("'prompt' and 'n' ask for more than ", limits.max_choices, " answers."),
                   "prompt", "too_many_choices"};
  }
  for (Request& prompt : prompts) {
    prompt.n = call.n;
    prompt.sampling = sampling;
    prompt.stop = stop;
    prompt.priority = static_cast<int>(priority);
    prompt.truncate_prompt = truncation;
    prompt.timeline = timeline;
    prompt.prompt_logprobs = prompt_logprobs;
  }
  call.requests = std::move(prompts);
  return call;
}

Call read_responses(const Fields& fields, const ModelInfo& model, const NetOptions& limits, FieldCheck& known,
                    const ImageIntake& intake) {
  const ChatForm form = chat_of_responses(fields.object(), known);
  try {
    Call call = read_call(Endpoint::responses, Fields(form.chat, ""), model, limits, known, intake);
    call.repeated = form.echo;
    const auto told = [&](std::string& place) { place = form.told({.param = place}).param; };
    told(call.places.prompt);
    told(call.places.rule);
    std::ranges::for_each(call.places.images, told);
    return call;
  } catch (ApiError& error) {
    throw form.told(std::move(error));
  }
}

FieldObject fields_of(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::chat:
      return kChatFields;
    case Endpoint::plan:
      return kPlanFields;
    case Endpoint::responses:
      return kResponsesFields;
    case Endpoint::completions:
      break;
  }
  return kCompletionsFields;
}

// A text, or a conversation that is laid out as for an answer.
TokenizeCall read_tokenize(const Fields& fields, const ModelInfo& model, const NetOptions& limits,
                           FieldCheck& known, const ImageIntake& intake) {
  read_model(fields, model);
  TokenizeCall call;
  call.add_special = fields.boolean("add_special_tokens").value_or(true);
  call.with_texts = fields.boolean("return_token_strs").value_or(false);
  const auto text = fields.string("prompt");
  if (fields.find("messages") != nullptr) {
    if (text) throw ApiError{400, "Give either 'prompt' or 'messages'.", "messages", "invalid_value"};
    if (fields.find("add_special_tokens") != nullptr) {
      throw_unsupported("add_special_tokens", "the chat template and the tokenizer decide for 'messages'.");
    }
    call.conversation = read_conversation(fields, model, limits, true, known, intake);
    set_places(call.conversation->messages, call.places);
    return call;
  }
  if (!text) {
    throw ApiError{400, "'prompt' or 'messages' is missing.", "prompt", "missing_required_parameter"};
  }
  for (const std::string_view name :
       {"add_generation_prompt", "continue_final_message", "chat_template_kwargs", "tools"}) {
    if (fields.find(name) != nullptr) throw_unsupported(std::string(name), "it needs 'messages'.");
  }
  if (static_cast<int64_t>(text->size()) > limits.max_tokenize_bytes) {
    throw ApiError{413,
                   message("'prompt' has ", text->size(), " bytes; at most ", limits.max_tokenize_bytes,
                           " are tokenised here (net.max_tokenize_bytes)."),
                   "prompt", "request_too_large"};
  }
  call.text = std::string(*text);
  return call;
}

std::vector<int32_t> read_detokenize(const Fields& fields, const ModelInfo& model, const NetOptions& limits) {
  read_model(fields, model);
  const json::array* tokens = fields.array("tokens");
  if (tokens == nullptr) throw ApiError{400, "'tokens' is missing.", "tokens", "missing_required_parameter"};
  if (tokens->size() > static_cast<size_t>(limits.max_detokenize_ids)) {
    throw ApiError{413,
                   message("'tokens' has ", tokens->size(), " ids; at most ", limits.max_detokenize_ids,
                           " become a text here (net.max_detokenize_ids)."),
                   "tokens", "request_too_large"};
  }
  std::vector<int32_t> ids;
  for (size_t i = 0; i < tokens->size(); ++i)
    ids.push_back(to_token_id((*tokens)[i], element("tokens", i), model));
  return ids;
}

// Parses a body, holds its fields to the list, and reads it.
template <class Read>
auto parsed(FieldObject kind, std::string_view body, const NetOptions& limits, const Read& read)
    -> std::variant<decltype(read(std::declval<const Fields&>(), std::declval<FieldCheck&>())), ApiError> {
  try {
    const json::object object = parse_json_body(body, limits.max_json_values);
    FieldCheck known(limits);
    known.check(kind, object, "");
    auto call = read(Fields(object, ""), known);
    call.warning = known.warning();
    return call;
  } catch (ApiError& error) {
    return std::move(error);
  }
}

}  // namespace

std::variant<Call, ApiError> parse_call(Endpoint endpoint, std::string_view body, const ModelInfo& model,
                                        const NetOptions& limits, const ImageIntake& intake) {
  return parsed(fields_of(endpoint), body, limits, [&](const Fields& fields, FieldCheck& known) {
    if (endpoint == Endpoint::responses) return read_responses(fields, model, limits, known, intake);
    return read_call(endpoint, fields, model, limits, known, intake);
  });
}

std::variant<TokenizeCall, ApiError> parse_tokenize(std::string_view body, const ModelInfo& model,
                                                    const NetOptions& limits, const ImageIntake& intake) {
  return parsed(kTokenizeFields, body, limits, [&](const Fields& fields, FieldCheck& known) {
    return read_tokenize(fields, model, limits, known, intake);
  });
}

std::variant<DetokenizeCall, ApiError> parse_detokenize(std::string_view body, const ModelInfo& model,
                                                        const NetOptions& limits) {
  return parsed(kDetokenizeFields, body, limits, [&](const Fields& fields, FieldCheck&) {
    return DetokenizeCall{read_detokenize(fields, model, limits), ""};
  });
}

}  // namespace uhd
