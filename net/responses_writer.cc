#include "net/responses_writer.h"

#include <boost/json.hpp>
#include <vector>

#include "base/error.h"
#include "net/sse.h"

namespace uhd {
namespace {

namespace json = boost::json;

enum class ItemKind : uint8_t { reasoning, message, call };

// One item of the output.
struct OutputItem {
  ItemKind kind = ItemKind::message;
  std::string name;  // of a call
  std::string text;  // or the arguments of a call
  bool done = false;
};

}  // namespace

struct ResponsesWriter::State {
  std::string id;
  std::string model;
  json::object echo;
  int64_t created = 0;
  bool stream = false;
  bool begun = false;
  int64_t sequence = 0;
  std::string frames;  // not given out yet
  std::vector<OutputItem> items;
  json::object whole;

  // The events of a client's library have their type twice.
  void event(std::string_view type, json::object fields) {
    if (!stream) return;
    fields["type"] = type;
    fields["sequence_number"] = sequence++;
    frames += message("event: ", type, '\n') + sse_event(json::serialize(fields));
  }

  std::string item_id(size_t index) const {
    constexpr std::string_view kPrefix[] = {"rs_", "msg_", "fc_"};
    return message(kPrefix[static_cast<size_t>(items[index].kind)], id, '_', index);
  }
  std::string call_id(size_t index) const { return message("call_", id, '_', index); }

  static json::object part_of(const OutputItem& item) {
    if (item.kind == ItemKind::reasoning) return {{"type", "reasoning_text"}, {"text", item.text}};
    return {{"type", "output_text"},
            {"text", item.text},
            {"annotations", json::array()},
            {"logprobs", json::array()}};
  }

  json::object item_json(size_t index, std::string_view status, bool with_text) const {
    const OutputItem& item = items[index];
    json::object out{{"id", item_id(index)}, {"status", status}};
    if (item.kind == ItemKind::call) {
      out["type"] = "function_call";
      out["call_id"] = call_id(index);
      out["name"] = item.name;
      out["arguments"] = with_text ? item.text : "";
      return out;
    }
    json::array content;
    if (with_text) content.push_back(part_of(item));
    out["content"] = std::move(content);
    if (item.kind == ItemKind::reasoning) {
      out["type"] = "reasoning";
      out["summary"] = json::array();
    } else {
      out["type"] = "message";
      out["role"] = "assistant";
    }
    return out;
  }

  json::object response(std::string_view status) const {
    json::array output;
    for (size_t i = 0; i < items.size(); ++i) {
      output.push_back(item_json(i, items[i].done ? "completed" : "incomplete", true));
    }
    json::object out{{"id", "resp_" + id},
                     {"object", "response"},
                     {"created_at", created},
                     {"status", status},
                     {"model", model},
                     {"output", std::move(output)},
                     {"background", false},
                     {"error", nullptr},
                     {"incomplete_details", nullptr},
                     {"previous_response_id", nullptr},
                     {"reasoning", json::object{{"effort", nullptr}, {"summary", nullptr}}},
                     {"service_tier", "default"},
                     {"store", false},
                     {"truncation", "disabled"},
                     {"usage", nullptr}};
    for (const auto& [name, value] : echo) out[name] = value;
    return out;
  }

  void begin() {
    if (begun) return;
    begun = true;
    event("response.created", {{"response", response("in_progress")}});
    event("response.in_progress", {{"response", response("in_progress")}});
  }

  json::object at(size_t index) const {
    json::object out{{"item_id", item_id(index)}, {"output_index", index}};
    if (items[index].kind != ItemKind::call) out["content_index"] = 0;
    return out;
  }

  static json::object with(json::object object, std::string_view name, json::value value) {
    object[name] = std::move(value);
    return object;
  }

  // The events of text, of thoughts and of arguments are called alike.
  static std::string type_of(ItemKind kind, std::string_view end) {
    constexpr std::string_view kNames[] = {"response.reasoning_text", "response.output_text",
                                           "response.function_call_arguments"};
    return message(kNames[static_cast<size_t>(kind)], end);
  }

  size_t open(ItemKind kind, std::string name = "") {
    close();
    const size_t index = items.size();
    items.push_back({kind, std::move(name), "", false});
    event("response.output_item.added",
          {{"output_index", index}, {"item", item_json(index, "in_progress", false)}});
    if (kind != ItemKind::call) {
      event("response.content_part.added", with(at(index), "part", part_of(items[index])));
    }
    return index;
  }

