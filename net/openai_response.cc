#include <algorithm>
#include <boost/json.hpp>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "net/image_json.h"
#include "net/openai.h"
#include "net/sse.h"

namespace uhd {
namespace {

namespace json = boost::json;

// JSON holds whole characters only; a token may end within one.
std::string text_of(std::string_view bytes) { return repair_utf8(bytes, Replacement::per_byte); }

json::value finish_json(FinishReason finish, bool calls) {
  switch (finish) {
    case FinishReason::stop:
      return calls ? "tool_calls" : "stop";
    case FinishReason::length:
      return "length";
    default:
      return nullptr;
  }
}

json::value stop_reason_json(const StopReason& reason) {
  if (const auto* id = std::get_if<int32_t>(&reason)) return *id;
  if (const auto* text = std::get_if<std::string>(&reason)) return json::string(*text);
  return nullptr;
}

json::array bytes_json(const std::string& bytes) {
  json::array list;
  for (const char c : bytes) list.emplace_back(static_cast<uint8_t>(c));
  return list;
}

json::object token_json(const std::string& bytes, float logprob) {
  return {{"token", text_of(bytes)}, {"logprob", logprob}, {"bytes", bytes_json(bytes)}};
}

json::object chat_logprobs(const std::vector<TokenLogprob>& tokens) {
  json::array content;
  for (const TokenLogprob& t : tokens) {
    json::object entry = token_json(t.bytes, t.logprob);
    json::array top;
    for (const auto& [bytes, logprob] : t.top) top.push_back(token_json(bytes, logprob));
    entry["top_logprobs"] = std::move(top);
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

// Returns where the tokens of one event begin, in characters of the answer, of which the event adds [before,
// after).
std::vector<size_t> offsets_of(const std::vector<TokenLogprob>& tokens, size_t before, size_t after) {
  std::vector<size_t> offsets;
  size_t begun = before;  // characters
  for (const TokenLogprob& t : tokens) {
    const bool inside = !t.bytes.empty() && !begins_character(t.bytes.front()) && begun > before;
    offsets.push_back(std::min(inside ? begun - 1 : begun, after));
    begun += count_characters(t.bytes);
  }
  return offsets;
}

// JSON has no infinity. Clients of vLLM know this number for "never".
double finite(float logprob) { return std::max(static_cast<double>(logprob), -9999.0); }

std::span<const PromptToken::Likely> likeliest_of(const PromptToken& token, int most) {
  return std::span(token.top).first(std::min(token.top.size(), static_cast<size_t>(std::max(most, 0))));
}

// The older form: likely tokens by their texts, and the token itself among them.
class LegacyLogprobs {
 public:
  void add(const TokenLogprob& token, size_t offset) {
    json::object top;
    for (const auto& [bytes, logprob] : token.top) top.emplace(text_of(bytes), finite(logprob));
    add(text_of(token.bytes), token.logprob, std::move(top), offset);
  }
  // One of the prompt, with the likeliest `most` tokens.
  void add(const PromptToken& token, int most, size_t offset) {
    std::string text = text_of(token.bytes);
    if (!token.scored) {
      texts_.emplace_back(std::move(text));
      logprobs_.emplace_back(nullptr);
      tops_.emplace_back(nullptr);
      offsets_.emplace_back(offset);
      return;
    }
    json::object top;
    for (const PromptToken::Likely& likely : likeliest_of(token, most)) {
      top.emplace(text_of(likely.bytes), finite(likely.logprob));
    }
    add(text, token.logprob, std::move(top), offset);
  }
  json::object take() {
    return {{"tokens", std::move(texts_)},
            {"token_logprobs", std::move(logprobs_)},
            {"top_logprobs", std::move(tops_)},
            {"text_offset", std::move(offsets_)}};
  }

 private:
  void add(const std::string& text, float logprob, json::object top, size_t offset) {
    top.emplace(text, finite(logprob));
    texts_.emplace_back(text);
    logprobs_.emplace_back(finite(logprob));
    tops_.push_back(std::move(top));
    offsets_.emplace_back(offset);
  }

  json::array texts_, logprobs_, tops_, offsets_;
};

// Returns where each token of a prompt begins in its text, in characters. A token that is no part of the text
// (one that every text begins with), or that is spelt otherwise there, takes no room.
std::vector<size_t> offsets_in(std::string_view text, const std::vector<PromptToken>& tokens) {
  constexpr size_t kFar = 16;  // bytes of the text that a token may have lost
  std::vector<size_t> offsets;
  size_t at = 0;          // bytes
  size_t characters = 0;  // before them
  for (const PromptToken& token : tokens) {
    std::string_view bytes = token.bytes;
    const auto find = [&](std::string_view part) {
      return part.empty() ? std::string_view::npos : text.substr(at, part.size() + kFar).find(part);
    };
    size_t skipped = find(bytes);
    if (skipped != 0 && bytes.starts_with(' ') && find(bytes.substr(1)) == 0) {
      bytes.remove_prefix(1);  // the space that a tokenizer puts before a text
      skipped = 0;
    }
    if (skipped == std::string_view::npos) {
      offsets.push_back(characters);
      continue;
    }
    characters += count_characters(text.substr(at, skipped));
    at += skipped;
    const bool inside = !begins_character(text[at]) && characters > 0;
    offsets.push_back(inside ? characters - 1 : characters);
    characters += count_characters(text.substr(at, bytes.size()));
    at += bytes.size();
  }
  return offsets;
}

// vLLM's form: for each place of the prompt the token there and the likely ones, by their ids; null for the
// first, and where an image stands.
json::array prompt_logprobs_json(const std::vector<PromptToken>& tokens, int most) {
  json::array places;
  for (const PromptToken& token : tokens) {
    if (!token.scored) {
      places.emplace_back(nullptr);
      continue;
    }
    json::object place;
    const auto tell = [&](int32_t id, const std::string& bytes, float logprob, int rank) {
      place.emplace(
          std::to_string(id),
          json::object{{"logprob", finite(logprob)}, {"rank", rank}, {"decoded_token", text_of(bytes)}});
    };
    tell(token.id, token.bytes, token.logprob, token.rank);
    int rank = 0;
    for (const PromptToken::Likely& likely : likeliest_of(token, most)) {
      tell(likely.id, likely.bytes, likely.logprob, ++rank);
    }
    places.push_back(std::move(place));
  }
  return places;
}

json::object usage_json(const Usage& u, int reasoning_tokens) {
  return {{"prompt_tokens", u.prompt_tokens},
          {"completion_tokens", u.completion_tokens},
          {"total_tokens", u.prompt_tokens + u.completion_tokens},
          {"prompt_tokens_details",
           json::object{{"cached_tokens", u.cached_tokens}, {"image_tokens", u.image_tokens}}},
          // No model here hears or takes a prediction.
          {"completion_tokens_details", json::object{{"reasoning_tokens", reasoning_tokens},
                                                     {"audio_tokens", 0},
                                                     {"accepted_prediction_tokens", 0},
                                                     {"rejected_prediction_tokens", 0}}}};
}

}  // namespace

json::object extension_json(const Usage& u) {
  json::array images;
  for (const ImageReport& i : u.images) {
    json::object image = image_json(i);
    image["cached_slices"] = i.cached_slices;
    images.push_back(std::move(image));
  }
  const StageTimes& t = u.times;
  return {{"images", std::move(images)},
          {"times", json::object{{"queue", t.queue},
                                 {"preprocess", t.preprocess},
                                 {"encode", t.encode},
                                 {"prefill", t.prefill},
                                 {"decode", t.decode},
                                 {"ttft", t.ttft},
                                 {"total", t.total}}}};
}

namespace {

// A number that the stage does not know is left out.
json::object span_json(const TimelineSpan& span) {
  json::object object{{"stage", name_of(span.stage)}, {"begin", span.begin}, {"end", span.end}};
  for (const auto& [name, value] : {std::pair{"image", span.image},
                                    {"slice", span.slice},
                                    {"encoder", span.encoder},
                                    {"answer", span.answer},
                                    {"tokens", span.tokens}}) {
    if (value >= 0) object[name] = value;
  }
  return object;
}

}  // namespace

std::string model_json(const ModelInfo& model, const std::string& name, int64_t created) {
  return json::serialize(json::object{{"id", name},
                                      {"object", "model"},
                                      {"created", created},
                                      {"owned_by", "uhd"},
                                      {"root", model.id},
                                      {"family", model.family},
                                      {"vision", model.vision},
                                      {"max_model_len", model.context_length}});
}

std::string models_json(const ModelInfo& model, int64_t created) {
  std::string list = model_json(model, model.id, created);
  for (const std::string& name : model.aliases) list += ',' + model_json(model, name, created);
  return R"({"object":"list","data":[)" + list + "]}";
}

ReplyWriter::ReplyWriter(const Call& call, std::string id, int64_t created)
    : endpoint_(call.endpoint),
      stream_(call.stream),
      include_usage_(call.include_usage),
      usage_in_chunks_(call.usage_in_chunks),
      logprobs_(call.logprobs),
      timeline_(!call.requests.empty() && call.requests.front().timeline),
      likely_(call.requests.empty() ? 0 : call.requests.front().sampling.logprobs),
      prompt_likely_(call.prompt_logprobs),
      thinks_(call.thinks),
      n_(call.n),
      model_(call.model),
      fingerprint_(call.fingerprint),
      id_(std::move(id)),
      created_(created),
      places_(call.places),
      prompts_(call.requests.size()),
      choices_(call.requests.size() * static_cast<size_t>(call.n)) {
  if (endpoint_ == Endpoint::responses) {
    responses_ = std::make_unique<ResponsesWriter>(id_, model_, call.repeated, created_, stream_);
  }
  for (Choice& choice : choices_)
    choice.splits_calls = ToolSplitter(call.tools, call.parallel_calls, call.tool_names, call.held_tools);
}

std::string ReplyWriter::end_of_responses(FinishReason finish) {
  return responses_->end(finish, usage(), reasoning_tokens(), json::serialize(extension_json(usage())));
}

std::string ReplyWriter::call_id(size_t choice, size_t call) const {
  return message("call_", id_, '_', choice, '_', call);
}

void ReplyWriter::accepted(size_t prompt, int tokens, int image_tokens) {
  prompts_[prompt].tokens = tokens;
  prompts_[prompt].image_tokens = image_tokens;
}

void ReplyWriter::begin_in_thoughts(size_t prompt) {
  for (size_t answer = 0; answer < static_cast<size_t>(n_); ++answer) {
    choices_[prompt * static_cast<size_t>(n_) + answer].splitter.open();
  }
}

std::string ReplyWriter::take(size_t index, TokenEvent&& event) {
  Choice& choice = choices_[index];
  if (event.span) return finished() ? "" : take_span(index, *event.span);
  if (finished() || choice.finish != FinishReason::none) return {};
  if (event.finish == FinishReason::error || event.finish == FinishReason::cancelled) {
    failure_ = event.failure ? api_error(*event.failure, places_)
               : event.finish == FinishReason::error
                   ? ApiError{500, "The request failed.", "", "internal_error"}
                   : ApiError{503, "The request was given up by the server.", "", "cancelled"};
    if (responses_ != nullptr) return stream_ && begun_ ? responses_->fail(*failure_) : std::string();
    return stream_ && begun_ ? sse_event(error_json(*failure_)) + std::string(kSseDone) : std::string();
  }
  if (!event.prompt.empty()) {  // comes by itself
    Prompt& prompt = prompts_[index / static_cast<size_t>(n_)];
    std::move(event.prompt.begin(), event.prompt.end(), std::back_inserter(prompt.scored));
    if (event.memory) prompt.memory = std::move(event.memory);
    return {};
  }
  event.text = text_of(event.text);
  std::string thoughts;
  if (thinks_) {
    auto parts = choice.splitter.take(event.text, event.finish != FinishReason::none);
    thoughts = std::move(parts.thoughts);
    event.text = std::move(parts.answer);
  }
  const auto parts = choice.splits_calls.take(event.text, event.finish != FinishReason::none);
  event.text = parts.text();
  const std::vector<ToolDelta> calls = parts.pieces();
  // The prompt goes before the first of the answer's text.
  std::string echo;
  if (!choice.begun) echo = text_of(prompt_of(index).echo);
  choice.characters += count_characters(echo);
  const size_t before = std::exchange(choice.characters, choice.characters + count_characters(event.text));
  const std::vector<size_t> offsets = offsets_of(event.logprobs, before, choice.characters);
  if (!echo.empty()) event.text.insert(0, echo);
  choice.tokens += static_cast<int>(event.ids.size());
  if (choice.splitter.thinking()) choice.reasoning_tokens += static_cast<int>(event.ids.size());
  choice.stop_reason = event.stop_reason;
  std::string frames;
  if (responses_ != nullptr) {
    frames = responses_->take(thoughts, parts);
    begun_ = begun_ || !frames.empty();
  } else if (stream_)
    frames = stream_frames(index, event, thoughts, calls, offsets);
  choice.begun = true;
  choice.finish = event.finish;
  if (!stream_ && responses_ == nullptr) {
    choice.thoughts += thoughts;
    choice.text += event.text;
    for (const ToolDelta& piece : calls) {
      if (piece.begins) choice.calls.push_back({piece.call, true, piece.name, ""});
      if (!choice.calls.empty()) choice.calls.back().arguments += piece.arguments;
    }
    std::move(event.logprobs.begin(), event.logprobs.end(), std::back_inserter(choice.logprobs));
    choice.offsets.insert(choice.offsets.end(), offsets.begin(), offsets.end());
  }
  if (event.usage) choice.usage = *std::move(event.usage);
  if (choice.finish != FinishReason::none && ++ended_ == choices_.size()) {
    if (responses_ != nullptr) return frames + end_of_responses(choice.finish);
    if (!stream_) return frames;
    if (include_usage_) {
      json::object last{{"id", id_},
                        {"object", endpoint_ == Endpoint::chat ? "chat.completion.chunk" : "text_completion"},
                        {"created", created_},
                        {"model", model_},
                        {"system_fingerprint", fingerprint_},
                        {"choices", json::array()},
                        {"usage", usage_json(usage(), reasoning_tokens())},
                        {"uhd", extension_json(usage())}};
      frames += sse_event(json::serialize(last));
    }
    frames += kSseDone;
  }
  return frames;
}

// A chunk without choices, which clients of OpenAI's know from the usage at the end.
std::string ReplyWriter::take_span(size_t index, const TimelineSpan& span) {
  if (!stream_) {
    prompts_[index / static_cast<size_t>(n_)].timeline.push_back(span);
    return {};
  }
  begun_ = true;
  json::object chunk{{"id", id_},       {"object", "chat.completion.chunk"},  {"created", created_},
                     {"model", model_}, {"system_fingerprint", fingerprint_}, {"choices", json::array()}};
  if (include_usage_) chunk["usage"] = nullptr;
  chunk["uhd"] = json::object{{"timeline", json::array{span_json(span)}}};
  return sse_event(json::serialize(chunk));
}

std::string ReplyWriter::stream_frames(size_t index, const TokenEvent& event, const std::string& thoughts,
                                       const std::vector<ToolDelta>& calls,
                                       const std::vector<size_t>& offsets) {
  Choice& choice = choices_[index];
  const bool chat = endpoint_ == Endpoint::chat;
  std::string frames;
  const auto send = [&](json::object fields) {
    fields["index"] = index;
    json::object chunk{{"id", id_},
                       {"object", chat ? "chat.completion.chunk" : "text_completion"},
                       {"created", created_},
                       {"model", model_},
                       {"system_fingerprint", fingerprint_}};
    chunk["choices"] = json::array{std::move(fields)};
    if (usage_in_chunks_) {
      const Prompt& prompt = prompt_of(index);
      chunk["usage"] = usage_json(Usage{.prompt_tokens = prompt.tokens,
                                        .completion_tokens = choice.tokens,
                                        .image_tokens = prompt.image_tokens},
                                  choice.reasoning_tokens);
    } else if (include_usage_) {
      chunk["usage"] = nullptr;
    }
    frames += sse_event(json::serialize(chunk));
    begun_ = true;
  };
  if (chat && !choice.begun) {
    send({{"delta", json::object{{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}}},
          {"logprobs", nullptr},
          {"finish_reason", nullptr}});
  }
  json::value logprobs = nullptr;
  const bool tells_prompt = !choice.begun && !prompt_of(index).scored.empty();
  if (logprobs_ && (tells_prompt || !event.logprobs.empty())) {
    logprobs =
        chat ? chat_logprobs(event.logprobs) : legacy_logprobs(index, tells_prompt, event.logprobs, offsets);
  }
  if (!chat) {
    if (!event.text.empty() || !logprobs.is_null() || event.finish != FinishReason::none) {
      send({{"text", event.text},
            {"logprobs", std::move(logprobs)},
            {"finish_reason", finish_json(event.finish, false)},
            {"stop_reason", stop_reason_json(event.stop_reason)}});
    }
    return frames;
  }
  if (!thoughts.empty()) {
    send({{"delta", json::object{{"reasoning_content", thoughts}}},
          {"logprobs", nullptr},
          {"finish_reason", nullptr}});
  }
  if (!event.text.empty() || !logprobs.is_null()) {
    send({{"delta", json::object{{"content", event.text}}},
          {"logprobs", std::move(logprobs)},
          {"finish_reason", nullptr}});
  }
  for (const ToolDelta& piece : calls) {
    json::object function{{"arguments", piece.arguments}};
    json::object call{{"index", piece.call}};
    if (piece.begins) {
      function["name"] = piece.name;
      call["id"] = call_id(index, piece.call);
      call["type"] = "function";
    }
    call["function"] = std::move(function);
    send({{"delta", json::object{{"tool_calls", json::array{std::move(call)}}}},
          {"logprobs", nullptr},
          {"finish_reason", nullptr}});
  }
  if (event.finish != FinishReason::none) {
    send({{"delta", json::object()},
          {"logprobs", nullptr},
          {"finish_reason", finish_json(event.finish, choice.splits_calls.calls() > 0)},
          {"stop_reason", stop_reason_json(event.stop_reason)}});
  }
  return frames;
}

int ReplyWriter::reasoning_tokens() const {
  int sum = 0;
  for (const Choice& choice : choices_) sum += choice.reasoning_tokens;
  return sum;
}

Usage ReplyWriter::usage() const {
  Usage sum;
  for (size_t i = 0; i < choices_.size(); ++i) {
    const Usage& u = choices_[i].usage;
    const bool ended = choices_[i].finish != FinishReason::none;
    sum.completion_tokens += ended ? u.completion_tokens : choices_[i].tokens;
    if (i % static_cast<size_t>(n_) != 0) continue;  // the prompt of n choices counts once
    sum.prompt_tokens += ended ? u.prompt_tokens : prompt_of(i).tokens;
    sum.image_tokens += ended ? u.image_tokens : prompt_of(i).image_tokens;
    sum.cached_tokens += u.cached_tokens;
  }
  sum.images = choices_.front().usage.images;
  sum.times = choices_.front().usage.times;
  return sum;
}

std::string ReplyWriter::body() const {
  if (responses_ != nullptr) return responses_->body();
  const bool chat = endpoint_ == Endpoint::chat;
  json::array choices;
  for (size_t i = 0; i < choices_.size(); ++i) {
    const Choice& c = choices_[i];
    json::object choice{{"index", i},
                        {"finish_reason", finish_json(c.finish, c.splits_calls.calls() > 0)},
                        {"stop_reason", stop_reason_json(c.stop_reason)},
                        {"logprobs", nullptr}};
    if (logprobs_) {
      choice["logprobs"] = chat ? chat_logprobs(c.logprobs) : legacy_logprobs(i, true, c.logprobs, c.offsets);
    }
    if (!chat && prompt_likely_ >= 0) {
      choice["prompt_logprobs"] = prompt_logprobs_json(prompt_of(i).scored, prompt_likely_);
    }
    if (chat) {
      json::object message{{"role", "assistant"}, {"content", c.text}, {"refusal", nullptr}};
      if (!c.thoughts.empty()) message["reasoning_content"] = c.thoughts;
      if (!c.calls.empty()) {
        json::array list;
        for (const ToolDelta& call : c.calls) {
          list.push_back(
              json::object{{"id", call_id(i, call.call)},
                           {"type", "function"},
                           {"function", json::object{{"name", call.name}, {"arguments", call.arguments}}}});
        }
        message["tool_calls"] = std::move(list);
        if (c.text.empty()) message["content"] = nullptr;
      }
      choice["message"] = std::move(message);
    } else {
      choice["text"] = c.text;
    }
    choices.push_back(std::move(choice));
  }
  json::object extension = extension_json(usage());
  if (timeline_) {
    json::array spans;
    for (const TimelineSpan& span : prompts_.front().timeline) spans.push_back(span_json(span));
    extension["timeline"] = std::move(spans);
  }
  json::object answer{{"id", id_},
                      {"object", chat ? "chat.completion" : "text_completion"},
                      {"created", created_},
                      {"model", model_},
                      {"system_fingerprint", fingerprint_},
                      {"choices", std::move(choices)},
                      {"usage", usage_json(usage(), reasoning_tokens())},
                      {"uhd", std::move(extension)}};
  if (chat && prompt_likely_ >= 0) {
    answer["prompt_logprobs"] = prompt_logprobs_json(prompts_.front().scored, prompt_likely_);
  }
  return json::serialize(answer);
}

// Where the prompt is echoed, its tokens go before the answer's.
json::object ReplyWriter::legacy_logprobs(size_t index, bool with_prompt,
                                          const std::vector<TokenLogprob>& tokens,
                                          const std::vector<size_t>& offsets) const {
  LegacyLogprobs list;
  const Prompt& prompt = prompt_of(index);
  if (with_prompt && !prompt.echo.empty()) {
    const std::vector<size_t> begins = offsets_in(prompt.echo, prompt.scored);
    for (size_t i = 0; i < begins.size(); ++i) list.add(prompt.scored[i], likely_, begins[i]);
  }
  for (size_t i = 0; i < tokens.size(); ++i) list.add(tokens[i], offsets[i]);
  return list.take();
}

}  // namespace uhd
