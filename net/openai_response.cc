#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "base/utf8.h"
#include "net/image_json.h"
#include "net/openai.h"
#include "net/sse.h"

namespace uhd {
namespace {

namespace json = boost::json;

// JSON holds whole characters only; a token may end within one.
std::string text_of(std::string_view bytes) { return repair_utf8(bytes, Replacement::per_byte); }

json::value finish_json(FinishReason finish) {
  switch (finish) {
    case FinishReason::stop:
      return "stop";
    case FinishReason::length:
      return "length";
    default:
      return nullptr;
  }
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

// Writes the older form.
json::object legacy_logprobs(const std::vector<TokenLogprob>& tokens, const std::vector<size_t>& begins) {
  json::array texts, logprobs, tops, offsets;
  for (const TokenLogprob& t : tokens) {
    texts.emplace_back(text_of(t.bytes));
    logprobs.emplace_back(t.logprob);
    json::object top;
    for (const auto& [bytes, logprob] : t.top) top[text_of(bytes)] = logprob;
    tops.push_back(std::move(top));
  }
  for (const size_t offset : begins) offsets.emplace_back(offset);
  return {{"tokens", std::move(texts)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

json::object usage_json(const Usage& u) {
  return {{"prompt_tokens", u.prompt_tokens},
          {"completion_tokens", u.completion_tokens},
          {"total_tokens", u.prompt_tokens + u.completion_tokens},
          {"prompt_tokens_details",
           json::object{{"cached_tokens", u.cached_tokens}, {"image_tokens", u.image_tokens}}}};
}

// Writes facts that no OpenAI field holds: how the images were cut, and the seconds of each stage.
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

}  // namespace

std::string model_json(const ModelInfo& model, int64_t created) {
  return json::serialize(json::object{{"id", model.id},
                                      {"object", "model"},
                                      {"created", created},
                                      {"owned_by", "uhd"},
                                      {"family", model.family},
                                      {"vision", model.vision},
                                      {"max_model_len", model.context_length}});
}

std::string models_json(const ModelInfo& model, int64_t created) {
  return R"({"object":"list","data":[)" + model_json(model, created) + "]}";
}

ReplyWriter::ReplyWriter(const Call& call, std::string id, int64_t created)
    : endpoint_(call.endpoint),
      stream_(call.stream),
      include_usage_(call.include_usage),
      logprobs_(call.logprobs),
      n_(call.n),
      model_(call.model),
      id_(std::move(id)),
      created_(created),
      choices_(call.requests.size() * static_cast<size_t>(call.n)) {}

std::string ReplyWriter::take(size_t index, TokenEvent&& event) {
  Choice& choice = choices_[index];
  if (finished() || choice.finish != FinishReason::none) return {};
  if (event.finish == FinishReason::error || event.finish == FinishReason::cancelled) {
    failure_ = event.failure ? api_error(*event.failure)
               : event.finish == FinishReason::error
                   ? ApiError{500, "The request failed.", "", "internal_error"}
                   : ApiError{503, "The request was given up by the server.", "", "cancelled"};
    return stream_ && begun_ ? sse_event(error_json(*failure_)) + std::string(kSseDone) : std::string();
  }
  event.text = text_of(event.text);
  const size_t before = std::exchange(choice.characters, choice.characters + count_characters(event.text));
  const std::vector<size_t> offsets = offsets_of(event.logprobs, before, choice.characters);
  std::string frames;
  if (stream_) frames = stream_frames(index, event, offsets);
  choice.finish = event.finish;
  if (!stream_) {
    choice.text += event.text;
    std::move(event.logprobs.begin(), event.logprobs.end(), std::back_inserter(choice.logprobs));
    choice.offsets.insert(choice.offsets.end(), offsets.begin(), offsets.end());
  }
  if (event.usage) choice.usage = *std::move(event.usage);
  if (choice.finish != FinishReason::none && ++ended_ == choices_.size() && stream_) {
    if (include_usage_) {
      json::object last{{"id", id_},
                        {"object", endpoint_ == Endpoint::chat ? "chat.completion.chunk" : "text_completion"},
                        {"created", created_},
                        {"model", model_},
                        {"choices", json::array()},
                        {"usage", usage_json(usage())},
                        {"uhd", extension_json(usage())}};
      frames += sse_event(json::serialize(last));
    }
    frames += kSseDone;
  }
  return frames;
}

std::string ReplyWriter::stream_frames(size_t index, const TokenEvent& event,
                                       const std::vector<size_t>& offsets) {
  Choice& choice = choices_[index];
  const bool chat = endpoint_ == Endpoint::chat;
  std::string frames;
  const auto send = [&](json::object fields) {
    fields["index"] = index;
    json::object chunk{{"id", id_},
                       {"object", chat ? "chat.completion.chunk" : "text_completion"},
                       {"created", created_},
                       {"model", model_}};
    chunk["choices"] = json::array{std::move(fields)};
    if (include_usage_) chunk["usage"] = nullptr;
    frames += sse_event(json::serialize(chunk));
    begun_ = true;
  };
  if (chat && !choice.begun) {
    send({{"delta", json::object{{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}}},
          {"logprobs", nullptr},
          {"finish_reason", nullptr}});
  }
  choice.begun = true;
  json::value logprobs = nullptr;
  if (logprobs_ && !event.logprobs.empty()) {
    logprobs = chat ? chat_logprobs(event.logprobs) : legacy_logprobs(event.logprobs, offsets);
  }
  if (!chat) {
    if (!event.text.empty() || !logprobs.is_null() || event.finish != FinishReason::none) {
      send({{"text", event.text},
            {"logprobs", std::move(logprobs)},
            {"finish_reason", finish_json(event.finish)}});
    }
    return frames;
  }
  if (!event.text.empty() || !logprobs.is_null()) {
    send({{"delta", json::object{{"content", event.text}}},
          {"logprobs", std::move(logprobs)},
          {"finish_reason", nullptr}});
  }
  if (event.finish != FinishReason::none) {
    send({{"delta", json::object()}, {"logprobs", nullptr}, {"finish_reason", finish_json(event.finish)}});
  }
  return frames;
}

Usage ReplyWriter::usage() const {
  Usage sum;
  for (size_t i = 0; i < choices_.size(); ++i) {
    const Usage& u = choices_[i].usage;
    sum.completion_tokens += u.completion_tokens;
    if (i % static_cast<size_t>(n_) != 0) continue;  // the prompt of n choices counts once
    sum.prompt_tokens += u.prompt_tokens;
    sum.image_tokens += u.image_tokens;
    sum.cached_tokens += u.cached_tokens;
  }
  sum.images = choices_.front().usage.images;
  sum.times = choices_.front().usage.times;
  return sum;
}

std::string ReplyWriter::body() const {
  const bool chat = endpoint_ == Endpoint::chat;
  json::array choices;
  for (size_t i = 0; i < choices_.size(); ++i) {
    const Choice& c = choices_[i];
    json::object choice{{"index", i}, {"finish_reason", finish_json(c.finish)}, {"logprobs", nullptr}};
    if (logprobs_) {
      choice["logprobs"] = chat ? chat_logprobs(c.logprobs) : legacy_logprobs(c.logprobs, c.offsets);
    }
    if (chat) {
      choice["message"] = json::object{{"role", "assistant"}, {"content", c.text}, {"refusal", nullptr}};
    } else {
      choice["text"] = c.text;
    }
    choices.push_back(std::move(choice));
  }
  return json::serialize(json::object{{"id", id_},
                                      {"object", chat ? "chat.completion" : "text_completion"},
                                      {"created", created_},
                                      {"model", model_},
                                      {"choices", std::move(choices)},
                                      {"usage", usage_json(usage())},
                                      {"uhd", extension_json(usage())}});
}

}  // namespace uhd