  void grow(size_t index, const std::string& text) {
    if (text.empty()) return;
    items[index].text += text;
    json::object fields = with(at(index), "delta", json::value(text));
    if (items[index].kind == ItemKind::message) fields["logprobs"] = json::array();
    event(type_of(items[index].kind, ".delta"), std::move(fields));
  }

  // Ends the last item, if it has not ended. The arguments of a call that is cut are never told as whole.
  void close(bool cut = false) {
    if (items.empty() || items.back().done) return;
    const size_t index = items.size() - 1;
    OutputItem& item = items[index];
    item.done = !cut;
    const bool call = item.kind == ItemKind::call;
    json::object fields = with(at(index), call ? "arguments" : "text", json::value(item.text));
    if (call) fields["name"] = item.name;
    if (item.kind == ItemKind::message) fields["logprobs"] = json::array();
    if (!(call && cut)) event(type_of(item.kind, ".done"), std::move(fields));
    if (!call) event("response.content_part.done", with(at(index), "part", part_of(item)));
    event("response.output_item.done",
          {{"output_index", index}, {"item", item_json(index, cut ? "incomplete" : "completed", true)}});
  }

  size_t last_or_new(ItemKind kind) {
    const bool goes_on = !items.empty() && !items.back().done && items.back().kind == kind;
    return goes_on ? items.size() - 1 : open(kind);
  }

  void take_piece(const ToolDelta& piece) {
    if (piece.begins) open(ItemKind::call, piece.name);
    const bool is_open = !items.empty() && !items.back().done && items.back().kind == ItemKind::call;
    if (is_open) grow(items.size() - 1, piece.arguments);
  }

  std::string take_frames() { return std::exchange(frames, {}); }
};

ResponsesWriter::ResponsesWriter(std::string id, std::string model, const std::string& echo, int64_t created,
                                 bool stream)
    : state_(std::make_unique<State>()) {
  state_->id = std::move(id);
  state_->model = std::move(model);
  state_->echo = json::parse(echo).as_object();
  state_->created = created;
  state_->stream = stream;
}

ResponsesWriter::~ResponsesWriter() = default;

std::string ResponsesWriter::take(const std::string& thoughts, const ToolSplitter::Parts& answer) {
  State& s = *state_;
  s.begin();
  if (!thoughts.empty()) s.grow(s.last_or_new(ItemKind::reasoning), thoughts);
  for (const auto& part : answer.list) {
    if (const auto* piece = std::get_if<ToolDelta>(&part)) {
      s.take_piece(*piece);
    } else {
      s.grow(s.last_or_new(ItemKind::message), std::get<std::string>(part));
    }
  }
  return s.take_frames();
}

std::string ResponsesWriter::end(FinishReason finish, const Usage& usage, int reasoning_tokens,
                                 const std::string& extension) {
  State& s = *state_;
  s.begin();
  if (s.items.empty()) s.open(ItemKind::message);  // an answer without a word is one
  const bool cut = finish == FinishReason::length;
  s.close(cut);
  s.whole = s.response(cut ? "incomplete" : "completed");
  if (cut) s.whole["incomplete_details"] = json::object{{"reason", "max_output_tokens"}};
  s.whole["usage"] = json::object{
      {"input_tokens", usage.prompt_tokens},
      {"input_tokens_details",
       json::object{{"cached_tokens", usage.cached_tokens}, {"image_tokens", usage.image_tokens}}},
      {"output_tokens", usage.completion_tokens},
      {"output_tokens_details", json::object{{"reasoning_tokens", reasoning_tokens}}},
      {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
  s.whole["uhd"] = json::parse(extension);
  s.event(cut ? "response.incomplete" : "response.completed", {{"response", s.whole}});
  return s.take_frames();
}

std::string ResponsesWriter::fail(const ApiError& error) {
  State& s = *state_;
  s.begin();
  json::object failed = s.response("failed");
  failed["error"] = json::object{{"code", error.code}, {"message", error.message}};
  s.event("response.failed", {{"response", std::move(failed)}});
  return s.take_frames();
}

std::string ResponsesWriter::body() const { return json::serialize(state_->whole); }

}  // namespace uhd
