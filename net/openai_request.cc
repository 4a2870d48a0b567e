#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <limits>

#include "base/error.h"
#include "engine/request_limits.h"
#include "net/json_body.h"
#include "net/json_fields.h"
#include "net/messages.h"
#include "net/openai.h"
#include "net/quoted.h"

namespace uhd {
namespace {

namespace json = boost::json;
namespace ranges = request_limits;

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

// "prompt": a string, an array of strings, an array of ids, or an array of arrays of ids.
std::vector<Request> read_prompts(const Fields& call, const ModelInfo& model, const NetOptions& limits) {
  const json::value* prompt = call.find("prompt");
  if (prompt == nullptr) throw ApiError{400, "'prompt' is missing.", "prompt", "missing_required_parameter"};
  const auto of_text = [&](std::string_view text, const std::string& path) {
    check_text_bytes(text.size(), model, path);
    Request request;
    request.prompt = std::string(text);
    return request;
  };
  const auto of_ids = [&](const json::array& ids, const std::string& path) {
    check_ids(ids.size(), model, path);
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
  SamplingParams s;
  const auto set = [&](std::string_view name, ranges::Range range, float& to) {
    if (const auto v = call.number(name, {range.least, range.most})) to = static_cast<float>(*v);
  };
  set("temperature", ranges::kTemperature, s.temperature);
  set("top_p", ranges::kTopP, s.top_p);
  set("min_p", ranges::kMinP, s.min_p);
  set("repetition_penalty", ranges::kRepetitionPenalty, s.repetition_penalty);
  set("presence_penalty", ranges::kPresencePenalty, s.presence_penalty);
  set("frequency_penalty", ranges::kFrequencyPenalty, s.frequency_penalty);
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
  return s;
}

void read_stops(const Fields& call, const ModelInfo& model, StopRules& rules) {
  const auto add = [&](const json::value& v, const std::string& path) {
    const std::string_view text = to_text(v, path);
    if (text.empty() || text.size() > ranges::kLongestStop) {
      throw ApiError{400, message("'", path, "' must have 1 to ", ranges::kLongestStop, " bytes."), path,
                     "invalid_value"};
    }
    rules.stop.emplace_back(text);
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
  if (const json::array* ids = call.array("stop_token_ids")) {
    if (ids->size() > ranges::kMostStopIds) {
      throw ApiError{400, "'stop_token_ids' holds too many ids.", "stop_token_ids", "invalid_value"};
    }
    for (size_t i = 0; i < ids->size(); ++i) {
      rules.stop_ids.push_back(to_token_id((*ids)[i], element("stop_token_ids", i), model));
    }
  }
}

StopRules read_stop_rules(const Fields& call, Endpoint endpoint, const ModelInfo& model) {
  constexpr int64_t kMany = std::numeric_limits<int32_t>::max();
  StopRules rules;
  const auto max_tokens = call.integer("max_tokens", 1, kMany);
  const auto max_completion = call.integer("max_completion_tokens", 1, kMany);
  const int64_t unsaid = endpoint == Endpoint::completions ? kLegacyMaxTokens : 0;
  rules.max_tokens = static_cast<int>(max_completion.value_or(max_tokens.value_or(unsaid)));
  rules.min_tokens = static_cast<int>(call.integer("min_tokens", 0, kMany).value_or(0));
  if (rules.max_tokens > 0 && rules.min_tokens > rules.max_tokens) {
    throw ApiError{400, "'min_tokens' must not be more than the most tokens allowed.", "min_tokens",
                   "invalid_value"};
  }
  rules.ignore_eos = call.boolean("ignore_eos").value_or(false);
  read_stops(call, model, rules);
  return rules;
}

// Fields that OpenAI knows and this server cannot honour: silence would be a wrong answer.
void refuse_unsupported(const Fields& call) {
  for (const std::string_view name : {"tools", "functions"}) {
    const json::array* list = call.array(name);
    if (list != nullptr && !list->empty())
      throw_unsupported(std::string(name), "tools are not supported by this server.");
  }
  if (const json::object* format = call.object("response_format")) {
    if (Fields(*format, "response_format.").string("type").value_or("text") != "text") {
      throw_unsupported("response_format", "only plain text is supported by this server.");
    }
  }
  if (call.find("audio") != nullptr) throw_unsupported("audio", "audio is not supported by this server.");
  if (call.boolean("echo").value_or(false))
    throw_unsupported("echo", "the prompt cannot be echoed by this server.");
  if (!call.string("suffix").value_or("").empty()) {
    throw_unsupported("suffix", "insertion before a suffix is not supported by this server.");
  }
  const int64_t n = call.integer("n", 1, std::numeric_limits<int32_t>::max()).value_or(1);
  if (call.integer("best_of", 1, std::numeric_limits<int32_t>::max()).value_or(n) != n) {
    throw_unsupported("best_of", "choosing among more answers than 'n' is not supported by this server.");
  }
}

void read_model(const Fields& call, const ModelInfo& model) {
  const auto name = call.string("model");
  if (name && *name != model.id) {
    throw ApiError{
        404,
        message("The model '", quoted(*name), "' does not exist here; this server has '", model.id, "'."),
        "model", "model_not_found"};
  }
}

void read_stream(const Fields& fields, Call& call) {
  call.stream = fields.boolean("stream").value_or(false);
  const json::object* options = fields.object("stream_options");
  if (options == nullptr) return;
  call.include_usage = Fields(*options, "stream_options.").boolean("include_usage").value_or(false);
  if (call.include_usage && !call.stream) {
    throw ApiError{400, "'stream_options' needs 'stream' to be true.", "stream_options", "invalid_value"};
  }
}

// A conversation ends with a new turn of the assistant, as it is, or within its last message.
void read_end(const Fields& call, Request& request) {
  const auto new_turn = call.boolean("add_generation_prompt");
  request.continue_final_message = call.boolean("continue_final_message").value_or(false);
  request.add_generation_prompt = new_turn.value_or(!request.continue_final_message);
  if (request.continue_final_message && request.add_generation_prompt) {
    throw ApiError{400, "'continue_final_message' and 'add_generation_prompt' cannot both be true.",
                   "continue_final_message", "invalid_value"};
  }
}

Call read_call(Endpoint endpoint, const Fields& fields, const ModelInfo& model, const NetOptions& limits) {
  read_model(fields, model);
  refuse_unsupported(fields);
  fields.string("user");
  Call call{.endpoint = endpoint, .model = model.id};
  call.n = static_cast<int>(fields.integer("n", 1, limits.max_choices).value_or(1));
  read_stream(fields, call);
  const SamplingParams sampling = read_sampling(fields, endpoint, model);
  const StopRules stop = read_stop_rules(fields, endpoint, model);
  const int64_t priority =
      fields.integer("priority", -ranges::kMostPriority, ranges::kMostPriority).value_or(0);
  call.logprobs = sampling.logprobs >= 0;

  std::vector<Request> prompts;
  if (endpoint != Endpoint::completions) {
    Request request;
    request.messages = read_messages(fields, model, limits, endpoint == Endpoint::plan);
    read_end(fields, request);
    prompts.push_back(std::move(request));
  } else {
    if (fields.boolean("continue_final_message").value_or(false)) {
      throw_unsupported("continue_final_message", "a prompt has no messages; it is continued as it is.");
    }
    prompts = read_prompts(fields, model, limits);
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
  }
  call.requests = std::move(prompts);
  return call;
}

}  // namespace

std::variant<Call, ApiError> parse_call(Endpoint endpoint, std::string_view body, const ModelInfo& model,
                                        const NetOptions& limits) {
  try {
    const json::object object = parse_json_body(body, limits.max_json_values);
    return read_call(endpoint, Fields(object, ""), model, limits);
  } catch (ApiError& error) {
    return std::move(error);
  }
}

std::variant<TokenizeCall, ApiError> parse_tokenize(std::string_view body, const NetOptions& limits) {
  try {
    const json::object object = parse_json_body(body, limits.max_json_values);
    const Fields fields(object, "");
    const auto text = fields.string("prompt");
    if (!text) throw ApiError{400, "'prompt' is missing.", "prompt", "missing_required_parameter"};
    if (static_cast<int64_t>(text->size()) > limits.max_tokenize_bytes) {
      throw ApiError{413,
                     message("'prompt' has ", text->size(), " bytes; at most ", limits.max_tokenize_bytes,
                             " are tokenised here (net.max_tokenize_bytes)."),
                     "prompt", "request_too_large"};
    }
    return TokenizeCall{std::string(*text), fields.boolean("add_special_tokens").value_or(true)};
  } catch (ApiError& error) {
    return std::move(error);
  }
}

std::variant<std::vector<int32_t>, ApiError> parse_detokenize(std::string_view body, const ModelInfo& model,
                                                              const NetOptions& limits) {
  try {
    const json::object object = parse_json_body(body, limits.max_json_values);
    const json::array* tokens = Fields(object, "").array("tokens");
    if (tokens == nullptr)
      throw ApiError{400, "'tokens' is missing.", "tokens", "missing_required_parameter"};
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
  } catch (ApiError& error) {
    return std::move(error);
  }
}

}  // namespace uhd
